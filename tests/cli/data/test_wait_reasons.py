"""Why a queued request waits, told from store documents written by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scripts.cli.data import worker_home
from scripts.cli.data.json_output import JsonForm
from scripts.cli.data.see import wait_reasons
from scripts.cli.data.see.requests import StoredRequest
from scripts.cli.data.see.wait_reasons import WaitReasons
from shared.core.lifecycle import request_record
from shared.core.routing import flag_board
from shared.core.routing.flag import Flag, Scope
from shared.core.routing.flag_board import Board
from shared.core.values.documents import Absent, Create, Document
from shared.flows.pump_status import PUMP
from tests.builders import a_catalogue, a_record, a_request, a_request_record
from tests.cli.conftest import json_lines, renderlane

UNTIL = datetime(2096, 11, 23, 8, tzinfo=UTC)
MODEL = "gemini-3-pro-image"
CLOSED = {MODEL: {"reason": "closed", "until": UNTIL, "why": "quota_day"}}


def a_pause(scope: Scope) -> Flag:
    tripped_at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    return Flag("pause-1a2b", "pause", "ann", "asked to", tripped_at, expires_at=UNTIL, scope=scope)


def a_store(home: Path, pump: dict[str, Any] | None, flag: Flag | None = None, **changes: Any) -> None:
    """One queued request `waiting`, the pump's document, and a tripped flag."""
    home.mkdir()
    (home / "state.db").touch()
    request = a_request(request_id="waiting", purpose="final")
    writes = [Create(request_record.path("waiting"), a_record(request, **changes))]
    if pump is not None:
        writes.append(Create(PUMP, pump))
    if flag is not None:
        writes.append(Create(flag_board.PATH, Board({flag.id: flag}).to_json()))

    async def write() -> None:
        async with worker_home.reading(worker_home.read_settings()) as store:
            await store.commit(*writes)

    asyncio.run(write())


def test_a_closed_model_is_named_with_its_opening(home: Path) -> None:
    a_store(home, {"held": CLOSED})
    text = f"{MODEL} is closed until 2096-11-23 08:00 UTC (quota_day)"
    shown = renderlane("status", "waiting").stdout
    assert text in shown
    assert "new" not in shown
    assert f"waits: {text}" in renderlane("list").stdout
    (document,) = json_lines(renderlane("status", "waiting", "--json").stdout)
    assert document["held"] == {"reason": "closed", "until": "2096-11-23T08:00:00Z", "why": "quota_day"}
    assert (document["status"], document["reason"], document["request_id"]) == ("queued", "new", "waiting")


@pytest.mark.parametrize(
    ("reason", "until", "text"),
    [
        ("day", UNTIL, "the daily quota is used up until 2096-11-23 08:00 UTC"),
        ("minute", UNTIL, "the quota of this minute is used up"),
        ("concurrency", None, "the concurrency limit is reached"),
        ("spend", None, "the ten-minute spend limit is reached"),
    ],
)
def test_every_reason_has_words(home: Path, reason: str, until: datetime | None, text: str) -> None:
    a_store(home, {"held": {MODEL: {"reason": reason, "until": until, "why": ""}}})
    assert text in renderlane("status", "waiting").stdout
    assert f"waits: {MODEL}: {text}" in renderlane("list").stdout


@pytest.mark.parametrize(
    ("pump", "changes"),
    [
        (None, {}),
        ({"quiet": True}, {}),
        ({"held": {}}, {}),
        ({"held": {"another-model": CLOSED[MODEL]}}, {}),
        ({"held": {MODEL: {"reason": "closed", "until": datetime(2020, 1, 1, tzinfo=UTC), "why": "quota_day"}}}, {}),
        ({"held": CLOSED}, {"wake_at": UNTIL}),
        ({"held": CLOSED}, {"status": "rendering"}),
    ],
    ids=["no pump", "no field", "nothing held", "another model", "long over", "asleep", "rendering"],
)
def test_nothing_is_said_where_the_pump_holds_nothing(
    home: Path, pump: dict[str, Any] | None, changes: dict[str, Any]
) -> None:
    a_store(home, pump, **changes)
    (document,) = json_lines(renderlane("status", "waiting", "--json").stdout)
    assert "held" not in document
    assert "new" in renderlane("status", "waiting").stdout
    assert "waits" not in renderlane("list").stdout


def test_an_earlier_reason_stays_to_be_read(home: Path) -> None:
    a_store(home, {"held": CLOSED}, reason="late")
    shown = renderlane("status", "waiting").stdout
    assert "is closed" in shown
    assert "late" in shown


def test_one_look_is_taken_and_only_for_those_that_wait() -> None:
    class Store:
        looks = 0

        async def get_all(self, paths: Sequence[str]) -> list[Document | Absent]:
            self.looks += 1
            at = UNTIL.replace(year=2090)
            return [Document(PUMP, {"held": CLOSED}, "1", at), Absent(flag_board.PATH, at)]

    queued, done = StoredRequest("a", a_request_record()), StoredRequest("b", a_request_record(status="succeeded"))
    store: Any = Store()
    assert asyncio.run(wait_reasons.read(store, [done], a_catalogue())) == WaitReasons()
    assert store.looks == 0
    assert asyncio.run(wait_reasons.read(store, [queued, done, queued], a_catalogue())).by_model == CLOSED
    assert store.looks == 1


def test_a_field_of_the_document_is_not_overwritten() -> None:
    request = StoredRequest("a", a_request_record(a_request(purpose="final")), stored={"held": "its own"})
    assert wait_reasons.in_document(request, WaitReasons(CLOSED), JsonForm(raw=True))["held"] == "its own"


PAUSED = {MODEL: {"reason": "paused", "until": None, "why": "flag pause by ann: asked to"}}
MINUTE = {MODEL: {"reason": "minute", "until": None, "why": ""}}


@pytest.mark.parametrize("pump", [PAUSED, MINUTE, {}], ids=["paused", "minute", "nothing said"])
def test_a_request_in_the_scope_of_a_pause_is_told_so_with_who_and_why(home: Path, pump: dict[str, Any]) -> None:
    a_store(home, {"held": pump}, flag=a_pause(Scope(model=MODEL)))
    text = "paused until 2096-11-23 08:00 UTC (flag pause by ann: asked to)"
    assert text in renderlane("status", "waiting").stdout
    assert f"waits: {MODEL}: {text}" in renderlane("list").stdout
    (document,) = json_lines(renderlane("status", "waiting", "--json").stdout)
    assert (document["held"]["reason"], document["held"]["until"]) == ("paused", "2096-11-23T08:00:00Z")


def test_a_pause_of_somebody_else_in_the_same_queue_is_not_told_as_the_request_s_own(home: Path) -> None:
    a_store(home, {"held": PAUSED}, flag=a_pause(Scope(tenant="another")))
    assert "paused" not in renderlane("status", "waiting").stdout
    assert "waits" not in renderlane("list").stdout


@pytest.mark.parametrize("changes", [{"shadow": True}, {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}])
def test_a_pause_in_shadow_or_long_over_holds_nothing(home: Path, changes: dict[str, Any]) -> None:
    a_store(home, {"held": MINUTE}, flag=replace(a_pause(Scope()), **changes))
    assert "the quota of this minute is used up" in renderlane("status", "waiting").stdout


def test_a_pause_that_another_flag_system_keeps_is_told_in_the_pump_s_words(home: Path) -> None:
    a_store(home, {"held": PAUSED})
    assert "paused (flag pause by ann: asked to)" in renderlane("status", "waiting").stdout


def test_a_request_whose_every_route_is_out_is_told_why(home: Path) -> None:
    why = f"breaker: standard/{MODEL}: overload, 9 of 9 calls in 10 s"
    a_store(home, {"held": {MODEL: {"reason": "no route", "until": None, "why": why}}})
    assert f"every route is unavailable: {why}" in renderlane("status", "waiting").stdout
    assert f"waits: {MODEL}: every route is unavailable: {why}" in renderlane("list").stdout
