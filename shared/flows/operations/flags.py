"""Tripping and resetting flags, each in one compare-and-set with its line of history, and reading them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.core.conclusions.conclusion import Conclusion
from shared.core.lifecycle import queries
from shared.core.observability import events
from shared.core.routing.flag import BREAKER, Flag, Scope
from shared.core.routing.flag_board import HISTORY, HISTORY_KEPT, PATH, Board, FlagRefused
from shared.core.routing.flag_history import Action, HistoryLine
from shared.core.values.documents import Committed, Create, Document, Update, Write
from shared.core.values.undo import may_be_undone
from shared.ports import Ports
from shared.ports.store import Store
from shared.ports.telemetry import Events

LOOKED_BACK = 50
"""Lines of history that are searched for the state before a change."""

__all__ = ["Board", "expire", "extend", "read_board", "reset", "reset_conclusion", "trip", "undo"]


async def read_board(ports: Ports) -> Board:
    """Our own flags, and those of the team's flag system if one is configured."""
    return await ports.flag_source.beside(await read_own(ports.store), ports.clock.now())


async def read_own(store: Store) -> Board:
    document = await store.get(PATH)
    return Board.from_json(document.data) if isinstance(document, Document) else Board()


async def trip(store: Store, signals: Events, new: Flag) -> Flag:
    """Raises FlagRefused."""
    await _change(store, signals, "trip", new.actor, new.reason, new.id, lambda board, _: board.tripped(new))
    return new


async def reset(
    store: Store, signals: Events, flag_id: str, actor: str, reason: str, *, as_seen: datetime | None = None
) -> None:
    """Raises FlagRefused, also if it has changed since it was read: `as_seen` is when it ended then."""

    def without(board: Board, now: datetime) -> Board:
        _check_unchanged(board, flag_id, as_seen)
        return board.reset(flag_id, actor, now)

    await _change(store, signals, "reset", actor, reason, flag_id, without)


async def reset_conclusion(store: Store, signals: Events, conclusion: Conclusion, actor: str, reason: str) -> None:
    """Have the pump drop a conclusion and all evidence for it: only failures from now on count."""
    while True:
        document = await store.get(PATH)
        now = document.read_at
        before = Board.from_json(document.data) if isinstance(document, Document) else Board()
        data = before.forgotten(conclusion.id, now).to_json() | {"updated_at": now}
        write: Write = Update(PATH, data, document.version) if isinstance(document, Document) else Create(PATH, data)
        shown = Flag(
            conclusion.id, "pause", "conclusion", conclusion.why, conclusion.since, now, scope=_scope(conclusion)
        )
        line = {**_line("reset", shown, actor, reason, now), "name": "conclusion"}
        history = Create(f"{HISTORY}/{now:%Y%m%dT%H%M%S%f}-reset-{conclusion.id.replace('/', '-')}", line)
        if isinstance(await store.commit(write, history), Committed):
            signals.emit(
                events.FLAG_CHANGED, flag=conclusion.id, action="reset", name="conclusion", scope=str(shown.scope),
                actor=actor, reason=reason, expires_at=now, shadow=False,
            )  # fmt: skip
            return


def _scope(conclusion: Conclusion) -> Scope:
    lane, slash, model = conclusion.subject.partition("/")
    return Scope(model=model, lane=None if lane == "*" else lane) if slash else Scope(model=conclusion.subject)


async def extend(
    store: Store,
    signals: Events,
    flag_id: str,
    until: datetime,
    actor: str,
    reason: str,
    *,
    as_seen: datetime | None = None,
) -> None:
    """Raises FlagRefused, also if it has changed since it was read: `as_seen` is when it ended then."""

    def longer(board: Board, now: datetime) -> Board:
        _check_unchanged(board, flag_id, as_seen)
        return board.extended(flag_id, until, actor, now)

    await _change(store, signals, "extend", actor, reason, flag_id, longer)


async def undo(store: Store, events_port: Events, flag_id: str, actor: str) -> None:
    """Undo the last change of a flag, within UNDO_WITHIN. Raises FlagRefused."""
    documents = [line for line in await store.query(queries.flag_history(LOOKED_BACK)) if line.is_readable]
    mine = [
        line for line in (HistoryLine.from_json(document.data) for document in documents) if line.flag_id == flag_id
    ]
    if not mine or mine[0].action not in ("trip", "reset", "extend"):
        raise FlagRefused(f"flag {flag_id}: nothing to undo; its last change was no trip, reset or extension")
    last = mine[0]
    if not may_be_undone(last.at, documents[0].read_at):
        raise FlagRefused(f"flag {flag_id}: the last change is older than a minute; reset or trip it instead")
    change = _undoing(flag_id, last, mine[1] if len(mine) > 1 else None, actor)
    await _change(store, events_port, "undo", actor, f"undone: {last.action}", flag_id, change)


def _undoing(
    flag_id: str, last: HistoryLine, before: HistoryLine | None, actor: str
) -> Callable[[Board, datetime], Board]:
    match last.action:
        case "trip":
            return lambda board, now: board.reset(flag_id, actor, now)
        case "reset":
            return lambda board, now: board.restored(last.whole_flag, now)
        case _:
            if before is None:
                raise FlagRefused(f"flag {flag_id}: its time before is not on record; extend it to what it should be")
            return lambda board, _: board.expiring(before.whole_flag)


async def expire(ports: Ports, now: datetime) -> int:
    """Write expired flags into the history. They have had no effect since they expired."""
    board = await read_own(ports.store)
    over = board.expired(now)

    def without(flag_id: str) -> Callable[[Board, datetime], Board]:
        return lambda board, now: board.reset(flag_id, BREAKER, now) if flag_id in board.flags else board

    for flag in over:
        reason = "its time was over"
        await _change(ports.store, ports.signals, "expire", flag.actor, reason, flag.id, without(flag.id))
    return len(over)


def _check_unchanged(board: Board, flag_id: str, as_seen: datetime | None) -> None:
    if as_seen is None:
        return
    flag = board.flags.get(flag_id)
    if flag is None:
        raise FlagRefused(f"flag {flag_id} is no longer active: it was reset or has expired")
    if flag.expires_at != as_seen:
        raise FlagRefused(
            f"flag {flag_id} has changed meanwhile: it now expires at {flag.expires_at:%H:%M:%S}, not at "
            f"{as_seen:%H:%M:%S} (UTC). Look at its current state, then decide again"
        )


async def _change(
    store: Store,
    signals: Events,
    action: Action,
    actor: str,
    reason: str,
    flag_id: str,
    change: Callable[[Board, datetime], Board],
) -> None:
    while True:
        document = await store.get(PATH)
        now = document.read_at
        before = Board.from_json(document.data) if isinstance(document, Document) else Board()
        after = change(before, now)
        if after == before:
            return
        data = after.to_json() | {"updated_at": now}
        write: Write = Update(PATH, data, document.version) if isinstance(document, Document) else Create(PATH, data)
        flag = after.flags.get(flag_id) or before.flags[flag_id]
        line = Create(f"{HISTORY}/{now:%Y%m%dT%H%M%S%f}-{action}-{flag_id}", _line(action, flag, actor, reason, now))
        if isinstance(await store.commit(write, line), Committed):
            signals.emit(
                events.FLAG_CHANGED, flag=flag_id, action=action, name=flag.name, scope=str(flag.scope), actor=actor,
                reason=reason, expires_at=flag.expires_at, shadow=flag.shadow,
            )  # fmt: skip
            return


def _line(action: Action, flag: Flag, actor: str, reason: str, now: datetime) -> dict[str, Any]:
    return HistoryLine(now, action, flag.id, flag.name, actor, reason, flag.to_json(), now + HISTORY_KEPT).to_json()
