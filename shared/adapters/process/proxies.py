"""Proxies of the environment: loopback is reached without one, and an unusable one is refused at the start."""

from __future__ import annotations

import os
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

READ = ("http", "https", "all")
"""HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, in either case: what httpx2 and requests look at."""
USABLE = ("http", "https")
_SPARED = "no_grpc_proxy"
"""gRPC reads only the lower-case names: https://github.com/grpc/grpc/blob/master/doc/environment_variables.md"""


def is_loopback(url: str) -> bool:
    """Whether `url` (or `HOST:PORT`) names this machine."""
    host = (urlsplit(url if "://" in url else f"//{url}").hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def trusted(url: str | None) -> bool:
    """`trust_env` of an HTTP client for `url`; None is Google's own. No proxy leads to this machine itself."""
    return url is None or not is_loopback(url)


def check(urls: Iterable[str | None]) -> None:
    """Raises ValueError for a proxy that the client of one of `urls` cannot use; it begins with the variable's name."""
    if not any(trusted(url) for url in urls):
        return
    for kind, address in sorted(getproxies_environment().items()):
        scheme = urlsplit(address).scheme.lower() if "://" in address else "http"
        if kind in READ and scheme not in USABLE:
            what = "a SOCKS proxy" if scheme.startswith("socks") else f"a proxy of the scheme {scheme!r}"
            raise ValueError(
                f"{_name(kind)}: found {what}; allowed: http://HOST:PORT. Unset it, or set it to an HTTP proxy."
            )


def spare(host: str) -> None:
    """Have gRPC reach `host` (an emulator) directly, if it is on this machine: it has no setting but this one."""
    if not is_loopback(host):
        return
    name = (urlsplit(f"//{host}").hostname or "").strip()
    kept = os.environ.get(_SPARED) or os.environ.get("no_proxy") or ""
    if name not in kept.split(","):
        os.environ[_SPARED] = f"{kept},{name}".lstrip(",")


def _name(kind: str) -> str:
    """As it is written in the environment."""
    named = (f"{kind}_proxy", f"{kind.upper()}_PROXY")
    return next((name for name in named if os.environ.get(name)), named[1])
