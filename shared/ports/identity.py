"""Who is calling the console, or the API."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from shared.core.messages.render_request import DEFAULT_TENANT
from shared.core.validation.shapes import Problem

ANY_TENANT = "*"


class CallerInfo(Struct, frozen=True):
    """What a call to the console, or to the API, says about its caller."""

    peer: str
    """The address at the other end of the connection."""
    host: str
    """The header `Host`."""
    proxied: bool
    """The headers show that it came through a proxy."""
    assertion: str | None
    """The header `X-Goog-IAP-JWT-Assertion`; for the API, the header with the identity token."""


class NotIdentified(Exception):
    """The caller may not use this. `problem` says by which header, what was found, what is allowed and what to do."""

    def __init__(self, field: str, given: str, allowed: str, remedy: str) -> None:
        super().__init__(f"found {given}; allowed: {allowed}. {remedy}")
        self.problem = Problem(field, given, allowed, remedy)


class Caller(Struct, frozen=True):
    """Who calls the API, and for which tenants."""

    name: str
    tenants: tuple[str, ...]
    """The first one is used if a call names none; `*` stands for every tenant."""

    @property
    def default_tenant(self) -> str:
        return next((tenant for tenant in self.tenants if tenant != ANY_TENANT), DEFAULT_TENANT)

    def may_use(self, tenant: str) -> bool:
        return tenant in self.tenants or ANY_TENANT in self.tenants


class Callers(Protocol):
    """Who calls the API."""

    async def caller(self, call: CallerInfo) -> Caller:
        """Raises NotIdentified."""
        ...


class Identities(Protocol):
    """Who uses the console."""

    async def actor(self, caller: CallerInfo) -> str:
        """The name under which changes are made. Raises NotIdentified."""
        ...
