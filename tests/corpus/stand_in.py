"""An HTTP server that answers as a case says, at the paths of the real APIs, and keeps a bill."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from msgspec import Struct, field

from tests.corpus.case import AnswerScript, Case, Scripted
from tests.corpus.virtual_loop import VirtualLoop
from tests.corpus.wire import Sent, ordinary, sent

GENERATE = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+):generateContent")
BATCH = re.compile(r"/v1beta/models/([^/:]+):batchGenerateContent")


class Request(Struct):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Billed(Struct):
    """One call that makes pictures, as the provider keeps it."""

    form: str
    is_billed: bool
    of_case: bool


class _Files(Struct):
    """The batch API's files and batches."""

    uploaded: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    batches: dict[str, str] = field(default_factory=dict)
    """File by batch."""
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


Reply: TypeAlias = tuple[Sent, Scripted]


class StandIn:
    """The provider of one case."""

    def __init__(self, loop: VirtualLoop, case: Case) -> None:
        self._loop = loop
        self._case = case
        self.url = ""
        self.bills: list[Billed] = []
        self.faults: list[Exception] = []
        """What broke in the stand-in itself: there must be none."""
        self._turns: Counter[str] = Counter()
        self._files = _Files()
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def calls(self) -> list[Billed]:
        """Those of the case's own requests."""
        return [bill for bill in self.bills if bill.of_case]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                request = await _read(reader)
                reply, scripted = self._reply(request)
                if scripted.delay:
                    await self._pause(scripted.delay)
                if not await _write(writer, reply, scripted):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001  a fault of the stand-in must fail the test, not the connection
            self.faults.append(error)
        finally:
            writer.close()

    def hang_up(self) -> None:
        for connection in self._connections:
            connection.transport.abort()

    async def _pause(self, seconds: float) -> None:
        """The provider takes its time: nothing moves on the wire."""
        self._loop.busy -= 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._loop.busy += 1

    def _reply(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        if request.method == "GET" and path in self._case.files:
            return self._turn(f"file {path}", self._case.files[path], "file", "")
        if path.endswith("/interactions") and request.method == "POST":
            return self._called("interactions", request, request.json["model"])
        if match := GENERATE.fullmatch(path):
            at_gateway = "authorization" in request.headers
            return self._called("native" if at_gateway else "generate", request, match[1])
        if path == "/v1/chat/completions":
            return self._called("chat", request, request.json["model"])
        if path == "/v1/images/generations":
            return self._called("images", request, request.json["model"])
        return _json(self._batch(request, path))

    def _called(self, form: str, request: Request, model: str) -> Reply:
        of_case = f"[[{self._case.name}]]".encode() in request.body
        if of_case:
            by_form = not isinstance(self._case.answers, Mapping)
            reply = self._turn("all" if by_form else form, self._case.script(form), form, model)
        else:
            reply = sent("ok", form, model, self.url), Scripted(body="ok")
        self.bills.append(Billed(form, reply[1].is_billed, of_case))
        return reply

    def _turn(self, key: str, script: Iterable[AnswerScript], form: str, model: str) -> Reply:
        answers = list(script)
        scripted = answers[min(self._turns[key], len(answers) - 1)]
        self._turns[key] += 1
        return sent(scripted, form, model, self.url), Scripted(body="ok") if scripted == "ok" else scripted

    # -- batches ------------------------------------------------------------------------------------------------------

    def _batch(self, request: Request, path: str) -> dict[str, Any] | bytes:
        files = self._files
        if path == "/upload/v1beta/files":
            return {"x-goog-upload-url": f"{self.url}/put/files/in{len(files.uploaded)}"}
        if path.startswith("/put/"):
            name = path.removeprefix("/put/")
            files.uploaded[name] = [json.loads(line) for line in request.body.splitlines() if line.strip()]
            return {"file": {"name": name}}
        if match := BATCH.fullmatch(path):
            name = f"batches/b{len(files.batches)}"
            source = request.json["batch"]["inputConfig"]["fileName"]
            files.batches[name] = source
            files.answers[name] = [self._line(item, match[1]) for item in files.uploaded[source]]
            return {"name": name, "metadata": {"state": "BATCH_STATE_PENDING"}}
        if path == "/v1beta/batches":
            return {"operations": []}
        if path.endswith(":download"):
            lines = files.answers[
                path.removeprefix("/v1beta/").removesuffix(":download").replace("files/out-", "batches/")
            ]
            return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return self._operation(path.removeprefix("/v1beta/"))

    def _line(self, line: dict[str, Any], model: str) -> dict[str, Any]:
        """One line of the results; every line that holds a response is charged."""
        key = "all" if not isinstance(self._case.answers, Mapping) else "batch"
        answers = list(self._case.script("batch"))
        answer = answers[min(self._turns[key], len(answers) - 1)]
        self._turns[key] += 1
        scripted = Scripted(body={"response": ordinary("batch", model)}) if answer == "ok" else answer
        body: dict[str, Any] = json.loads(sent(scripted, "batch", model, self.url).plain)
        billed = scripted.is_billed and "error" not in body if scripted.billed is None else scripted.billed
        self.bills.append(Billed("batch", billed, of_case=True))
        return {"key": line["key"]} | body

    def _operation(self, name: str) -> dict[str, Any]:
        answers = self._files.answers[name]
        shape = self._case.batch
        metadata = {"state": "BATCH_STATE_SUCCEEDED", "batchStats": {"requestCount": str(len(answers))}}
        if shape is None or not shape.inlined:
            output = {"responsesFile": name.replace("batches/", "files/out-")}
            return {"name": name, "done": True, "metadata": metadata | {"output": output}, "response": output}
        lines = []
        for answer in answers:
            line = {what: answer[what] for what in ("response", "error") if what in answer}
            lines.append(line if shape.keyless else line | {"metadata": {"key": answer["key"]}})
        return {
            "name": name,
            "done": True,
            "metadata": metadata,
            "response": {"inlinedResponses": {"inlinedResponses": lines}},
        }


@asynccontextmanager
async def standing_in(loop: VirtualLoop, case: Case) -> AsyncIterator[StandIn]:
    provider = StandIn(loop, case)
    server = await asyncio.start_server(provider.connected, "127.0.0.1", 0, limit=2**26)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.close()
        provider.hang_up()
        await server.wait_closed()
        await asyncio.sleep(0)


def _json(body: dict[str, Any] | bytes) -> Reply:
    headers = {"content-type": "application/json"}
    if isinstance(body, dict) and "x-goog-upload-url" in body:
        headers["x-goog-upload-url"] = body["x-goog-upload-url"]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Sent(200, headers, data, data), Scripted()


async def _read(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, path, _ = first.split()
    if headers.get("transfer-encoding") != "chunked":
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Request(method, path, headers, body)
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return Request(method, path, headers, body)


async def _write(writer: asyncio.StreamWriter, reply: Sent, scripted: Scripted) -> bool:
    """Whether the connection goes on."""
    if scripted.close:
        return False
    headers = dict(reply.headers)
    if scripted.chunked:
        headers["transfer-encoding"] = "chunked"
    else:
        headers["content-length"] = str(len(reply.body) if scripted.length is None else scripted.length)
    head = f"HTTP/1.1 {reply.status} Scripted\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    body = reply.body[: scripted.cut]
    if scripted.chunked:
        end = b"" if scripted.cut is not None else b"\r\n0\r\n\r\n"
        body = b"%x\r\n" % len(reply.body) + body + end
    writer.write(head.encode("latin-1") + b"\r\n" + body)
    await writer.drain()
    return scripted.cut is None and scripted.length is None
