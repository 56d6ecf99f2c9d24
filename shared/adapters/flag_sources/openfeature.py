"""A team's own flag system as an additional, read-only source of flags, through its OpenFeature provider.

For each of our flag names the provider is asked for an object named `renderlane-NAME`. Nothing, or `{}`, is off; on is
an object with any of `to`, `tenant`, `purpose`, `model`, `lane`, `share`, `reason` and `shadow`, as `renderlane flags
trip` takes them. The flags are tripped and reset in that system; here they appear with the provider's name as their
actor.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.event import EventDetails, ProviderEvent
from openfeature.provider import AbstractProvider

from shared.adapters.process.daemon import in_daemon
from shared.core.messages.render_request import PURPOSES
from shared.core.routing.flag import BREAKER, Flag, Scope
from shared.core.routing.flag_board import Board
from shared.core.routing.flag_kinds import FLAGS, NAMES, FlagName
from shared.core.values.lanes import ASKABLE

DOMAIN = "renderlane"
READY_WITHIN = 2.0
"""Seconds that a start waits for the provider; one that takes longer, or fails, is read as soon as it is available."""
PATIENCE = 0.5
"""Seconds that a read may delay the pump; a later answer applies from the next read on."""
ASKED_FOR = timedelta(hours=2)
"""An expiry is shown, and is extended as long as the provider says on: in steps, because a changed flag is a change of
state."""
STEP = timedelta(minutes=30)
ALLOWED: Mapping[str, tuple[str, ...]] = {"purpose": PURPOSES, "lane": ASKABLE}
SCOPE = Scope.__struct_fields__
FIELDS = {*SCOPE, "to", "reason", "shadow"}

LONGEST_FOUND = 300
WELL_FORMED = (
    "an object with any of to, tenant, purpose, model, lane, share (a whole number, 0 to 100), reason and shadow, "
    "as `renderlane flags trip` takes them; {} is off"
)
Report = Callable[[FlagName, str, str], None]
Values = Mapping[FlagName, Any]
"""The provider's answers, by flag; flags for which it could not be asked are left out."""


class OpenFeatureFlags:
    """See shared.ports.flags.FlagSource. A flag that cannot be read, or is malformed, keeps its last value."""

    def __init__(
        self, client: OpenFeatureClient, name: str, live_ids: Mapping[str, str], report: Report = lambda *_: None
    ) -> None:
        """`live_ids` has the id of the live model for every id and alias of the catalogue. `report` is called once for
        each malformed answer, with the flag, what was found and what is allowed."""
        self._report = report
        self._reported: dict[FlagName, str] = {}
        self._client = client
        self._name = f"{name} provider" if name == BREAKER else name
        self._live_ids = live_ids
        self._last: dict[str, Flag] = {}
        self._reading: asyncio.Future[Values] | None = None

    @classmethod
    def of(cls, named: str, live_ids: Mapping[str, str], report: Report = lambda *_: None) -> OpenFeatureFlags:
        """`module:attribute` is a provider, or makes one when called. Raises ValueError."""
        module, _, attribute = named.partition(":")
        try:
            abstract_provider = getattr(importlib.import_module(module), attribute)
            provider = abstract_provider if isinstance(abstract_provider, AbstractProvider) else abstract_provider()
        except Exception as error:
            raise ValueError(
                f"{named} cannot be made ({type(error).__name__}: {error}); allowed: module:attribute of an "
                "OpenFeature provider, or of what makes one when it is called"
            ) from error
        if not isinstance(provider, AbstractProvider):
            raise ValueError(
                f"found {named}, which is no OpenFeature provider; allowed: an instance, a class or a maker of one"
            )
        return cls(_connected(provider), provider.get_metadata().name, live_ids, report)

    async def beside(self, own: Board, now: datetime) -> Board:
        reading = self._reading = self._reading or in_daemon(self._ask, "flag-provider")
        done, _ = await asyncio.wait({reading}, timeout=PATIENCE)
        if done:
            self._reading = None
            for name, value in reading.result().items():
                self._take(name, value, now)
        expires_at = _next_step(now) + ASKED_FOR
        theirs = {flag.id: replace(flag, expires_at=expires_at) for flag in self._last.values()}
        return replace(own, flags={**own.flags, **theirs})

    def _ask(self) -> Values:
        """In a thread of its own: a provider may call a server each time."""
        values: dict[FlagName, Any] = {}
        for name in NAMES:
            try:
                details = self._client.get_object_details(f"renderlane-{name}", {})
            except Exception:  # noqa: BLE001  hooks and providers may raise anything; they are read again
                continue
            if details.error_code is None or details.error_code.value == "FLAG_NOT_FOUND":
                values[name] = details.value
        return values

    def _take(self, name: FlagName, value: Any, now: datetime) -> None:
        if not isinstance(value, Mapping):
            self._complain(name, value)
            return
        if not value:
            self._last.pop(name, None)
            self._reported.pop(name, None)
            return
        flag = self._flag(name, value, now)
        if flag is None:
            self._complain(name, value)
        else:
            self._reported.pop(name, None)
            before = self._last.get(name, flag)
            self._last[name] = replace(flag, tripped_at=before.tripped_at)

    def _complain(self, name: FlagName, value: object) -> None:
        text = repr(value)[:LONGEST_FOUND]
        if self._reported.get(name) != text:
            self._reported[name] = text
            self._report(name, text, WELL_FORMED)

    def _flag(self, name: FlagName, details: Mapping[str, Any], now: datetime) -> Flag | None:
        """None if it is malformed: half a scope would affect requests that were not meant."""
        scope = self._scope(details)
        to, reason, shadow = (
            details.get("to"),
            details.get("reason", f"on at {self._name}"),
            details.get("shadow", False),
        )
        well_formed = (
            set(details) <= FIELDS
            and (to in FLAGS[name].to if FLAGS[name].to else to is None)
            and isinstance(reason, str)
            and isinstance(shadow, bool)
        )
        if scope is None or not well_formed:
            return None
        return Flag(
            id=f"{name}@{re.sub(r'[^A-Za-z0-9.-]+', '-', self._name)}",
            name=name,
            actor=self._name,
            reason=reason,
            tripped_at=now,
            expires_at=now + ASKED_FOR,
            to=to,
            scope=scope,
            shadow=shadow,
        )

    def _scope(self, details: Mapping[str, Any]) -> Scope | None:
        named = {name: details[name] for name in SCOPE if details.get(name) is not None}
        share = _whole(named.pop("share", 100))
        if share is None or not 0 <= share <= 100:
            return None
        if not all(isinstance(value, str) and value in ALLOWED.get(name, (value,)) for name, value in named.items()):
            return None
        if "model" in named:
            if named["model"] not in self._live_ids:
                return None
            named["model"] = self._live_ids[named["model"]]
        return Scope(**named, share=share)


def _whole(value: object) -> int | None:
    """A flag server's numbers arrive as floats: JSON and protobuf's Struct have no integers.

    Report: https://github.com/influxdata/flux/pull/4441
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        return None
    return int(value)


def _connected(provider: AbstractProvider) -> OpenFeatureClient:
    """A client of the provider, which has had READY_WITHIN to get ready."""
    settled = threading.Event()

    def heard(_: EventDetails) -> None:
        settled.set()

    api.set_provider(provider, DOMAIN)
    client = api.get_client(DOMAIN)
    for event in (ProviderEvent.PROVIDER_READY, ProviderEvent.PROVIDER_ERROR):
        client.add_handler(event, heard)
    settled.wait(READY_WITHIN)
    for event in (ProviderEvent.PROVIDER_READY, ProviderEvent.PROVIDER_ERROR):
        client.remove_handler(event, heard)
    return client


def _next_step(now: datetime) -> datetime:
    return now + STEP - timedelta(seconds=now.timestamp() % STEP.total_seconds())
