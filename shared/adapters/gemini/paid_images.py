"""Fetches pictures that were paid for and are stored at an address: patiently, and only from allowed places.

The address comes from an answer, and so perhaps from a caller's prompt: it is https to a public host (of the gateway's
row, if that names any), or the provider's own origin; names are looked up once and the address that was checked is the
one that is called; each redirect is checked in the same way. The key is sent to the provider's own origin alone.

A CDN may not have yet what its owner has just named (https://github.com/yukkcat/gemini-business2api/issues/39,
https://github.com/Nativu5/Gemini-FastAPI/issues/79), so an allowed address is tried again.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import httpx2

from shared.adapters.gemini.bounded_body import MAX_ANSWER_BYTES
from shared.adapters.gemini.http_call import OTHER_ERRORS
from shared.adapters.payloads import answer_image, image_header
from shared.adapters.payloads.answer_image import Elsewhere, Served
from shared.adapters.payloads.reference_uri import is_public
from shared.core.provider.call import Answer, Made, Order, Picture
from shared.core.provider.failure import Failure, FailureKind
from shared.core.references.reference_name import origin

WAITS = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 16))
"""Between two attempts."""
WITHIN = timedelta(seconds=100)
"""All attempts together."""
ONE_TRY = timedelta(seconds=40)
ONCE_MORE = timedelta(seconds=10)
"""For the last look at an old address, before another picture is bought."""
MOST_REDIRECTS = 3
GOOGLE = "generativelanguage.googleapis.com"

Sleep: TypeAlias = Callable[[float], Awaitable[None]]
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to IP addresses. Raises OSError."""
_BROKEN = (*OTHER_ERRORS, httpx2.InvalidURL)
_FILE = re.compile(r"/(?:v\w+/)?files/[\w-]+\Z")


class _Refused(Exception):
    """Nothing is ever fetched from there; the message says why."""


class _NotYet(Exception):
    """There is no picture at the address yet."""


async def look_up(host: str, port: int) -> Sequence[str]:
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in entries]


class PaidImages:
    """`base_url` is the provider's, its origin the only one that may be private, and that `headers` go to. `hosts`:
    the only others, with what lies below them; none: any public host. `google`: files that are named at Google's own
    API lie at `base_url` too.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        hosts: Collection[str] = (),
        google: bool = False,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = look_up,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._own = _origin(urlsplit(self._base_url))
        self._headers = headers or {}
        self._hosts = hosts
        self._google = google
        self._tls = tls
        self._resolve = resolve
        self._sleep = sleep

    async def fetched(self, elsewhere: Elsewhere, within: timedelta = WITHIN) -> Answer:
        """The picture, or the failure that names the best address of it."""
        addresses = [self._absolute(address) for address in elsewhere.addresses]
        reason, refused = "no answer in time", set[str]()
        try:
            async with asyncio.timeout(within.total_seconds()):
                for wait in (*WAITS, None):
                    for address in addresses:
                        if address in refused:
                            continue
                        try:
                            return answer_image.made(await self._picture(address), elsewhere.served, elsewhere.remark)
                        except _Refused as error:
                            reason = str(error)
                            refused.add(address)
                        except _NotYet as error:
                            reason = str(error)
                    if wait is None or len(refused) == len(addresses):
                        break
                    await self._sleep(wait.total_seconds())
        except TimeoutError:
            pass
        return _unfetched(elsewhere, addresses[0], reason)

    async def once_more(self, order: Order) -> Made | None:
        """The picture of an earlier attempt, if its address returns it now."""
        if not order.paid_at:
            return None
        try:
            async with asyncio.timeout(ONCE_MORE.total_seconds()):
                picture = await self._picture(order.paid_at)
        except (TimeoutError, _Refused, _NotYet):
            return None
        served = Served(None, order.model, order.lane, "")
        return Made(picture, None, served.model, served.lane, "", paid_before=True)

    async def _picture(self, address: str) -> Picture:
        """Raises _Refused or _NotYet."""
        reason = ""
        for url in self._places(address):
            try:
                data = await self._read(url)
            except _NotYet as error:
                reason = str(error)
                continue
            picture = image_header.picture(data)
            if picture is not None:
                return picture
            reason = image_header.fault(data)
        raise _NotYet(reason)

    def _absolute(self, address: str) -> str:
        if self._google and re.match(r"files/[\w-]+\Z", address):
            address = f"/v1beta/{address}"
        try:
            return urljoin(f"{self._base_url}/", address)
        except ValueError:
            return address

    def _places(self, address: str) -> tuple[str, ...]:
        """The address to fetch: a file of the API has its bytes beside its description."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return (address,)
        if self._google and parts.hostname == GOOGLE:
            own = urlsplit(self._base_url)
            parts = parts._replace(scheme=own.scheme, netloc=own.netloc)
        url = urlunsplit(parts)
        if self._google and _origin(parts) == self._own and _FILE.match(parts.path):
            return urlunsplit(parts._replace(path=f"{parts.path}:download", query="alt=media")), url
        return (url,)

    async def _read(self, url: str) -> bytes:
        """One GET, and those that it is redirected to. Raises _Refused or _NotYet."""
        try:
            async with asyncio.timeout(ONE_TRY.total_seconds()):
                for _ in range(MOST_REDIRECTS + 1):
                    body, target = await self._get(url)
                    if target is None:
                        return body
                    url = urljoin(url, target)
        except _BROKEN as error:
            raise _NotYet(f"the connection broke ({type(error).__name__})") from error
        except TimeoutError as error:
            raise _NotYet("no answer in time") from error
        raise _NotYet("more redirects than are followed")

    async def _get(self, url: str) -> tuple[bytes, str | None]:
        """The body, or the address that it redirects to."""
        parts, target, headers = urlsplit(url), httpx2.URL(url), dict(self._headers)
        tls: ssl.SSLContext | bool = self._tls or parts.scheme == "https"
        extensions = {}
        if _origin(parts) != self._own:
            host, address = await self._checked(parts)
            target, headers = target.copy_with(host=address, fragment=None), {"host": parts.netloc.rpartition("@")[2]}
            extensions = {"sni_hostname": host}
        headers |= {"accept": "image/*,*/*;q=0.5", "accept-encoding": "identity"}
        seconds = ONE_TRY.total_seconds() / 2
        async with (
            httpx2.AsyncClient(verify=tls, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", target, headers=headers, extensions=extensions, timeout=seconds) as response,
        ):
            if 300 <= response.status_code < 400 and response.headers.get("location"):
                return b"", response.headers["location"]
            if response.status_code != 200:
                raise _NotYet(f"HTTP {response.status_code}")
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise _NotYet("an image without end")
            return bytes(body), None

    async def _checked(self, parts: SplitResult) -> tuple[str, str]:
        """The host and the address of it to call. Raises _Refused, or OSError if the name is unknown."""
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme != "https" or not host:
            raise _Refused("an address that is neither https nor the provider's own")
        if self._hosts and not any(host == name or host.endswith(f".{name}") for name in self._hosts):
            raise _Refused("a host that the gateway's image_hosts do not name")
        addresses = await self._resolve(host, parts.port or 443)
        if not addresses:
            raise _NotYet("its host has no address")
        if not all(is_public(address) for address in addresses):
            raise _Refused("a private address")
        return host, addresses[0]


def google_files(api_key: str, base_url: str | None) -> PaidImages:
    """Pictures that the Gemini API names instead of sending them."""
    return PaidImages(base_url or f"https://{GOOGLE}", headers={"x-goog-api-key": api_key}, google=True)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    try:
        port = parts.port
    except ValueError:
        return "", None, None
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


def _unfetched(elsewhere: Elsewhere, address: str, reason: str) -> Answer:
    """What else the answer holds, or that a paid picture is missing, and its address."""
    match elsewhere.otherwise:
        case Failure(kind=FailureKind.REFUSED) | Made():
            return elsewhere.otherwise
        case _:
            message = f"the image at {origin(address)} could not be fetched ({reason})"
            failure = Failure(FailureKind.MALFORMED_ANSWER, message, address=address)
            return answer_image.named(failure, elsewhere.served)
