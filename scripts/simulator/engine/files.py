"""The Files API as far as batches need it: the resumable upload, a file's description, its download, its end."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scripts.simulator.formats.credential import check_key, key_of
from scripts.simulator.formats.reply import Cut, Hang, Reset, WrittenAnswer, deliver, json_answer
from scripts.simulator.provider.problems import ApiProblem, RequestRefused

if TYPE_CHECKING:
    from scripts.simulator.engine.simulation import Simulation

CHUNK = 1024 * 1024
IN_MEMORY = 1024 * 1024
"""Of one file; more of it lies in a temporary file."""


def _content() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)


class File(Struct):
    """One file of the project."""

    name: str
    """`files/...`"""
    display_name: str
    mime_type: str
    created_at: datetime
    content: IO[bytes] = field(default_factory=_content)
    size: int = 0
    is_whole: bool = False

    def write(self, data: bytes) -> None:
        self.content.seek(0, 2)
        self.content.write(data)
        self.size += len(data)

    async def chunks(self) -> AsyncIterator[bytes]:
        at = 0
        while at < self.size:
            self.content.seek(at)
            data = self.content.read(CHUNK)
            at += len(data)
            yield data

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "displayName": self.display_name,
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size),
            "createTime": self.created_at.isoformat().replace("+00:00", "Z"),
            "state": "ACTIVE",
        }


class Files:
    """The files of one simulated project, by name; uploads that have begun among them."""

    def __init__(self) -> None:
        self.by_name: dict[str, File] = {}

    def add(self, name: str, display_name: str, mime_type: str, created_at: datetime) -> File:
        self.by_name[name] = File(name, display_name, mime_type, created_at)
        return self.by_name[name]

    def remove(self, name: str) -> None:
        self.by_name.pop(name).content.close()

    def clear(self) -> None:
        for name in list(self.by_name):
            self.remove(name)

    def whole(self, name: str) -> File:
        """Or Refused."""
        file = self.by_name.get(name)
        if file is None or not file.is_whole:
            raise RequestRefused(
                ApiProblem("permission_denied", f"You do not have permission to access the File {name}.")
            )
        return file


def routes(simulation: Simulation) -> list[Route]:
    return [
        Route("/upload/v1beta/files", Upload(simulation), methods=["POST"]),
        Route("/v1beta/files/{id}:download", Download(simulation), methods=["GET"]),
        Route("/v1beta/files/{id}", Described(simulation), methods=["GET", "DELETE"]),
    ]


class Upload:
    """The start, which answers with an address, and the bytes sent there."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        commands = {name.strip() for name in http.headers.get("x-goog-upload-command", "").split(",")}
        try:
            if "start" in commands:
                answer = self._simulation.door("file_upload") or self._start(http, await http.body())
            else:
                answer = await self._bytes(http, commands)
        except RequestRefused as refused:
            answer = json_answer(refused.problem.http_status, refused.problem.rpc_body())
        await deliver(answer, scope, receive, send)

    def _start(self, http: HttpRequest, body: bytes) -> WrittenAnswer:
        check_key(key_of(http))
        simulation = self._simulation
        described = msgspec.json.decode(body or b"{}", type=dict[str, Any]).get("file", {})
        number = len(simulation.files.by_name) + 1
        file = simulation.files.add(
            f"files/{simulation.call_id(-number)[:12]}",
            described.get("display_name") or described.get("displayName") or "",
            http.headers.get("x-goog-upload-header-content-type", "application/octet-stream"),
            simulation.now(),
        )
        url = http.url.replace(query=f"upload_id={file.name.removeprefix('files/')}&upload_protocol=resumable")
        return json_answer(200, {}, {"x-goog-upload-url": str(url), "x-goog-upload-status": "active"})

    async def _bytes(self, http: HttpRequest, commands: set[str]) -> WrittenAnswer:
        file = self._simulation.files.by_name.get(f"files/{http.query_params.get('upload_id', '')}")
        if file is None or file.is_whole:
            raise RequestRefused(ApiProblem("not_found", "No such upload."))
        if int(http.headers.get("x-goog-upload-offset", "0")) != file.size:
            raise RequestRefused(ApiProblem("invalid_request", f"The upload has {file.size} bytes."))
        async for data in http.stream():
            file.write(data)
        if "finalize" not in commands:
            return json_answer(200, {}, {"x-goog-upload-status": "active"})
        file.is_whole = True
        return json_answer(200, {"file": file.to_json()}, {"x-goog-upload-status": "final"})


class Download:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        try:
            check_key(key_of(http))
            file = self._simulation.files.whole(f"files/{http.path_params['id']}")
            reply = self._simulation.door("file_download", whole=b"".join([chunk async for chunk in file.chunks()]))
        except RequestRefused as refused:
            reply = json_answer(refused.problem.http_status, refused.problem.rpc_body())
        match reply:
            case None:
                response = StreamingResponse(file.chunks(), headers={"content-length": str(file.size)})
                await response(scope, receive, send)
            case WrittenAnswer() | Cut() | Hang() | Reset():
                await deliver(reply, scope, receive, send)


class Described:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        await self._answer(http)(scope, receive, send)

    def _answer(self, http: HttpRequest) -> Response:
        files = self._simulation.files
        try:
            check_key(key_of(http))
            file = files.whole(f"files/{http.path_params['id']}")
        except RequestRefused as refused:
            return _json(refused.problem.rpc_body(), refused.problem.http_status)
        if http.method == "DELETE":
            files.remove(file.name)
            return _json({})
        return _json(file.to_json())


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
