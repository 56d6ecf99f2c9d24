"""Bodies of answers are bounded: nothing is read beyond the longest known answer, however small it was compressed.

A client reads and decompresses the whole body before its length is known: a megabyte can become a gigabyte. As a
response hook, `bound` counts the decompressed bytes while they are read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

MAX_ANSWER_BYTES = 96 * 1024 * 1024
"""Four times the largest known answer (a 4K PNG in base64)."""
MAX_ERROR_BYTES = 1024 * 1024
"""For an answer that is not a 200: errors have a few kilobytes, even with all their details."""
ENDLESS = "an answer without end"


class Endless(httpx2.DecodingError):
    """The body is longer than any known one."""


class _Bounded(httpx2.AsyncByteStream):
    """The body of `inner`, decompressed, up to a length."""

    def __init__(self, inner: httpx2.Response, most: int) -> None:
        self._inner = inner
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for piece in self._inner.aiter_bytes():
            length += len(piece)
            if length > self._most:
                raise Endless(ENDLESS)
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


async def bound(response: httpx2.Response) -> None:
    """For `event_hooks`: reading the response raises Endless beyond its bound."""
    bound_to(response, MAX_ANSWER_BYTES)


def bound_to(response: httpx2.Response, most: int) -> None:
    """`most` bytes of a 200, decompressed; MAX_ERROR_BYTES of anything else."""
    most = most if response.status_code == 200 else min(most, MAX_ERROR_BYTES)
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    inner = httpx2.Response(
        response.status_code, headers=response.headers, stream=response.stream, request=response.request
    )
    if "content-encoding" in response.headers:
        del response.headers["content-encoding"]  # it is undone above
    response.stream = _Bounded(inner, most)
