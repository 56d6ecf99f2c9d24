"""The Gemini Batch API as a lane, over plain HTTP (v1beta).

google-genai 3.4 is not used here: it never fills a batch's error and counts, and one error with details among the
answers makes its whole `get` fail. Status and results are read from the raw answers.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import IO, Any
from urllib.parse import urlsplit

import httpx2
from msgspec.structs import replace

from shared.adapters.gemini.bounded_body import ENDLESS, MAX_ANSWER_BYTES, Endless, bound_to
from shared.adapters.gemini.paid_images import PaidImages, google_files
from shared.adapters.gemini_batch.batch_lines import BatchLine, read_line, result_of, write_line
from shared.adapters.gemini_batch.batch_status import (
    BatchPage,
    Operation,
    created_at,
    display_name_of,
    inlined,
    name_of,
    operations_of,
    progress_of,
)
from shared.adapters.gemini_errors import errors
from shared.adapters.payloads.answer_image import Elsewhere
from shared.adapters.payloads.json_member import text_of
from shared.adapters.payloads.quotation import SENT, Sent
from shared.adapters.payloads.redaction import redacted
from shared.adapters.process import proxies
from shared.core.lifecycle.batch import Progress, Result
from shared.core.provider.call import Order, Written, texts_of
from shared.core.provider.failure import Failure, FailureKind
from shared.ports.lanes import ResultsUnavailable

GOOGLE = "https://generativelanguage.googleapis.com"
MOST_QUOTABLE = 1_000
"""Texts per file that are remembered, to be cut out of errors about it."""
MOST_FILES = 8
"""Files of which texts are remembered."""
CALL_WITHIN = timedelta(seconds=60)
"""For one small call, from the connection to the last byte."""
FILE_WITHIN = timedelta(minutes=7)
"""For a file, up or down: less than a batch is claimed for."""
CHUNK = 1024 * 1024
MOST_FILE_BYTES = 2_000_000_000
MAX_LINE_BYTES = MAX_ANSWER_BYTES
MAX_OPERATION_BYTES = 2 * MAX_ANSWER_BYTES
"""Of a batch that contains its answers; many answers are in a file."""
LINES_EACH, SPARE_LINES = 10, 1_000
"""Lines of an answer file that are read: per request, and in addition. A real file has one line per request."""
PAGE_SIZE = 100
MOST_PAGES = 50

_NAME = re.compile(r"batches/[\w-]{1,128}")
_FILE = re.compile(r"files/[\w-]{1,128}")
_BROKEN = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError, TimeoutError, ValueError)
_DOWNLOAD = ":download"


class GeminiBatches:
    """The Batches port on the Gemini API. `base_url` None: Google's own."""

    def __init__(
        self,
        api_key: str,
        base_url: str | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        paid: PaidImages | None = None,
    ) -> None:
        self._api_key = api_key
        self._base_url = (base_url or GOOGLE).rstrip("/")
        self._now = now
        self._paid = paid or google_files(api_key, base_url)
        self._quotable: dict[str, tuple[str, ...]] = {}
        """By file."""
        self._client: httpx2.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def upload(self, display_name: str, orders: AsyncIterable[tuple[str, Order]]) -> str | Failure:
        with tempfile.TemporaryFile() as file:
            size = 0
            quotable: list[str] = []
            async for key, order in orders:
                size += file.write(write_line(key, order))
                if len(quotable) < MOST_QUOTABLE:
                    quotable += Sent.of(order).texts
            if size == 0:
                return Failure(FailureKind.INVALID_REQUEST, "a file without requests is not sent")
            if size > MOST_FILE_BYTES:
                return Failure(FailureKind.INVALID_REQUEST, f"a file of {size:,} bytes; {MOST_FILE_BYTES:,} are taken")
            name = await self._upload(display_name, file, size)
            if isinstance(name, Failure):
                return _cleaned(name, tuple(quotable), self._api_key)
            if isinstance(name, str):
                self._quotable = dict([*self._quotable.items(), (name, tuple(quotable))][-MOST_FILES:])
            return name

    async def _upload(self, display_name: str, file: IO[bytes], size: int) -> str | Failure:
        """Resumable: the start answers with the address that takes the bytes."""
        started = await self._call(
            "POST",
            "/upload/v1beta/files",
            json={"file": {"displayName": display_name}},
            headers={
                "x-goog-upload-protocol": "resumable",
                "x-goog-upload-command": "start",
                "x-goog-upload-header-content-length": str(size),
                "x-goog-upload-header-content-type": "application/jsonl",
            },
        )
        if isinstance(started, Failure):
            return started
        address = started.headers.get("x-goog-upload-url", "")
        if urlsplit(address)[:2] != urlsplit(self._base_url)[:2]:
            return Failure(FailureKind.MALFORMED_ANSWER, "the upload has no address at the same host")
        headers = {"content-length": str(size), "x-goog-upload-offset": "0"}
        headers["x-goog-upload-command"] = "upload, finalize"
        sent = await self._call("POST", address, content=_pieces(file), headers=headers, within=FILE_WITHIN)
        if isinstance(sent, Failure):
            return sent
        return _named(sent, _FILE, "file")

    async def create(self, display_name: str, model: str, file: str, leave_within: timedelta) -> str | Failure:
        body = {"batch": {"displayName": display_name, "inputConfig": {"fileName": file}}}
        path = f"/v1beta/models/{model}:batchGenerateContent"
        sent = SENT.set(Sent(self._quotable.get(file, ()), model))
        try:
            answer = await self._call("POST", path, json=body, leave_within=leave_within)
        finally:
            SENT.reset(sent)
        return answer if isinstance(answer, Failure) else _named(answer, _NAME)

    async def find(self, display_name: str, since: datetime) -> str | Failure | None:
        """The list is newest first: it is read until it is older than `since`."""
        token = ""
        for _ in range(MOST_PAGES):
            query = {"pageSize": str(PAGE_SIZE)} | ({"pageToken": token} if token else {})
            answer = await self._call("GET", "/v1beta/batches", params=query)
            if isinstance(answer, Failure):
                return answer
            page = errors.decoded(answer.content, BatchPage)
            if page is None:
                return Failure(FailureKind.MALFORMED_ANSWER, "the list of batches cannot be read", http_status=200)
            operations = operations_of(page)
            for operation in operations:
                if display_name_of(operation) == display_name and _NAME.fullmatch(name_of(operation)):
                    return name_of(operation)
            token = text_of(page.nextPageToken)
            if not token or all(created_at(operation) < since for operation in operations):
                return None
        return Failure(FailureKind.MALFORMED_ANSWER, "the list of batches does not end", http_status=200)

    async def look(self, name: str) -> Progress | Failure:
        answer = await self._call("GET", f"/v1beta/{name}")
        if isinstance(answer, Failure):
            return answer
        operation = errors.decoded(answer.content, Operation)
        if operation is None:
            return Failure(FailureKind.MALFORMED_ANSWER, "the batch cannot be read", http_status=200)
        progress = progress_of(operation, self._now())
        if progress.failure is not None:
            progress = replace(progress, failure=_cleaned(progress.failure, self._written, self._api_key))
        if progress.results == name_of(operation) != "":
            progress = replace(progress, results=name)
        elif progress.results is not None and not _FILE.fullmatch(progress.results):
            return Failure(FailureKind.MALFORMED_ANSWER, "the batch names no file of answers", http_status=200)
        return progress

    async def results(self, file: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[Result]:
        return self._results(file, model, prompts)

    async def _results(self, file: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[Result]:
        lines = self._inlined(file, model, prompts) if _NAME.fullmatch(file) else self._in_file(file, model, prompts)
        try:
            async for line in lines:
                answer = await self._paid.fetched(line.read) if isinstance(line.read, Elsewhere) else line.read
                yield result_of(line.key, answer, prompts.get(line.key, ""), self._api_key)
        except ResultsUnavailable as error:
            written = tuple(text for prompt in prompts.values() for text in texts_of(prompt))
            raise ResultsUnavailable(_cleaned(error.failure, written, self._api_key)) from error

    async def _in_file(self, file: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[BatchLine]:
        """Reading ends after more lines than any batch has: a file of countless tiny ones takes minutes of processor
        time."""
        left = LINES_EACH * len(prompts) + SPARE_LINES
        async for line in self._lines(f"/v1beta/{file}{_DOWNLOAD}"):
            yield read_line(line, model, self._now(), prompts=prompts)
            left -= 1
            if not left:
                return

    async def _inlined(self, name: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[BatchLine]:
        """The answers in the batch itself: under their keys, else in the order of the requests. Raises
        ResultsUnavailable.
        """
        answer = await self._call("GET", f"/v1beta/{name}", within=FILE_WITHIN)
        if isinstance(answer, Failure):
            raise ResultsUnavailable(answer)
        operation = errors.decoded(answer.content, Operation)
        answers = inlined(operation) if operation is not None else ()
        lines = [read_line(raw, model, self._now(), prompts=prompts) for raw in answers]
        if not lines:
            raise ResultsUnavailable(Failure(FailureKind.MALFORMED_ANSWER, "the batch's answers are gone from it"))
        if len(lines) == len(prompts) and not any(line.key for line in lines):
            lines = [
                read_line(raw, model, self._now(), key, prompts) for raw, key in zip(answers, prompts, strict=True)
            ]
        for line in lines:
            yield line

    async def _lines(self, path: str) -> AsyncIterator[bytes | bytearray]:
        """The lines of a file, one in memory at a time. Raises ResultsUnavailable."""
        try:
            async with self._ready().stream("GET", path, params={"alt": "media"}) as response:
                if response.status_code != 200:
                    raise ResultsUnavailable(self._failure(response, await response.aread()))
                rest = bytearray()
                async for piece in response.aiter_bytes():
                    searched, begin = len(rest), 0
                    rest += piece
                    while (end := rest.find(b"\n", searched)) >= 0:
                        line, begin = rest[begin:end], end + 1
                        searched = begin
                        if line.strip():
                            yield line
                    del rest[:begin]
                    if len(rest) > MAX_LINE_BYTES:
                        raise ResultsUnavailable(Failure(FailureKind.MALFORMED_ANSWER, ENDLESS))
                if rest.strip():
                    yield rest
        except _BROKEN as error:
            raise ResultsUnavailable(self._broken(error)) from error

    async def cancel(self, name: str) -> None:
        await self._call("POST", f"/v1beta/{name}:cancel", json={})

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _ready(self) -> httpx2.AsyncClient:
        """The client of this event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            timeouts = httpx2.Timeout(CALL_WITHIN.total_seconds(), connect=10)
            headers = {"accept": "application/json"}
            trust = proxies.trusted(self._base_url)
            self._client = httpx2.AsyncClient(
                base_url=self._base_url, timeout=timeouts, headers=headers, trust_env=trust
            )
            self._client.event_hooks = {"request": [self._sign], "response": [_bound]}
            self._loop = loop
        return self._client

    async def _sign(self, request: httpx2.Request) -> None:
        request.headers["x-goog-api-key"] = self._api_key

    async def _call(
        self,
        method: str,
        path: str,
        *,
        within: timedelta = CALL_WITHIN,
        leave_within: timedelta | None = None,
        **more: Any,
    ) -> httpx2.Response | Failure:
        """One call: an answer below 300, or the failure."""
        late = _Late(leave_within)
        try:
            async with asyncio.timeout(within.total_seconds()):
                response = await self._ready().request(method, path, extensions={"trace": late.watch}, **more)
        except _BROKEN as error:
            if late.is_late:
                return Failure(FailureKind.LATE, "the call could not leave in time")
            return self._broken(error)
        if response.status_code >= 300:
            return self._failure(response, response.content)
        return response

    @property
    def _written(self) -> tuple[str, ...]:
        """What this process's files contain, as far as it is remembered: errors about a batch may quote it."""
        return tuple(text for texts in self._quotable.values() for text in texts)

    def _failure(self, response: httpx2.Response, body: bytes) -> Failure:
        if 300 <= response.status_code < 400:
            message = f"HTTP {response.status_code}: the base URL redirects elsewhere"
            return Failure(FailureKind.CONNECTION, message, http_status=response.status_code)
        failure = errors.read_failure(response.status_code, response.headers, body, self._now())
        return _cleaned(failure, self._written, self._api_key)

    def _broken(self, error: BaseException) -> Failure:
        name = type(error).__name__
        if isinstance(error, Endless):
            return Failure(FailureKind.MALFORMED_ANSWER, ENDLESS)
        if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.InvalidURL)):
            return Failure(FailureKind.CONNECTION, f"no connection to the Gemini API ({name})")
        if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
            return Failure(FailureKind.TIMEOUT, "no answer in time")
        return Failure(FailureKind.CONNECTION_LOST, f"the connection broke ({name})")


class _Late:
    """Stops a call whose first byte would leave too late."""

    def __init__(self, leave_within: timedelta | None) -> None:
        seconds = float("inf") if leave_within is None else leave_within.total_seconds()
        self._leave_by = asyncio.get_running_loop().time() + seconds
        self.is_late = False

    async def watch(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.is_late = asyncio.get_running_loop().time() > self._leave_by
            if self.is_late:
                raise httpx2.ConnectError("too late to leave")


async def _bound(response: httpx2.Response) -> None:
    """A file of answers is read line by line; anything else is read whole."""
    if response.status_code != 200 or not response.request.url.path.endswith(_DOWNLOAD):
        bound_to(response, MAX_OPERATION_BYTES)


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := file.read(CHUNK):
        yield piece


def _named(answer: httpx2.Response, allowed: re.Pattern[str], inside: str | None = None) -> str | Failure:
    """The name that a 200 gives to what was made; without a name nothing is known about it."""
    members = errors.decoded(answer.content, dict[str, Any]) or {}
    thing = members if inside is None else members.get(inside)
    name = thing.get("name") if isinstance(thing, dict) else None
    if isinstance(name, str) and allowed.fullmatch(name):
        return name
    return Failure(FailureKind.MALFORMED_ANSWER, "the answer names nothing that was made", http_status=200)


def _cleaned(failure: Failure, written: tuple[str, ...], api_key: str) -> Failure:
    """Without the key, and without prompts."""
    return replace(
        failure,
        message=redacted(failure.message, written, api_key),
        code=redacted(failure.code, written, api_key),
        provider_request_id=redacted(failure.provider_request_id, written, api_key)[:128],
    )
