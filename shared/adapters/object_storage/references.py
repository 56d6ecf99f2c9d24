"""Reference images from allowed places only: file://, gs://, https:// and the image store itself.

A caller names the URI, so a URI is hostile until it lies under an allowed prefix: compared part by part, symlinks and
`..` resolved, no redirect followed, no private address reached through a public name, never more read than is asked
for. Errors name scheme, host and path: a query string may hold a signature, what stands before an @ a password.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
import sys
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
from msgspec.structs import replace
from obstore.exceptions import BaseError
from obstore.store import GCSStore

from shared.adapters.object_storage.image_store import PATIENCE, ObjectImages
from shared.adapters.object_storage.reference_type import image_type, word_for
from shared.adapters.payloads.reference_uri import UriParts, is_address, is_public, place_of
from shared.adapters.payloads.whole_image import is_whole
from shared.core.provider.call import Reference
from shared.core.references.reference_name import named
from shared.core.validation.numbers import whole_number
from shared.ports.images import ImagesUnavailable, ReferenceUnusable

if TYPE_CHECKING:
    import httpx2

LIMIT_BYTES = 75_000_000
"""Of one image: a request may have 100 MB since 2026-01-08, and base64 makes four bytes of three. What a request may
have in all stands in the catalogue, and is counted where its references are gathered."""
CACHE_BYTES = 64 * 1024 * 1024
"""Where the memory of the machine is not known; the references of one request always fit (see `wiring`)."""
CACHE_AGE = timedelta(minutes=10)
"""An object may be overwritten under its name; a request that waits for quota returns well within this time."""
TIMEOUT = timedelta(seconds=20)
TRIES = 3
"""A reference that cannot be fetched ends its request, so a temporary failure deserves a retry."""
SAME_FAMILY = frozenset({"image/heic", "image/heif"})
"""One container: cameras and browsers name either."""
LOCAL_NAMES = ("localhost",)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to IP addresses. Raises OSError."""


class _Hiccup(Exception):
    """A failure that may pass."""


class AllowedReferences:
    """The References port. `allowed` are URI prefixes such as `https://cdn.example.com/assets`, `gs://bucket/in`,
    `file:///srv/refs`; a prefix ends at a `/`, so `/assets` does not allow `/assets-old`. In the image store, where
    given, a tenant may read below its own prefix, `{root}/{tenant}/`, also if an allowed prefix lies above the store.
    Only an allowed prefix inside the image store opens a part of it to all.

    A host name that resolves to a private or loopback address is refused, unless the prefix itself names that address
    (or `localhost`). `tls` None: the system's trust; `gcs_options` goes to obstore. Raises ValueError for a prefix that
    is none.
    """

    def __init__(
        self,
        allowed: Sequence[str],
        images: ObjectImages | None = None,
        *,
        gcs_options: Mapping[str, Any] | None = None,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        timeout: timedelta = TIMEOUT,
        limit_bytes: int = LIMIT_BYTES,
        cache_bytes: int = CACHE_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._allowed = tuple(place_of(name) for name in allowed)
        self._images = images
        self._image_root = place_of(images.root) if images is not None else None
        self._gcs_options = gcs_options or {}
        self._tls = tls
        self._resolve = resolve or _resolve
        self._timeout = timeout
        self._limit = limit_bytes
        self._monotonic = monotonic
        self._sleep = sleep
        self._cache = _Cache(cache_bytes)
        self._buckets: dict[str, GCSStore] = {}

    def check(self, uri: str, tenant: str) -> None:
        """Raises ReferenceUnusable if the URI is malformed, or in no place that the tenant may read; fetches
        nothing."""
        self._place(uri, tenant)

    async def size(self, uri: str, tenant: str) -> int | None:
        """By a look without reading. Raises ReferenceUnusable; what a look cannot tell, fetching will."""
        place = self._place(uri, tenant)
        data = self._cache.get(uri, self._monotonic())
        if data is not None:
            return len(data)
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._look(uri, place)
        except (TimeoutError, _Hiccup, BaseError, OSError, ValueError):
            return None

    async def _look(self, uri: str, place: UriParts) -> int | None:
        if place.scheme == "file":
            return await asyncio.to_thread(lambda: os.stat(place.path, follow_symlinks=False).st_size)
        if place.scheme == "gs":
            return int((await obstore.head_async(self._bucket(place), place.path.lstrip("/")))["size"])
        async with self._web(uri, place, "HEAD", 1) as response:
            return _length(response.headers) if response.status_code == 200 else None

    async def fetch(self, uri: str, tenant: str, mime_type: str | None, most: int | None = None) -> Reference:
        """The bytes, with their real type. `mime_type` None: any type. Raises ReferenceUnusable."""
        place = self._place(uri, tenant)
        data = self._cache.get(uri, self._monotonic())
        if data is None:
            limit = self._limit if most is None else min(most, self._limit)
            data = await self._patiently(uri, place, limit)
            if place.scheme != "file":  # a local file is read as fast, and may be changed by the same hand
                self._cache.put(uri, data, self._monotonic() + CACHE_AGE.total_seconds())
        text = image_type(data)
        if text is None:
            raise ReferenceUnusable(f"{named(uri)} is {word_for(data)}; use png, jpeg, webp, heic or heif")
        declared = mime_type or text
        if declared != text and not {declared, text} <= SAME_FAMILY:
            raise ReferenceUnusable(
                f"{named(uri)} is declared {declared} but is {text}; correct mime_type or leave it out"
            )
        if not await asyncio.to_thread(is_whole, data):
            raise ReferenceUnusable(f"{named(uri)} ends in the middle of the image; put the whole file there")
        return Reference(text, data)

    def _place(self, uri: str, tenant: str) -> UriParts:
        try:
            place = place_of(uri)
        except ValueError as error:
            raise ReferenceUnusable(f"{named(uri)}: {error}") from error
        allowed = [prefix for prefix in self._allowed if prefix.covers(place)]
        root = self._image_root
        if root is not None and root.covers(place):
            own = replace(root, path=f"{root.path}/{tenant}")
            if own.covers(place) or any(root.covers(prefix) and prefix != root for prefix in allowed):
                return place
            raise ReferenceUnusable(
                f"{named(uri)} is an image of another tenant; name one of your own, or a copy in an allowed place"
            )
        if not allowed:
            raise ReferenceUnusable(f"{named(uri)} is in no allowed place; add its prefix to RENDERLANE_REFERENCES")
        return place

    async def _patiently(self, uri: str, place: UriParts, limit: int) -> bytes:
        for trial in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(self._timeout.total_seconds()):
                    return await self._read(uri, place, trial, limit)
            except (TimeoutError, _Hiccup) as error:
                if trial == TRIES:
                    reason = str(error) or "no answer in time"
                    raise ReferenceUnusable(
                        f"{named(uri)} could not be fetched ({reason}); check that its server answers, then revive"
                    ) from error
            await self._sleep(0.25 * 4**trial)
        raise AssertionError("the last trial returns or raises")

    async def _read(self, uri: str, place: UriParts, trial: int, limit: int) -> bytes:
        if self._images is not None and self._images.owns(uri):
            return _within(limit, uri, await self._from_images(uri, self._images))
        match place.scheme:
            case "file":
                return await asyncio.to_thread(self._from_file, uri, Path(place.path), limit)
            case "gs":
                return await self._from_bucket(uri, place, limit)
            case _:
                return await self._from_web(uri, place, trial, limit)

    async def _from_images(self, uri: str, images: ObjectImages) -> bytes:
        try:
            return await images.read(uri)
        except ImagesUnavailable as error:
            raise ReferenceUnusable(str(error)) from error

    def _from_file(self, uri: str, path: Path, limit: int) -> bytes:
        """`path` is resolved: a symlink created since then is refused, and so is anything but a plain file."""
        try:
            opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(opened, "rb") as file:
                if not stat.S_ISREG(os.fstat(opened).st_mode):
                    raise ReferenceUnusable(f"{named(uri)} is no plain file; name an image file")
                return _within(limit, uri, file.read(limit + 1))
        except OSError as error:
            raise ReferenceUnusable(
                f"{named(uri)} cannot be read ({error.strerror}); check that the file exists and may be read"
            ) from error

    def _bucket(self, place: UriParts) -> GCSStore:
        if place.host not in self._buckets:
            self._buckets[place.host] = GCSStore(place.host, **{"retry_config": PATIENCE, **self._gcs_options})
        return self._buckets[place.host]

    async def _from_bucket(self, uri: str, place: UriParts, limit: int) -> bytes:
        try:
            result = await obstore.get_async(self._bucket(place), place.path.lstrip("/"))
            if result.meta["size"] > limit:
                raise _too_large(limit, uri)
            return _within(limit, uri, bytes(await result.bytes_async()))
        except (BaseError, OSError, ValueError) as error:
            raise ReferenceUnusable(
                f"{named(uri)} cannot be read ({type(error).__name__}); check that the object exists and that this "
                "service account may read it"
            ) from error

    async def _from_web(self, uri: str, place: UriParts, trial: int, limit: int) -> bytes:
        async with self._web(uri, place, "GET", trial) as response:
            self._check_status(uri, response.status_code)
            if (_length(response.headers) or 0) > limit:
                raise _too_large(limit, uri)
            data = bytearray()
            async for piece in response.aiter_bytes():
                data += piece
                if len(data) > limit:
                    raise _too_large(limit, uri)
            return bytes(data)

    @asynccontextmanager
    async def _web(self, uri: str, place: UriParts, method: str, trial: int) -> AsyncIterator[httpx2.Response]:
        """One call to an address that was checked: the name is not looked up a second time. Raises _Hiccup."""
        import httpx2  # only who fetches from the web pays for it

        addresses = await self._addresses(uri, place)
        self._tls = self._tls or httpx2.create_ssl_context()
        url = httpx2.URL(uri).copy_with(host=addresses[(trial - 1) % len(addresses)], fragment=None)
        headers = {"host": urlsplit(uri).netloc, "accept": "image/*", "accept-encoding": "identity"}
        try:
            async with (
                httpx2.AsyncClient(verify=self._tls, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    method,
                    url,
                    headers=headers,
                    extensions={"sni_hostname": place.host},
                    timeout=self._timeout.total_seconds() / 2,  # httpx2 closes what it times out; a cancel may not
                ) as response,
            ):
                yield response
        except httpx2.HTTPError as error:
            raise _Hiccup(type(error).__name__) from error

    async def _addresses(self, uri: str, place: UriParts) -> Sequence[str]:
        """The addresses of the host, all of which are allowed."""
        try:
            addresses = await self._resolve(place.host, place.port or 443)
        except OSError as error:
            raise _Hiccup("its host is not known") from error
        by_address = place.host in LOCAL_NAMES or is_address(place.host)
        if not addresses:
            raise _Hiccup("its host has no address")
        if not by_address and not all(is_public(address) for address in addresses):
            raise ReferenceUnusable(
                f"{named(uri)} resolves to a private address; only a prefix that names the address itself allows that"
            )
        return addresses

    def _check_status(self, uri: str, status: int) -> None:
        if status == 200:
            return
        if status in (408, 425, 429) or status >= 500:
            raise _Hiccup(f"HTTP {status}")
        remedy = "name the final address, redirects are not followed" if 300 <= status < 400 else "check its access"
        raise ReferenceUnusable(f"{named(uri)} answers HTTP {status}; {remedy}")


def _within(limit: int, uri: str, data: bytes) -> bytes:
    if len(data) > limit:
        raise _too_large(limit, uri)
    return data


def _length(headers: Mapping[str, str]) -> int | None:
    """The size that the server states; None if it does not, and the maximum if it has more digits than a size can
    have."""
    text = headers.get("content-length", "")
    return whole_number(text, 15) if len(text) < 16 or not text.isdecimal() else sys.maxsize


def _too_large(limit: int, uri: str) -> ReferenceUnusable:
    return ReferenceUnusable(f"{named(uri)} is larger than {limit:,} bytes; send a smaller image")


class _Cache:
    """Least recently used first out, limited in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._size = 0

    def get(self, uri: str, now: float) -> bytes | None:
        data, until = self._kept.get(uri, (b"", now))
        if until <= now:
            self._drop(uri)
            return None
        self._kept.move_to_end(uri)
        return data

    def put(self, uri: str, data: bytes, until: float) -> None:
        self._drop(uri)
        if len(data) > self._limit:
            return
        self._kept[uri] = (data, until)
        self._size += len(data)
        while self._size > self._limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, uri: str) -> None:
        data, _ = self._kept.pop(uri, (b"", 0.0))
        self._size -= len(data)


async def _resolve(host: str, port: int) -> Sequence[str]:
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(item[4][0]) for item in entries]
