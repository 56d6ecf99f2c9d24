"""Tripping, extending and resetting a flag from the command line: the change with its actor, and a kick."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TextIO

import click

from scripts.cli.data import worker_home
from scripts.cli.data.see import routing
from scripts.cli.data.steer import audit, flag_options
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.telemetry.json_log import JsonSignals
from shared.config import Settings
from shared.core.conclusions.conclusion import Conclusion
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.core.routing.background_proof import BackgroundProof
from shared.core.routing.flag import Flag
from shared.core.routing.flag_form import FlagRequest
from shared.core.values.lanes import AT_ONCE, BUILT
from shared.flows.background import proofs
from shared.flows.operations import flag_preview, flags
from shared.flows.operations.flag_preview import FlagPreview
from shared.flows.operations.routing_snapshot import RoutingSnapshot
from shared.ports.messaging import TopicsUnavailable
from shared.ports.telemetry import Events


async def look(settings: Settings, wish: FlagRequest) -> FlagPreview:
    """What the flag would do; nothing is changed."""
    catalogue = wiring.catalogue(settings)
    source = wiring.flag_source(settings, catalogue)
    async with worker_home.reading(settings) as store:
        gateways = wiring.gateways_in_use(settings, catalogue)
        vertex = wiring.vertex_use(settings)
        return await flag_preview.look(store, source, catalogue, BUILT, gateways, wish, _ids(wish.name), vertex)


async def trip(settings: Settings, flag: Flag) -> None:
    """Raises FlagRefused."""
    async with worker_home.reading(settings) as store:
        with signals(settings) as events:
            await flags.trip(store, events, flag)
    await _kick(settings)


async def reset(settings: Settings, named: str, actor: str, reason: str) -> tuple[Flag | Conclusion, RoutingSnapshot]:
    """The flag or the conclusion that was reset, with its state before. Raises FlagRefused."""
    catalogue = wiring.catalogue(settings)
    async with worker_home.reading(settings) as store:
        snapshot = await routing.read(store, settings, catalogue)
        conclusion = snapshot.routing.conclusions.reached.get(named)
        with signals(settings) as events:
            if conclusion is not None:
                await flags.reset_conclusion(store, events, conclusion, actor, reason)
            else:
                flag = flag_options.meant(named, snapshot.own, snapshot.board, snapshot.now)
                await flags.reset(store, events, flag.id, actor, reason)
    await _kick(settings)
    return conclusion or flag, snapshot


async def prove_again(settings: Settings, circuit: str, actor: str, reason: str) -> BackgroundProof:
    """What was known about the circuit's background calls: the next call is a canary. Raises click.UsageError."""
    catalogue = wiring.catalogue(settings)
    circuits = [f"{lane}/{model.id}" for model in catalogue.models.values() for lane in AT_ONCE if lane in model.lanes]
    if circuit not in circuits:
        raise click.UsageError(f"background:{circuit}: found no such lane of a model; allowed: {', '.join(circuits)}")
    async with worker_home.reading(settings) as store:
        before = await proofs.reset(store, circuit)
    audit.note(settings, "prove background calls again", detail=f"{circuit}, by {actor}: {reason}")
    return before


async def extend(settings: Settings, named: str, lasts: timedelta, actor: str, reason: str) -> tuple[Flag, datetime]:
    """The flag as it was, and until when it is tripped now. Raises FlagRefused."""
    catalogue = wiring.catalogue(settings)
    async with worker_home.reading(settings) as store:
        snapshot = await routing.read(store, settings, catalogue)
        flag = flag_options.meant(named, snapshot.own, snapshot.board, snapshot.now)
        until = snapshot.now + lasts
        with signals(settings) as events:
            await flags.extend(store, events, flag.id, until, actor, reason)
    await _kick(settings)
    return flag, until


async def _kick(settings: Settings) -> None:
    """An active pump polls flags anyway; if none is active, one is started."""
    try:
        async with worker_home.publishing(settings) as topics:
            await topics.publish(PUMP_KICKS, Kick().to_bytes())
    except TopicsUnavailable as error:
        text = (
            f"note: the flag was changed; it takes effect within a minute because the pump could not be woken ({error})"
        )
        click.echo(text, err=True)


@contextlib.contextmanager
def signals(settings: Settings) -> Iterator[Events]:
    """Events of a one-machine home are in its file; elsewhere the history is in the store."""
    with _events(settings) as events:
        yield JsonSignals(events, SystemClock(), settings.project)


def _events(settings: Settings) -> TextIO:
    return worker_home.events(settings) if settings.one_machine else open(os.devnull, "w", encoding="utf-8")


def _ids(name: str) -> Iterator[str]:
    while True:
        yield f"{name}-{secrets.token_hex(2)}"
