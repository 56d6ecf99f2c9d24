"""Who calls the console on one machine: the person who works on it, by the name of the account that runs the worker."""

from __future__ import annotations

import getpass
from ipaddress import ip_address
from urllib.parse import urlsplit

from shared.ports.identity import ANY_TENANT, Caller, CallerInfo, NotIdentified

NAMES = ("localhost", "127.0.0.1", "::1")
"""Hosts that a browser on this machine uses. Any other name that leads here is a page's trick: DNS rebinding."""
REMEDY = (
    "Open it on the machine itself, as http://localhost:PORT/console; to serve others, set RENDERLANE_CONSOLE_AUDIENCE"
)
REMEDY_OF_THE_API = (
    "Call http://127.0.0.1:PORT from a program on the machine itself, by HTTP/1.1; to serve others, deploy the function"
    " `api`"
)


class LoopbackIdentities:
    """Serves only this machine, which is recognised by the peer, the named host and the absence of a proxy."""

    def __init__(self, what: str = "a browser", remedy: str = REMEDY) -> None:
        """`what` of this machine may come."""
        self._what = what
        self._remedy = remedy

    async def actor(self, caller: CallerInfo) -> str:
        if not _is_loopback(caller.peer):
            peer = caller.peer or "an unknown address"
            raise NotIdentified("the connection", f"a client at {peer}", "this machine", self._remedy)
        if caller.proxied:
            raise NotIdentified(
                "the connection", "a proxy in front, or HTTP/1.0", f"{self._what} on this machine", self._remedy
            )
        if _name(caller.host) not in NAMES:
            raise NotIdentified("host", f"the host {caller.host[:80]!r}", ", ".join(NAMES), self._remedy)
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return "unknown account"


class LoopbackCallers:
    """Of the API on one machine: its programs may call for every tenant, as they may publish for every tenant."""

    def __init__(self) -> None:
        self._identities = LoopbackIdentities("a program", REMEDY_OF_THE_API)

    async def caller(self, call: CallerInfo) -> Caller:
        return Caller(await self._identities.actor(call), (ANY_TENANT,))


def _is_loopback(peer: str) -> bool:
    try:
        return ip_address(peer).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str | None:
    """Of `Host`, without the port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
