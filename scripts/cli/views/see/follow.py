"""Following requests until they have ended: sheets, redrawn on a terminal; elsewhere one line for each change."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import click
from rich.console import Group
from rich.live import Live

from scripts.cli.data.json_output import JsonForm, to_json
from scripts.cli.data.see import wait_reasons
from scripts.cli.data.see.requests import StoredRequest, find, find_again
from scripts.cli.data.see.wait_reasons import WaitReasons
from scripts.cli.views.see import request_view
from shared.core.catalogue.catalogue import Catalogue
from shared.core.values.documents import Absent
from shared.core.values.status import FINAL
from shared.ports.store import Store

PAUSE = 0.5
Draw: TypeAlias = Callable[[Sequence[StoredRequest], WaitReasons], None]


async def follow(
    store: Store, ids: Sequence[str], catalogue: Catalogue, *, as_json: bool, raw: bool, with_prompt: bool
) -> list[StoredRequest | Absent]:
    """As they were when the last of them had ended; unknown ones are not waited for."""
    looked: list[StoredRequest | Absent] | None = None
    with _drawing(as_json=as_json, raw=raw, with_prompt=with_prompt) as draw:
        while True:
            looked = await find(store, ids) if looked is None else await find_again(store, looked)
            current = [item for item in looked if isinstance(item, StoredRequest)]
            draw(current, await wait_reasons.read(store, current, catalogue))
            if all(item.status in FINAL for item in current):
                return looked
            await asyncio.sleep(PAUSE)


@contextlib.contextmanager
def _drawing(*, as_json: bool, raw: bool, with_prompt: bool) -> Iterator[Draw]:
    if as_json:
        form = JsonForm(raw, with_prompt)
        yield _changes(lambda item, why: to_json(wait_reasons.in_document(item, why, form)))
    elif not sys.stdout.isatty():
        yield _changes(line)
    else:
        with Live(console=request_view.console(), auto_refresh=False) as live:

            def redraw(current: Sequence[StoredRequest], why: WaitReasons) -> None:
                sheets = [
                    request_view.sheet(item, wait_reasons.of(item, why), with_prompt=with_prompt) for item in current
                ]
                live.update(Group(*sheets), refresh=True)

            yield redraw


def _changes(text_of: Callable[[StoredRequest, WaitReasons], str]) -> Draw:
    marks: dict[str, object] = {}

    def draw(current: Sequence[StoredRequest], why: WaitReasons) -> None:
        for item in current:
            if marks.get(item.key) != (mark := _mark(item)):
                marks[item.key] = mark
                click.echo(text_of(item, why))
                sys.stdout.flush()

    return draw


def _mark(request: StoredRequest) -> object:
    """What changes when a person would say that something happened."""
    record = request.record
    return (
        request.status,
        record.reason,
        record.round,
        record.attempt_count,
        record.route,
        record.cancel_requested_at,
    )


def line(request: StoredRequest, why: WaitReasons) -> str:
    """When, which, and what happened."""
    record = request.record
    at = record.updated_at
    return f"{at:%H:%M:%S} UTC  {request.request_id}  {request.status:<9}  {_what(request, why)}".rstrip()


def _what(request: StoredRequest, why: WaitReasons) -> str:
    record = request.record
    if record.outcome:
        return f"{record.outcome.code}, {request_view.cost(record)}" + (f"  {request.image}" if request.image else "")
    keeps = wait_reasons.of(request, why)
    if keeps is not None:
        return wait_reasons.text(record.model, keeps)
    if request.status == "rendering":
        return f"attempt {record.attempt_count} on {request_view.route(record.route)} {record.route.image_size}"
    return str(record.reason or request_view.route(record.route))
