"""A team's own flag system as a further, read-only source of flags, through its OpenFeature provider.

For each of our flag names the provider is asked for an object named `renderlane-NAME`. Nothing, or `{}`, is off; on is
an object with any of `to`, `tenant`, `purpose`, `model`, `lane`, `share`, `reason` and `shadow`, as `renderlane flags
trip` takes them. The flags are tripped and reset over there; here they show up with the provider's name as their actor.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.provider import AbstractProvider

from shared.core.board import Board
from shared.core.flag import LOWER_TO, NAMES, Flag, FlagName, Scope

DOMAIN = "renderlane"
ASKED_FOR = timedelta(hours=2)
"""An expiry is shown, and moves on as long as the provider says on."""
TEXTS = ("tenant", "purpose", "model", "lane")


class OpenFeatureFlags:
    """See shared.ports.FlagSource. A flag that cannot be read, or is not well formed, keeps what it said last."""

    def __init__(self, client: OpenFeatureClient, name: str) -> None:
        self._client = client
        self._name = name
        self._last: dict[str, Flag] = {}

    @classmethod
    def of(cls, named: str) -> OpenFeatureFlags:
        """`module:attribute` is a provider, or makes one when called. Raises ValueError."""
        module, _, attribute = named.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
            provider = found if isinstance(found, AbstractProvider) else found()
        except Exception as error:
            raise ValueError(f"{named} cannot be made ({type(error).__name__}: {error})") from error
        if not isinstance(provider, AbstractProvider):
            raise ValueError(f"{named} is no OpenFeature provider")
        api.set_provider(provider, DOMAIN)
        return cls(api.get_client(DOMAIN), provider.get_metadata().name)

    def beside(self, own: Board, now: datetime) -> Board:
        for name in NAMES:
            self._read(name, now)
        theirs = {flag.id: replace(flag, expires_at=now + ASKED_FOR) for flag in self._last.values()}
        return replace(own, flags={**own.flags, **theirs})

    def _read(self, name: FlagName, now: datetime) -> None:
        details = self._client.get_object_details(f"renderlane-{name}", {})
        if details.error_code is not None and details.error_code.value != "FLAG_NOT_FOUND":
            return
        said = details.value
        if not isinstance(said, Mapping):
            return
        flag = self._flag(name, said, now) if said else None
        if flag is not None:
            before = self._last.get(name)
            self._last[name] = replace(flag, tripped_at=before.tripped_at) if before is not None else flag
        elif not said:
            self._last.pop(name, None)

    def _flag(self, name: FlagName, said: Mapping[str, Any], now: datetime) -> Flag | None:
        """None where it is not well formed."""
        texts = {each: said.get(each) for each in TEXTS}
        share, to = said.get("share", 100), said.get("to")
        well_formed = (
            all(each is None or isinstance(each, str) for each in texts.values())
            and isinstance(share, int)
            and 0 <= share <= 100
            and (to in LOWER_TO if name == "lower-resolution" else to is None)
        )
        if not well_formed:
            return None
        return Flag(
            id=f"{name}@{self._name}",
            name=name,
            actor=self._name,
            reason=str(said.get("reason", f"on at {self._name}")),
            tripped_at=now,
            expires_at=now + ASKED_FOR,
            to=to,
            scope=Scope(**texts, share=share),
            shadow=bool(said.get("shadow", False)),
        )
