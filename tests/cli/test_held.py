"""Why a queued request waits, told from a store document written by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scripts.cli import held, place
from scripts.cli.found import Found
from shared.core import record
from shared.core.documents import Create, Document
from tests.builders import a_record, a_request
from tests.cli.conftest import json_lines, renderlane

UNTIL = datetime(2096, 11, 23, 8, tzinfo=UTC)
MODEL = "gemini-3-pro-image"
CLOSED = {MODEL: {"reason": "closed", "until": UNTIL, "why": "quota_day"}}


def a_store(home: Path, pump: dict[str, Any] | None, **changes: Any) -> None:
    """One queued request `waiting`, and the pump's document."""
    home.mkdir()
    (home / "state.db").touch()
    request = a_request(request_id="waiting", purpose="final")
    writes = [Create(record.path("waiting"), a_record(request, **changes))]
    if pump is not None:
        writes.append(Create("pump/pump", pump))

    async def write() -> None:
        async with place.reading(place.read_settings()) as store:
            await store.commit(*writes)

    asyncio.run(write())


def test_a_closed_model_is_named_with_its_opening(home: Path) -> None:
    a_store(home, {"held": CLOSED})
    told = f"{MODEL} is closed until 2096-11-23 08:00 UTC (quota_day)"
    shown = renderlane("status", "waiting").stdout
    assert told in shown
    assert "new" not in shown
    assert f"waits: {told}" in renderlane("list").stdout
    (document,) = json_lines(renderlane("status", "waiting", "--json").stdout)
    assert document["held"] == {"reason": "closed", "until": "2096-11-23T08:00:00Z", "why": "quota_day"}
    assert (document["status"], document["reason"], document["request_id"]) == ("queued", "new", "waiting")


@pytest.mark.parametrize(
    ("reason", "until", "told"),
    [
        ("day", UNTIL, "the day's quota is used up until 2096-11-23 08:00 UTC"),
        ("minute", UNTIL, "the minute's quota is full"),
        ("concurrency", None, "all attempts in flight are taken"),
        ("spend", None, "the spend window is full"),
    ],
)
def test_every_reason_has_words(home: Path, reason: str, until: datetime | None, told: str) -> None:
    a_store(home, {"held": {MODEL: {"reason": reason, "until": until, "why": ""}}})
    assert told in renderlane("status", "waiting").stdout
    assert f"waits: {MODEL}: {told}" in renderlane("list").stdout


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


def test_the_pump_is_looked_at_once_and_only_for_those_that_wait() -> None:
    class Store:
        looks = 0

        async def get(self, path: str) -> Document:
            self.looks += 1
            return Document(path, {"held": CLOSED}, "1", UNTIL.replace(year=2090))

    queued, done = Found("a", a_record()), Found("b", a_record(status="succeeded"))
    store: Any = Store()
    assert asyncio.run(held.read(store, [done])) == {}
    assert store.looks == 0
    assert asyncio.run(held.read(store, [queued, done, queued])) == CLOSED
    assert store.looks == 1


def test_a_field_of_the_document_is_not_overwritten() -> None:
    found = Found("a", a_record(a_request(purpose="final")) | {"held": "its own"})
    assert held.in_document(found, CLOSED)["held"] == "its own"
