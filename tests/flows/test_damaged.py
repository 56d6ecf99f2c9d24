"""One document that cannot be read or written stops nothing but itself: on the one-machine home's real store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared.adapters.sqlite.store import SqliteStore, encoded
from shared.core.lifecycle import queries, request_record
from shared.core.observability import events
from shared.core.records.versioned import request_in
from shared.core.values.documents import Create, Document, UnreadableDocument, Update
from shared.flows.intake.intake import accept_message
from shared.flows.intake.revive import ReviveRefused, revive
from shared.flows.render.settle import recover
from shared.flows.requests.message import Message
from shared.flows.status.summary import write as write_summary
from shared.flows.upkeep.watch import break_leases, watch
from tests.builders import NOW, a_record, a_request, an_attempt
from tests.fakes.lane import made
from tests.world import World

LONG_AGO = {"$at": "2-01-01T00:00:00.000000Z"}
DAMAGES = {"a year in one digit": LONG_AGO, "no date at all": {"$at": "tomorrow"}, "no text": {"$at": 7}}


class Home:
    """A worker on a SQLite file; `damage` writes what no release writes."""

    def __init__(self, file: Path) -> None:
        self.world = World()
        self.file = file
        self.store = SqliteStore(file, self.world.clock, queries.INDEXES)
        self.ports = replace(self.world.ports, store=self.store)
        self.kicks = self.world.kicks
        self.collector = self.world.collector

    def damage(self, path: str, **fields: Any) -> None:
        with sqlite3.connect(self.file) as connection:
            (text,) = connection.execute("SELECT data FROM documents WHERE path = ?", [path]).fetchone()
            changed = json.dumps(json.loads(text) | fields)
            connection.execute("UPDATE documents SET data = ? WHERE path = ?", [changed, path])
        connection.close()

    def skipped(self) -> list[str]:
        return [str(item["document"]) for item in self.world.signals.of(events.DOCUMENT_SKIPPED)]

    async def status(self, request_id: str) -> str:
        absent = await self.store.get(request_record.path(request_id))
        assert isinstance(absent, Document), absent
        return str(absent.data["status"])


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    one = Home(tmp_path / "state.db")
    yield one
    await one.store.close()


async def rendering(home: Home, *request_ids: str) -> None:
    """Attempts of an earlier boot whose leases have lapsed."""
    for request_id in request_ids:
        request, attempt = an_attempt(a_request(request_id=request_id), now=NOW, lease_until=NOW, lease_holder="boot-0")
        await home.store.commit(Create(request.path, request.data), Create(attempt.path, attempt.data))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_watch_recovers_what_stands_behind_a_damaged_request(home: Home, damage: Any) -> None:
    await rendering(home, "a-bad", "b-good")
    home.damage("requests/a-bad", deadline=damage, created_at={"$at": "tomorrow"})
    await watch(home.ports, home.kicks, home.collector)
    assert await home.status("b-good") == "queued"
    assert home.skipped() == ["requests/a-bad"]
    assert len(home.world.signals.of(events.WATCHED)) == 1


async def test_a_damaged_document_is_reported_once_an_hour(home: Home) -> None:
    await rendering(home, "a-bad")
    home.damage("requests/a-bad", created_at={"$at": "tomorrow"})
    for minutes in (0, 1, 58, 2, 61):
        home.world.clock.advance(timedelta(minutes=minutes))
        await watch(home.ports, home.kicks, home.collector)
    assert len(home.skipped()) == 3


async def test_a_home_starts_over_a_damaged_attempt(home: Home) -> None:
    await rendering(home, "a-bad", "b-good")
    home.damage("requests/a-bad", created_at={"$at": "tomorrow"})
    assert await break_leases(home.ports) == 1
    assert await home.status("b-good") == "queued"


async def test_an_attempt_without_its_document_stops_nobody_s_start(home: Home) -> None:
    await rendering(home, "b-good")
    written = a_record(a_request(request_id="a-bad"), status="rendering", lease_holder="boot-0", lease_until=NOW)
    await home.store.commit(Create("requests/a-bad", written | {"attempt_count": 1}))
    assert await break_leases(home.ports) == 1
    assert home.skipped() == ["requests/a-bad"]


async def test_more_damaged_attempts_than_a_page_end_the_start_s_look(home: Home) -> None:
    for number in range(201):
        path = f"requests/bad-{number}"
        written = a_record(a_request(request_id=f"bad-{number}"), status="rendering", lease_until=NOW)
        await home.store.commit(Create(path, written | {"attempt_count": 1, "lease_holder": "boot-0"}))
    assert await break_leases(home.ports) == 0


async def test_what_is_damaged_is_forgotten_in_its_time(home: Home) -> None:
    over = NOW - timedelta(days=1)
    for request_id in ("a-bad", "b-good"):
        written = a_record(a_request(request_id=request_id), status="failed", expire_at=over)
        await home.store.commit(Create(f"requests/{request_id}", written))
    home.damage("requests/a-bad", deadline={"$at": "tomorrow"})
    await watch(home.ports, home.kicks, home.collector)
    left = await home.store.get_all(["requests/a-bad", "requests/b-good"])
    assert [isinstance(item, Document) for item in left] == [False, False]


async def test_a_damaged_result_holds_no_other_back(home: Home) -> None:
    for request_id in ("a-bad", "b-good"):
        request, attempt = an_attempt(a_request(request_id=request_id), now=NOW)
        await home.store.commit(Create(request.path, request.data), Create(attempt.path, attempt.data))
        await recover(home.ports, request_in(await _document(home, request_id)))
        changes = {"status": "failed", "announce": "pending", "outcome": {"code": "x", "message": "", "advice": ""}}
        document = await _document(home, request_id)
        await home.store.commit(
            Update(document.path, changes | {"finished_at": NOW, "updated_at": NOW}, document.version)
        )
    home.damage("requests/a-bad", finished_at=None)
    await watch(home.ports, home.kicks, home.collector)
    assert {event["request_id"] for event in home.world.results()} == {"b-good"}
    assert home.skipped() == ["requests/a-bad"]


async def test_a_damaged_document_stops_neither_summary_nor_gauges(home: Home) -> None:
    await _queue(home, "a-bad", "b-good")
    home.damage("requests/a-bad", deadline={"$at": "tomorrow"}, fair_tag="no number")
    assert await write_summary(home.ports) is not None


@pytest.mark.parametrize("request_id", ["a-bad"])
async def test_a_repeat_and_a_revival_of_a_damaged_request_fail_by_themselves(home: Home, request_id: str) -> None:
    await _queue(home, request_id, "b-good")
    home.damage(f"requests/{request_id}", deadline={"$at": "tomorrow"})
    with pytest.raises(UnreadableDocument):
        await revive(home.ports, request_id, "ann")
    with pytest.raises(ReviveRefused):
        await revive(home.ports, "b-good", "ann")


async def test_the_pump_reads_the_queue_past_a_damaged_request(home: Home) -> None:
    from shared.flows.pump.queue_fronts import QueueFronts

    await _queue(home, "a-bad", "b-good")
    home.damage("requests/a-bad", deadline={"$at": "tomorrow"})
    heads = await QueueFronts(home.ports).read(NOW)
    assert [head.request_id for head in heads] == ["b-good"]
    assert home.skipped() == ["requests/a-bad"]


# -- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", [1, 2, 999, 1000, 2026, 9999])
async def test_every_year_is_written_in_four_digits_and_read_back(home: Home, year: int) -> None:
    at = datetime(year, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert encoded(at) == {"$at": f"{year:04d}-02-03T04:05:06.000007Z"}
    await home.store.commit(Create("things/a", {"at": at}))
    document = await home.store.get("things/a")
    assert isinstance(document, Document)
    assert document.data["at"] == at


async def test_a_date_that_an_earlier_release_wrote_without_its_zeros_is_read(home: Home) -> None:
    await home.store.commit(Create("things/a", {"at": NOW}))
    home.damage("things/a", at=LONG_AGO)
    document = await home.store.get("things/a")
    assert isinstance(document, Document)
    assert document.data["at"] == datetime(2, 1, 1, tzinfo=UTC)


# -- an answer that cannot be stored whole ----------------------------------------------------------------------------


async def test_a_provider_that_names_an_endless_model_is_settled_and_its_image_kept(home: Home) -> None:
    world = World()
    world.lane.then(lambda order: replace(made(order), model="m" * 1_500_000, provider_request_id="\x1b" * 9_000))
    await world.submit()
    await world.run_until_quiet()
    assert world.crashes == []
    assert world.status()["status"] == "succeeded"
    assert len(world.images.stored) == 1
    assert len(world.attempts()[0]["model"]) == 128


async def test_what_a_store_refuses_for_another_reason_is_settled_bare_and_the_image_kept() -> None:
    world = World()
    real, refused = world.store.commit, []

    async def commit(*writes: Any) -> Any:
        closed = [write for write in writes if isinstance(write, Update) and write.changes.get("usage")]
        if closed:
            refused.append(closed)
            from shared.core.values.documents import InvalidDocument

            raise InvalidDocument("too large")
        return await real(*writes)

    world.store.commit = commit  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    await world.run_until_quiet()
    assert len(refused) == 1
    assert world.status()["status"] == "succeeded"
    assert world.status()["image_uri"]
    assert len(world.signals.of(events.DOCUMENT_SKIPPED)) == 1


async def _queue(home: Home, *request_ids: str) -> None:
    class NoKicks:
        async def after_queueing(self, model: str, priority: str) -> None: ...

        async def is_worth_an_open_slot(self, model: str, priority: str) -> bool:
            return False

    for request_id in request_ids:
        data = json.dumps({"request_id": request_id, "prompt": "x", "deadline": "2026-12-01T12:00:00Z"}).encode()
        message = Message(f"m-{request_id}", data)
        await accept_message(home.ports, NoKicks(), home.world.tags, message)  # type: ignore[arg-type]


async def _document(home: Home, request_id: str) -> Document:
    document = await home.store.get(request_record.path(request_id))
    assert isinstance(document, Document)
    return document
