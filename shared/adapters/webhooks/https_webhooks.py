"""The Webhooks port over HTTPS. An address is hostile until every IP address behind it is public.

The name is looked up once for each attempt, the addresses are checked, and the connection goes to a checked address: a
name that changes its address between check and call gains nothing. No redirect is followed, no proxy of the environment
is used, and of the answer only the head is read. Errors name the host alone: path and query may hold a token.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from shared.adapters.payloads.reference_uri import is_address, is_public
from shared.core.validation.numbers import whole_number
from shared.ports.webhooks import AddressRefused, Answer, NoAnswer

TIMEOUT = timedelta(seconds=10)
LONGEST_URL = 2_000

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to IP addresses. Raises OSError."""


class HttpsWebhooks:
    """`allow_this_machine`: loopback addresses are allowed too, over plain HTTP as well."""

    def __init__(
        self,
        *,
        allow_this_machine: bool,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._allow_this_machine = allow_this_machine
        self._tls = tls
        self._resolve = resolve or _look_up
        self._timeout = timeout

    async def check(self, url: str) -> None:
        try:
            await self._addresses(url)
        except NoAnswer as error:
            raise AddressRefused(str(error)) from error

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        import httpx2  # only the function that delivers pays for it

        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                addresses = await self._addresses(url)
                if self._tls is None:
                    self._tls = httpx2.create_ssl_context()
                parts = urlsplit(url)
                async with (
                    httpx2.AsyncClient(verify=self._tls, follow_redirects=False, trust_env=False) as client,
                    client.stream(
                        "POST",
                        httpx2.URL(url).copy_with(host=addresses[0]),
                        content=body,
                        headers={**headers, "host": parts.netloc, "content-type": "application/json",
                                 "user-agent": "Renderlane-Webhooks/1", "accept-encoding": "identity"},
                        extensions={"sni_hostname": parts.hostname or ""},
                        timeout=self._timeout.total_seconds() / 2,
                    ) as response,
                ):  # fmt: skip
                    return Answer(response.status_code, _retry_after(response.headers.get("retry-after", "")))
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self._timeout.total_seconds():g} s") from error
        except httpx2.HTTPError as error:
            raise NoAnswer(f"the connection failed ({type(error).__name__})") from error

    async def _addresses(self, url: str) -> Sequence[str]:
        """The addresses behind the URL, all of which may be called. Raises AddressRefused, NoAnswer."""
        scheme, host, port = _parts(url)
        if scheme == "http" and not self._allow_this_machine:
            raise AddressRefused("found http://; allowed: https:// with a public host name")
        try:
            addresses = [host] if is_address(host) else await self._resolve(host, port)
        except OSError as error:
            raise NoAnswer(f"the host {host} is not known") from error
        if not addresses:
            raise NoAnswer(f"the host {host} has no address")
        if self._allow_this_machine and all(_is_loopback(address) for address in addresses):
            return addresses
        if scheme == "http":
            raise AddressRefused("found http:// to another machine; allowed: https://, or http:// to 127.0.0.1")
        if not all(is_public(address) for address in addresses):
            raise AddressRefused(f"the host {host} has a private address; allowed: public addresses only")
        return addresses


def _parts(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises AddressRefused."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused(f"found no URL of at most {LONGEST_URL:,} plain characters; encode it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("found a host or port that cannot be read; allowed: https://HOST/PATH") from error
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in ("https", "http") or not host:
        raise AddressRefused(f"found {parts.scheme or 'no scheme'}; allowed: https://HOST/PATH")
    if "@" in parts.netloc:
        raise AddressRefused("found a user name before the host; allowed: the host alone")
    if parts.fragment:
        raise AddressRefused("found a fragment (#); allowed: https://HOST/PATH?QUERY")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _retry_after(text: str) -> timedelta | None:
    """Seconds only; a date is ignored, since the back-off serves as well."""
    seconds = whole_number(text, 6)
    return None if seconds is None else timedelta(seconds=seconds)


async def _look_up(host: str, port: int) -> Sequence[str]:
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in answers]
