"""Where a reference's URI points, and whether that is below a prefix: compared part by part, never as text.

Only the symlinks of local paths are read.
"""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct


class UriParts(Struct, frozen=True):
    """Where a URI points, or an allowed prefix, in parts that can be compared."""

    scheme: str
    host: str
    port: int | None
    path: str
    """Decoded, without a slash at its end."""

    def covers(self, other: UriParts) -> bool:
        return (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port) and _under(
            other.path, self.path
        )


def place_of(uri: str) -> UriParts:
    """Raises ValueError with what is allowed."""
    parts = _split(uri)
    path = unquote(parts.path)
    if "\\" in path or "\0" in path or re.search(r"%2f|%5c", parts.path, re.I):
        raise ValueError("found an encoded slash or a backslash in the path; allowed: plain names joined by /")
    if parts.scheme != "file" and any(_is_dots(name) for name in path.split("/")):
        raise ValueError("found . or .. in the path; allowed: plain names joined by /")
    host = (parts.hostname or "").rstrip(".")
    if not re.fullmatch(r"[a-z0-9._-]*|[0-9a-f:.]+", host):
        raise ValueError("found a host with other characters than letters, digits, . _ -; allowed: its plain name")
    if parts.scheme == "file":
        if host not in ("", "localhost") or not path.startswith("/"):
            raise ValueError("allowed: file:///absolute/path")
        return UriParts("file", "", None, os.path.realpath(path))
    if not host or (parts.scheme == "gs" and parts.port is not None):
        raise ValueError(f"allowed: {'gs://BUCKET/OBJECT' if parts.scheme == 'gs' else 'https://HOST/PATH'}")
    port = (parts.port or 443) if parts.scheme == "https" else None
    return UriParts(parts.scheme, host, port, path.rstrip("/"))


def _is_dots(name: str) -> bool:
    """Also as read by a server that decodes twice, or drops what follows a semicolon, as Tomcat does."""
    return re.search(r"(^|[/\\])\.\.?([/\\;]|$)", unquote(name)) is not None


def _split(uri: str) -> SplitResult:
    if not re.fullmatch(r"[!-~]*", uri):
        raise ValueError("found a space, an accent or a control character; allowed: a URI, with those encoded")
    try:
        parts = urlsplit(uri)
        _ = parts.port, unquote(parts.path, errors="strict")
    except ValueError as error:
        raise ValueError("found a host, a port or a path that cannot be read; allowed: a URI in UTF-8") from error
    if parts.scheme not in ("file", "gs", "https"):
        raise ValueError("allowed: file://, gs:// or https://")
    if "@" in parts.netloc:
        raise ValueError("found a user name or an @ before the host; allowed: the host alone")
    return parts


def _under(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return path == folder or path.startswith(f"{folder}/")


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Also looks into IPv6 addresses that carry an IPv4 one, which a router or gateway may unwrap."""
    i_pv6_address = ipaddress.ip_address(address.partition("%")[0])
    if any(i_pv6_address in item for item in _NEVER_PUBLIC if item.version == i_pv6_address.version):
        return False
    if isinstance(i_pv6_address, ipaddress.IPv6Address):
        if i_pv6_address in _TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(i_pv6_address) & 0xFFFFFFFF)))
        inner = i_pv6_address.ipv4_mapped or i_pv6_address.sixtofour or (i_pv6_address.teredo or (None, None))[1]
        if inner is not None and not is_public(str(inner)):
            return False
    return i_pv6_address.is_global and not i_pv6_address.is_multicast


_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last 32 bits are the IPv4 address that is reached."""
_NEVER_PUBLIC = tuple(
    ipaddress.ip_network(item)
    for item in (
        "64:ff9b:1::/48",  # NAT64 of a network's own (RFC 8215)
        "::/96",  # IPv4-compatible, deprecated (RFC 4291)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "fec0::/10",  # site-local, deprecated (RFC 3879)
        "2001::/32",  # Teredo (RFC 4380)
        "2002::/16",  # 6to4 (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
        "100::/64",  # discard (RFC 6666)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "100.64.0.0/10",  # shared by carriers (RFC 6598)
    )
)
