"""A second stand-in for background calls, written from the documented shapes alone, without the simulator's code.

Where the documents leave a choice, it makes another one than the simulator.

https://ai.google.dev/gemini-api/docs/interactions, https://ai.google.dev/gemini-api/docs/webhooks: the token's claims
carry no event; `user_metadata` stands inside `data`; GET of an unknown id is a google.rpc error.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.webhook_sender import TokenSender

USAGE = {
    "total_input_tokens": 5,
    "input_tokens_by_modality": [{"modality": "text", "tokens": 5}],
    "total_output_tokens": 1120,
    "output_tokens_by_modality": [{"modality": "image", "tokens": 1120}],
    "total_tokens": 1125,
}


def a_jpeg(side: int = 1024) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (30, 90, 160)).save(file, "JPEG")
    return file.getvalue()


JPEG = a_jpeg()


@dataclass
class Call:
    """One interaction as the provider keeps it."""

    id: str
    body: dict[str, Any]
    status: str = "in_progress"
    is_deleted: bool = False


@dataclass
class Provider:
    """What it does is set by the test; what it was asked, and what it made, is on its own record."""

    seconds: float = 0.3
    calls_back: bool = True
    takes_background: bool = True
    loses_answers: int = 0
    """Of that many creates the connection breaks after the call was taken."""
    ends_as: str = "completed"
    by_address: bool = False
    """A picture is told by its address at the API's own files."""
    calls: dict[str, Call] = field(default_factory=dict)
    foreground: int = 0
    refused: int = 0
    cancelled: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Of the listener to webhooks."""
    url: str = ""
    sender: TokenSender = field(default_factory=lambda: TokenSender(7))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def made(self) -> int:
        """Pictures, each of which is charged."""
        return sum(call.status == "completed" for call in self.calls.values()) + self.foreground

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/interactions", self._create, methods=["POST"]),
                Route("/v1/interactions/{id}", self._one, methods=["GET", "DELETE"]),
                Route("/v1/interactions/{id}/cancel", self._cancel, methods=["POST"]),
                Route("/.well-known/jwks.json", self._keys, methods=["GET"]),
                Route("/v1beta/files/{name}:download", self._file, methods=["GET"]),
            ]
        )

    async def _create(self, request: Request) -> Response:
        body = await request.json()
        if not body.get("background"):
            await asyncio.sleep(self.seconds)
            self.foreground += 1
            return JSONResponse(self._record(Call("v1_fg", body, "completed")))
        if not self.takes_background:
            self.refused += 1
            message = "background execution is not available for this model"
            return JSONResponse({"error": {"code": "invalid_request", "message": message}}, status_code=400)
        call = Call(f"v1_holdout{len(self.calls):04d}", body)
        self.calls[call.id] = call
        self._start(self._work(call))
        if self.loses_answers > 0:
            self.loses_answers -= 1
            return _Broken()
        return JSONResponse({"id": call.id, "object": "interaction", "status": "in_progress"})

    async def _one(self, request: Request) -> Response:
        call = self.calls.get(request.path_params["id"])
        if call is None or call.is_deleted:
            error = {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}
            return JSONResponse({"error": error}, status_code=404)
        if request.method == "DELETE":
            call.is_deleted = True
            return JSONResponse({})
        return JSONResponse(self._record(call))

    async def _cancel(self, request: Request) -> Response:
        call = self.calls[request.path_params["id"]]
        self.cancelled.append(call.id)
        call.status = "cancelled"
        return JSONResponse(self._record(call))

    async def _keys(self, request: Request) -> Response:
        return Response(self.sender.key_set(), media_type="application/json")

    async def _file(self, request: Request) -> Response:
        return Response(JPEG, media_type="image/jpeg")

    def _record(self, call: Call) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": call.id,
            "status": call.status,
            "model": call.body["model"],
            "updated": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        if call.status == "failed":
            body["errors"] = [{"code": "image_safety", "message": "The image was filtered."}]
        if call.status == "completed":
            picture: dict[str, Any] = {"type": "image", "mime_type": "image/jpeg"}
            address = f"{self.url}/v1beta/files/made-1:download?alt=media"
            picture |= {"uri": address} if self.by_address else {"data": base64.b64encode(JPEG).decode()}
            body |= {"steps": [{"type": "model_output", "content": [picture]}], "usage": USAGE}
        return body

    async def _work(self, call: Call) -> None:
        await asyncio.sleep(self.seconds)
        if call.status == "cancelled":
            return
        call.status = self.ends_as
        config = call.body.get("webhook_config") or {}
        if not self.calls_back:
            return
        for uri in config.get("uris", []):
            data = {"id": call.id, "user_metadata": config.get("user_metadata", {})}
            kind = f"interaction.{'failed' if call.status == 'failed' else 'completed'}"
            now = datetime.now(UTC)
            payload = {"type": kind, "version": "v1", "timestamp": now.isoformat(), "data": data}
            body = json.dumps(payload).encode()
            headers = self.sender.headers(body, now, f"evt-{call.id}", aud=[uri])
            async with httpx2.AsyncClient(trust_env=False) as http:
                answer = await http.post(uri, content=body, headers=headers | {"content-type": "application/json"})
            self.answers.append(answer.status_code)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Broken(Response):
    """The answer that never comes whole: its head promises a body, and the connection ends."""

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Any]) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionResetError("the answer is lost")
