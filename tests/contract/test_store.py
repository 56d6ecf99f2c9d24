"""What every store promises (shared.ports.store.Store), run on every adapter; then what is an adapter's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import DeadlineExceeded, ServiceUnavailable
from google.api_core.retry import retry_base, retry_unary_async

from shared.adapters.google_cloud.firestore_store import CALL_TIMEOUT, FirestoreStore
from shared.adapters.google_cloud.firestore_wire import Wire
from shared.adapters.sqlite.store import SqliteStore
from shared.core.values.documents import (
    Absent,
    Committed,
    Conflict,
    Create,
    Delete,
    Document,
    Increment,
    InvalidDocument,
    Query,
    Range,
    Update,
)
from shared.ports.store import Store, StoreUnavailable
from tests.contract.conftest import INDEXES
from tests.contract.fake_clock import FakeClock

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -7,
    "large": 2**53,
    "larger": 2**53 + 1,
    "float": 0.1,
    "whole float": 2.0,
    "text": 'naïve — 日本語 🎹 "quoted" \\ \n\t\'',
    "empty text": "",
    "looks like a time": "2026-11-22T12:00:00.000000Z",
    "looks like an encoded time": '{"$at":"2026-11-22T12:00:00.000000Z"}',
    "time": datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC),
    "time without microseconds": NOON,
    "list": [1, "two", None, {"three": [3, NOON]}],
    "empty list": [],
    "empty map": {},
    "map": {
        "a.b": 1,
        "write_id": "a map may have it",
        "ünïcode": {"`tick` and 'quote'": [NOON, {"$at": "a string"}]},
        "$": {"$$at": None},
    },
    "dots.in.name": {"x.y": "z"},
    "`ticks`": 1,
    "日本": "top level",
    "$at": "a field of that name",
}


async def a_document(store: Store, path: str, **data: Any) -> Document:
    assert isinstance(await store.commit(Create(path, data)), Committed)
    return await read(store, path)


async def read(store: Store, path: str) -> Document:
    document = await store.get(path)
    assert isinstance(document, Document)
    return document


def ids(documents: list[Document]) -> list[str]:
    return [document.id for document in documents]


async def test_every_value_comes_back_as_it_was(store: Store) -> None:
    document = await a_document(store, "things/values", **VALUES)

    assert document.data == VALUES
    assert {name: type(value) for name, value in document.data.items()} == {
        name: type(value) for name, value in VALUES.items()
    }
    assert document.path == "things/values"
    assert document.id == "values"


async def test_a_time_of_another_zone_comes_back_as_the_same_moment_in_utc(store: Store) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))

    document = await a_document(store, "things/time", at=tokyo)

    assert document.data["at"] == NOON
    assert document.data["at"].utcoffset() == timedelta(0)


async def test_a_document_that_is_not_there_is_absent(store: Store) -> None:
    absent = await store.get("things/nothing")

    assert isinstance(absent, Absent)
    assert absent.path == "things/nothing"
    assert absent.read_at.utcoffset() == timedelta(0)


async def test_times_of_reads_and_commits_are_aware_utc_and_in_order(store: Store) -> None:
    committed = await store.commit(Create("things/a", {"n": 1}))
    assert isinstance(committed, Committed)
    document = await read(store, "things/a")

    assert committed.at.utcoffset() == document.read_at.utcoffset() == timedelta(0)
    assert type(committed.at) is type(document.read_at) is datetime
    assert committed.at <= document.read_at
    assert committed.versions == (document.version,)


async def test_of_twenty_who_create_the_same_document_one_wins(store: Store) -> None:
    answers = await asyncio.gather(*(store.commit(Create("things/raced", {"who": who})) for who in range(20)))

    winners = [who for who, answer in enumerate(answers) if isinstance(answer, Committed)]
    assert len(winners) == 1
    assert (await read(store, "things/raced")).data == {"who": winners[0]}


async def test_increments_by_compare_and_set_with_re_reading_all_land(store: Store) -> None:
    await a_document(store, "things/counter", n=0)

    async def increment() -> None:
        while True:
            document = await read(store, "things/counter")
            answer = await store.commit(Update(document.path, {"n": document.data["n"] + 1}, document.version))
            if isinstance(answer, Committed):
                return

    await asyncio.gather(*(increment() for _ in range(15)))

    assert (await read(store, "things/counter")).data == {"n": 15}


async def test_one_failing_precondition_stops_the_whole_commit(store: Store) -> None:
    stale = await a_document(store, "things/a", n=1)
    other = await a_document(store, "things/b", n=1)
    await store.commit(Update("things/a", {"n": 2}, stale.version))

    answer = await store.commit(
        Create("things/new", {}),
        Update("things/b", {"n": 9}, other.version),
        Increment("things/sum", {"n": 1}),
        Update("things/a", {"n": 9}, stale.version),
    )

    assert answer == Conflict()
    assert isinstance(await store.get("things/new"), Absent)
    assert isinstance(await store.get("things/sum"), Absent)
    unchanged = await read(store, "things/b")
    assert (unchanged.data, unchanged.version) == ({"n": 1}, other.version)
    assert (await read(store, "things/a")).data == {"n": 2}


async def test_a_commit_of_many_kinds_happens_together(store: Store) -> None:
    old = await a_document(store, "things/old", n=1)
    changed = await a_document(store, "things/changed", n=1)

    answer = await store.commit(
        Create("things/new", {"n": 1}),
        Update("things/changed", {"n": 2}, changed.version),
        Delete("things/old", old.version),
        Increment("things/sum", {"n": 3}),
    )

    assert isinstance(answer, Committed)
    assert [bool(version) for version in answer.versions] == [True, True, False, True]
    documents = await store.get_all(["things/new", "things/changed", "things/old", "things/sum"])
    assert [type(document) for document in documents] == [Document, Document, Absent, Document]
    assert answer.versions == tuple(
        document.version if isinstance(document, Document) else "" for document in documents
    )


async def test_an_update_of_a_missing_document_conflicts(store: Store) -> None:
    gone = await a_document(store, "things/gone", n=1)
    await store.commit(Delete(gone.path, gone.version))

    assert await store.commit(Update(gone.path, {"n": 2}, gone.version)) == Conflict()
    assert isinstance(await store.get(gone.path), Absent)


async def test_an_update_that_changes_nothing_still_changes_the_version(store: Store) -> None:
    before = await a_document(store, "things/a", n=1)

    first = await store.commit(Update("things/a", {"n": 1}, before.version))
    second = await store.commit(Update("things/a", {"n": 1}, before.version))

    assert isinstance(first, Committed)
    assert first.versions != (before.version,)
    assert second == Conflict()


async def test_an_update_without_changes_changes_the_version(store: Store) -> None:
    before = await a_document(store, "things/a", n=1)

    answer = await store.commit(Update("things/a", {}, before.version))

    after = await read(store, "things/a")
    assert isinstance(answer, Committed)
    assert after.version != before.version
    assert after.data == {"n": 1}


async def test_a_document_made_again_has_no_earlier_version(store: Store) -> None:
    first = await a_document(store, "things/a", n=1)
    await store.commit(Delete("things/a", first.version))
    await a_document(store, "things/a", n=1)

    assert await store.commit(Update("things/a", {"n": 2}, first.version)) == Conflict()


async def test_an_update_replaces_the_fields_it_names_wholly_and_no_others(store: Store) -> None:
    document = await a_document(
        store, "things/a", kept={"x": 1}, replaced={"x": 1, "a.b": 2}, emptied={"x": 1}, **{"dots.in.name": {"x": 1}}
    )

    await store.commit(
        Update(
            "things/a",
            {"replaced": {"y": {"c.d": 3}}, "emptied": {}, "dots.in.name": {"y": 2}, "new.name": 1},
            document.version,
        )
    )

    assert (await read(store, "things/a")).data == {
        "kept": {"x": 1},
        "replaced": {"y": {"c.d": 3}},
        "emptied": {},
        "dots.in.name": {"y": 2},
        "new.name": 1,
    }


async def test_increments_from_many_sides_all_count_and_make_the_document(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.commit(Increment("sums/day", {"cost": 7, "down": -1}, {"label": {"n": 1}})) for _ in range(20))
    )

    assert all(isinstance(answer, Committed) for answer in answers)
    assert (await read(store, "sums/day")).data == {"cost": 140, "down": -20, "label": {"n": 1}}


async def test_an_increment_sets_other_fields_wholly_and_keeps_the_rest(store: Store) -> None:
    await a_document(store, "sums/day", cost=1, label={"a": 1}, kept="yes")

    await store.commit(Increment("sums/day", {"cost": 2, "dots.in.name": 1}, {"label": {"b": 2}, "x.y": 1}))

    assert (await read(store, "sums/day")).data == {
        "cost": 3,
        "label": {"b": 2},
        "kept": "yes",
        "dots.in.name": 1,
        "x.y": 1,
    }


async def test_an_increment_by_nothing_changes_the_version(store: Store) -> None:
    before = await a_document(store, "sums/day", n=1)

    answer = await store.commit(Increment("sums/day", {"n": 0}))

    assert isinstance(answer, Committed)
    assert (await read(store, "sums/day")).version == answer.versions[0] != before.version


async def test_an_increment_overwrites_what_is_no_number(store: Store) -> None:
    await a_document(store, "sums/day", text="x", true=True, none=None, half=0.5)

    await store.commit(Increment("sums/day", {"text": 1, "true": 1, "none": 1, "half": 1}))

    assert (await read(store, "sums/day")).data == {"text": 1, "true": 1, "none": 1, "half": 1.5}


async def test_a_deletion_needs_the_version_that_was_read(store: Store) -> None:
    stale = await a_document(store, "things/a", n=1)
    await store.commit(Update("things/a", {"n": 2}, stale.version))

    assert await store.commit(Delete("things/a", stale.version)) == Conflict()
    fresh = await read(store, "things/a")
    assert isinstance(await store.commit(Delete("things/a", fresh.version)), Committed)
    assert isinstance(await store.get("things/a"), Absent)
    assert await store.commit(Delete("things/a", fresh.version)) == Conflict()


async def test_get_all_keeps_the_order_and_names_what_is_absent(store: Store) -> None:
    for name in "abc":
        await a_document(store, f"things/{name}", name=name)

    documents = await store.get_all(["things/c", "things/none", "things/a", "things/c", "others/b", "things/b"])

    assert [document.path for document in documents] == [
        "things/c", "things/none", "things/a", "things/c", "others/b", "things/b",
    ]  # fmt: skip
    assert [isinstance(document, Document) for document in documents] == [True, False, True, True, False, True]
    assert await store.get_all([]) == []


async def test_five_hundred_writes_fit_in_one_commit(store: Store) -> None:
    answer = await store.commit(*(Create(f"things/{n:03}", {"n": n, "text": "x" * 200}) for n in range(500)))

    assert isinstance(answer, Committed)
    assert len(answer.versions) == 500
    assert await store.count(Query("things", limit=1000)) == 500


async def test_no_writes_are_a_commit(store: Store) -> None:
    assert isinstance(await store.commit(), Committed)


@pytest.fixture
async def queue(store: Store) -> Store:
    """Six requests; f lacks the tag, and each has a sub-collection and a namesake elsewhere."""
    rows: dict[str, dict[str, Any]] = {
        "a": {"status": "queued", "tag": 2, "created_at": NOON + timedelta(seconds=1), "wake_at": None},
        "b": {"status": "queued", "tag": 1, "created_at": NOON + timedelta(seconds=2), "wake_at": NOON},
        "c": {"status": "done", "tag": 3, "created_at": NOON + timedelta(microseconds=1), "wake_at": None},
        "d": {"status": "queued", "tag": 2, "created_at": NOON, "wake_at": NOON + timedelta(hours=1)},
        "e": {"status": "queued", "tag": 2, "created_at": NOON - timedelta(days=400)},
        "f": {"status": "queued", "created_at": NOON + timedelta(seconds=3), "wake_at": "2026-11-22T12:00:00.000000Z"},
    }
    await store.commit(
        *(Create(f"requests/{name}", {**row, "name": name, "prompt": "x" * 1000}) for name, row in rows.items()),
        *(Create(f"requests/{name}/attempts/1", {"status": "queued", "tag": 1}) for name in rows),
        Create("requests/a/attempts/2", {"status": "done", "tag": 2}),
        Create("tenants/a", {"status": "queued", "tag": 1}),
    )
    return store


async def test_a_query_reads_one_collection_and_not_what_lies_below_or_beside(queue: Store) -> None:
    assert ids(await queue.query(Query("requests"))) == ["a", "b", "c", "d", "e", "f"]
    attempts = await queue.query(Query("requests/a/attempts"))
    assert [attempt.path for attempt in attempts] == ["requests/a/attempts/1", "requests/a/attempts/2"]
    assert ids(await queue.query(Query("requests/a/attempts", equal=[("status", "done")]))) == ["2"]
    assert await queue.query(Query("nothing")) == []


async def test_equality_on_several_fields(queue: Store) -> None:
    documents = await queue.query(Query("requests", equal=[("status", "queued"), ("tag", 2)]))

    assert ids(documents) == ["a", "d", "e"]
    assert all(type(document.read_at) is datetime for document in documents)
    assert documents[0] == Document(
        "requests/a", documents[0].data, (await read(queue, "requests/a")).version, documents[0].read_at
    )


async def test_equality_with_none_finds_null_and_not_missing(queue: Store) -> None:
    assert ids(await queue.query(Query("requests", equal=[("wake_at", None)]))) == ["a", "c"]


async def test_equality_with_a_time_finds_the_moment_and_no_string(queue: Store) -> None:
    assert ids(await queue.query(Query("requests", equal=[("wake_at", NOON)]))) == ["b"]
    assert ids(await queue.query(Query("requests", equal=[("wake_at", "2026-11-22T12:00:00.000000Z")]))) == ["f"]


@pytest.mark.parametrize(
    "value", [True, False, 1, 0, 1.5, "", "1", "true", "[]", "{}", '{"$at":"2026-11-22T12:00:00.000000Z"}',
              NOON, [], {}, [1, "a"], {"a.b": 1, "b": [NOON]}, None, "ü 'quoted' \"twice\""]
)  # fmt: skip
async def test_a_value_equals_its_own_type_only(store: Store, value: Any) -> None:
    others = [True, False, 1, 0, 1.5, "", "1", "true", "[]", "{}", '{"$at":"2026-11-22T12:00:00.000000Z"}',
              NOON, [], {}, [1, "a"], {"a.b": 1, "b": [NOON]}, None, "ü 'quoted' \"twice\""]  # fmt: skip
    await store.commit(*(Create(f"things/{n:02}", {"value": other}) for n, other in enumerate(others)))

    documents = await store.query(Query("things", equal=[("value", value)]))

    assert [(type(document.data["value"]), document.data["value"]) for document in documents] == [(type(value), value)]


async def test_a_whole_number_equals_the_float_of_its_value(store: Store) -> None:
    await a_document(store, "things/a", n=2.0)

    assert ids(await store.query(Query("things", equal=[("n", 2)]))) == ["a"]


async def test_bounds_on_times_include_and_exclude_to_the_microsecond(queue: Store) -> None:
    async def names_within(*bounds: Range) -> list[str]:
        return ids(await queue.query(Query("requests", bounds=bounds, order_by=["created_at"])))

    assert await names_within(Range("created_at", ">", NOON)) == ["c", "a", "b", "f"]
    assert await names_within(Range("created_at", ">=", NOON)) == ["d", "c", "a", "b", "f"]
    assert await names_within(Range("created_at", "<", NOON)) == ["e"]
    assert await names_within(Range("created_at", "<=", NOON)) == ["e", "d"]
    assert await names_within(
        Range("created_at", ">", NOON - timedelta(days=500)), Range("created_at", "<", NOON + timedelta(microseconds=1))
    ) == ["e", "d"]


async def test_a_bound_finds_its_own_type_only(queue: Store) -> None:
    early = [Range("wake_at", "<=", NOON + timedelta(days=1))]
    assert ids(await queue.query(Query("requests", bounds=early, order_by=["wake_at"]))) == ["b", "d"]
    text = [Range("wake_at", ">", "")]
    assert ids(await queue.query(Query("requests", bounds=text, order_by=["wake_at"]))) == ["f"]


async def test_a_bound_with_equality_and_descending_order(queue: Store) -> None:
    query = Query(
        "requests", equal=[("status", "queued")], bounds=[Range("created_at", ">=", NOON)], order_by=["-created_at"]
    )

    assert ids(await queue.query(query)) == ["f", "b", "a", "d"]


async def test_order_breaks_ties_by_id_in_the_direction_of_the_last_field(queue: Store) -> None:
    assert ids(await queue.query(Query("requests", order_by=["tag"]))) == ["b", "a", "d", "e", "c"]
    assert ids(await queue.query(Query("requests", order_by=["-tag"]))) == ["c", "e", "d", "a", "b"]
    assert ids(await queue.query(Query("requests", order_by=["tag", "-created_at"]))) == ["b", "a", "d", "e", "c"]
    assert ids(await queue.query(Query("requests", order_by=["-tag", "created_at"]))) == ["c", "e", "d", "a", "b"]


async def test_nulls_come_first_and_documents_without_the_order_field_not_at_all(queue: Store) -> None:
    names = ids(await queue.query(Query("requests", order_by=["wake_at"])))

    assert [name for name in names if name != "f"] == [
        "a",
        "c",
        "b",
        "d",
    ]  # f's is text: no order with times is promised


async def test_the_limit_cuts(queue: Store) -> None:
    assert ids(await queue.query(Query("requests", order_by=["-created_at"], limit=2))) == ["f", "b"]


@pytest.mark.parametrize(
    "order_by", [("tag", "name"), ("-tag", "name"), ("tag", "-name"), ("-tag", "-name"), ("status", "tag", "name")]
)
async def test_pages_with_ties_join_to_the_whole(queue: Store, order_by: tuple[str, ...]) -> None:
    whole = ids(await queue.query(Query("requests", order_by=order_by)))
    assert sorted(whole) == ["a", "b", "c", "d", "e"]

    pages: list[str] = []
    after: tuple[Any, ...] = ()
    while page := await queue.query(Query("requests", order_by=order_by, after=after, limit=2)):
        pages.extend(ids(page))
        after = tuple(page[-1].data[name.removeprefix("-")] for name in order_by)

    assert pages == whole


@pytest.mark.parametrize("order_by", [("wake_at", "name"), ("-wake_at", "name")])
async def test_pages_pass_over_nulls(store: Store, order_by: tuple[str, ...]) -> None:
    moments = [None, NOON, None, NOON, NOON + timedelta(seconds=1)]
    await store.commit(*(Create(f"things/{n}", {"name": n, "wake_at": at}) for n, at in enumerate(moments)))
    whole = ids(await store.query(Query("things", order_by=order_by)))

    pages: list[str] = []
    after: tuple[Any, ...] = ()
    while page := await store.query(Query("things", order_by=order_by, after=after, limit=1)):
        pages.extend(ids(page))
        after = tuple(page[-1].data[name.removeprefix("-")] for name in order_by)

    assert pages == whole
    assert len(pages) == 5


async def test_a_cursor_goes_with_equality_and_a_bound(queue: Store) -> None:
    query = Query(
        "requests",
        equal=[("status", "queued")],
        bounds=[Range("created_at", ">=", NOON)],
        order_by=["created_at", "name"],
        after=[NOON + timedelta(seconds=1), "a"],
    )

    assert ids(await queue.query(query)) == ["b", "f"]


async def test_a_projection_reads_the_named_fields_only(queue: Store) -> None:
    (document,) = await queue.query(Query("requests", equal=[("name", "e")], fields=["tag", "wake_at", "created_at"]))

    assert document.data == {"tag": 2, "created_at": NOON - timedelta(days=400)}
    answer = await queue.commit(Update(document.path, {"tag": 5}, document.version))
    assert isinstance(answer, Committed)


async def test_field_names_with_dots_can_be_queried(store: Store) -> None:
    await a_document(store, "things/a", **{"x.y": 1, "$z": 1})
    await a_document(store, "things/b", x={"y": 1}, **{"$z": 2})

    assert ids(await store.query(Query("things", equal=[("x.y", 1)], order_by=["x.y"], fields=["x.y"]))) == ["a"]
    assert ids(await store.query(Query("things", order_by=["-$z"], fields=["$z"]))) == ["b", "a"]


async def test_a_count_stops_at_the_limit(queue: Store) -> None:
    assert await queue.count(Query("requests", equal=[("status", "queued")])) == 5
    assert await queue.count(Query("requests", equal=[("status", "queued")], limit=3)) == 3
    assert await queue.count(Query("requests", equal=[("status", "lost")])) == 0
    assert await queue.count(Query("requests", order_by=["created_at"], bounds=[Range("created_at", ">", NOON)])) == 4
    assert await queue.count(Query("requests/a/attempts")) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - the mistake under test
        ({"n": float("nan")}, "no number"),
        ({"n": 2**63}, "64 bits"),
        ({"n": [[1]]}, "list"),
        ({"n": object()}, "object"),
        ({"": 1}, "field name"),
        ({"n": {1: 2}}, "field name"),
        ({"write_id": "x"}, "belongs to the store"),
        ({"n": "x" * 1_100_000}, "bytes|size"),
        ({"n": "\ud800"}, "surrogate|UTF-8|utf-8"),
    ],
)  # fmt: skip
async def test_what_no_store_can_hold_is_refused_as_a_mistake(store: Store, data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        await store.commit(Create("things/a", data))
    assert isinstance(await store.get("things/a"), Absent)


async def test_a_commit_names_each_path_once_and_at_most_five_hundred(store: Store) -> None:
    with pytest.raises(ValueError, match="same path"):
        await store.commit(Create("things/a", {}), Create("things/a", {}))
    with pytest.raises(ValueError, match="at most 500"):
        await store.commit(*(Create(f"things/{n}", {}) for n in range(501)))
    with pytest.raises(ValueError, match="no document path"):
        await store.commit(Create("things", {}))
    with pytest.raises(ValueError, match="first of order_by"):
        await store.query(Query("things", bounds=[Range("n", ">", 1)], order_by=["m"]))


class TestSqlite:
    @pytest.fixture
    async def sqlite(self, tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteStore]:
        one = SqliteStore(tmp_path / "state.db", clock, INDEXES)
        yield one
        await one.close()

    async def test_an_indexed_query_walks_its_index_and_sorts_nothing(self, sqlite: SqliteStore) -> None:
        head = Query("requests", equal=[("status", "queued")], order_by=["tag"], fields=["tag"])
        plans = [
            await sqlite.explain(query)
            for query in (
                head,
                Query("requests", equal=[("status", "queued")], order_by=["tag"], after=[3]),
                Query("requests", equal=[("status", "queued")], order_by=["tag"], bounds=[Range("tag", "<", 3)]),
                Query("requests", equal=[("status", "queued")], order_by=["-tag"]),
            )
        ]

        assert all(
            "USING INDEX documents__requests__status__tag (collection=? AND <expr>=?" in plan for plan in plans
        ), plans
        assert "AND <expr>=? AND <expr>>?)" in plans[1]
        assert "AND <expr>=? AND <expr><?)" in plans[2]
        assert not any("TEMP B-TREE" in plan for plan in plans), plans

    async def test_a_descending_index_serves_times(self, sqlite: SqliteStore) -> None:
        latest = Query("requests", bounds=[Range("created_at", "<", NOON)], order_by=["-created_at"])

        plan = await sqlite.explain(latest)

        assert "documents__requests__desc_created_at (collection=? AND <expr><?)" in plan
        assert "TEMP B-TREE" not in plan

    async def test_a_sub_collection_is_found_by_its_path(self, sqlite: SqliteStore) -> None:
        plan = await sqlite.explain(Query("requests/a/attempts"))

        assert "documents_by_collection (collection=?)" in plan
        assert "TEMP B-TREE" not in plan

    async def test_two_stores_on_one_file_see_and_stop_each_other(
        self, sqlite: SqliteStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        other = SqliteStore(tmp_path / "state.db", clock)
        document = await a_document(sqlite, "things/a", n=1)

        answers = await asyncio.gather(
            sqlite.commit(Update("things/a", {"n": 2}, document.version)),
            other.commit(Update("things/a", {"n": 2}, document.version)),
        )

        assert sorted(type(answer).__name__ for answer in answers) == ["Committed", "Conflict"]
        assert (await read(other, "things/a")).data == {"n": 2}
        await other.close()

    async def test_documents_survive_closing(self, tmp_path: Path, clock: FakeClock) -> None:
        first = SqliteStore(tmp_path / "kept.db", clock, INDEXES)
        before = await a_document(first, "things/values", **VALUES)
        await first.close()
        second = SqliteStore(tmp_path / "kept.db", clock, INDEXES)

        assert await read(second, "things/values") == before
        await second.close()

    async def test_one_commit_that_fails_in_a_group_leaves_the_others(self, sqlite: SqliteStore) -> None:
        await a_document(sqlite, "things/full", text="x" * 1_000_000)
        full = await read(sqlite, "things/full")

        answers = await asyncio.gather(
            *(sqlite.commit(Create(f"things/{n}", {})) for n in range(5)),
            sqlite.commit(Create("things/lost", {}), Update("things/full", {"more": "y" * 100_000}, full.version)),
            *(sqlite.commit(Create(f"things/{n}", {})) for n in range(5, 10)),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers] == [*[Committed] * 5, InvalidDocument, *[Committed] * 5]
        assert await sqlite.count(Query("things")) == 11

    async def test_a_file_that_is_no_database_is_unavailable_by_name(self, tmp_path: Path, clock: FakeClock) -> None:
        path = tmp_path / "corrupt.db"
        path.write_bytes(b"this is no database" * 100)
        store = SqliteStore(path, clock)

        with pytest.raises(StoreUnavailable, match=r"corrupt\.db: file is not a database"):
            await store.get("things/a")
        with pytest.raises(StoreUnavailable, match=r"corrupt\.db: file is not a database"):
            await store.commit(Create("things/a", {}))
        await store.close()

    async def test_a_folder_that_cannot_be_made_is_unavailable_by_name(self, tmp_path: Path, clock: FakeClock) -> None:
        (tmp_path / "file").write_text("")
        store = SqliteStore(tmp_path / "file" / "state.db", clock)

        with pytest.raises(StoreUnavailable, match=r"file/state\.db"):
            await store.get("things/a")
        await store.close()

    async def test_a_closed_store_is_unavailable(self, sqlite: SqliteStore) -> None:
        await sqlite.get("things/a")
        await sqlite.close()
        await sqlite.close()

        with pytest.raises(StoreUnavailable, match="closed"):
            await sqlite.get("things/a")


@pytest.mark.emulator
class TestFirestore:
    @pytest.fixture
    async def firestore(
        self, project: str, firestore_host: str, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[FirestoreStore]:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
        one = FirestoreStore(project)
        yield one
        await one.close()

    @pytest.fixture
    def lost_answers(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """One commit for each element happens, and its answer is lost on the way."""
        lost: list[str] = []
        commit = Wire.commit

        async def commit_and_lose(wire: Wire, *arguments: Any) -> Any:
            answer = await commit(wire, *arguments)
            if lost:
                raise ServiceUnavailable(lost.pop())  # type: ignore[no-untyped-call]
            return answer

        monkeypatch.setattr(Wire, "commit", commit_and_lose)
        return lost

    async def test_a_commit_whose_answer_was_lost_is_recognised_as_ours(
        self, firestore: FirestoreStore, lost_answers: list[str]
    ) -> None:
        before = await a_document(firestore, "things/a", n=1)
        old = await a_document(firestore, "things/old", n=1)
        lost_answers.append("the line broke")

        answer = await firestore.commit(
            Update("things/a", {"n": 2}, before.version),
            Delete("things/old", old.version),
            Create("things/b", {}),
            Increment("things/sum", {"n": 1}),
        )

        assert lost_answers == []
        assert isinstance(answer, Committed)
        documents = await firestore.get_all(["things/a", "things/old", "things/b", "things/sum"])
        assert answer.versions == tuple(
            document.version if isinstance(document, Document) else "" for document in documents
        )
        assert (await read(firestore, "things/sum")).data == {"n": 1}

    async def test_an_increment_whose_answer_was_lost_is_not_repeated(
        self, firestore: FirestoreStore, lost_answers: list[str]
    ) -> None:
        lost_answers.append("the line broke")

        with pytest.raises(StoreUnavailable, match="the line broke"):
            await firestore.commit(Increment("things/sum", {"n": 1}))

        assert (await read(firestore, "things/sum")).data == {"n": 1}

    async def test_a_read_without_an_answer_in_its_time_is_made_once_more(
        self, firestore: FirestoreStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await a_document(firestore, "things/a", n=1)
        waited: list[timedelta] = []
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(waited, timedelta()).total_seconds())
        for module_type in (retry_base, retry_unary_async):
            monkeypatch.setattr(module_type, "time", clock)
        read_all = Wire.read

        async def lose_the_first(wire: Wire, *arguments: Any) -> Any:
            if not waited:
                waited.append(CALL_TIMEOUT)
                raise DeadlineExceeded("no answer")  # type: ignore[no-untyped-call]
            return await read_all(wire, *arguments)

        monkeypatch.setattr(Wire, "read", lose_the_first)
        assert (await read(firestore, "things/a")).data == {"n": 1}
        assert waited

    async def test_two_stores_stop_each_other(self, firestore: FirestoreStore, project: str) -> None:
        other = FirestoreStore(project)
        document = await a_document(firestore, "things/a", n=1)

        answers = await asyncio.gather(
            *(store.commit(Update("things/a", {"n": 2}, document.version)) for store in [firestore, other] * 5)
        )

        assert sorted(type(answer).__name__ for answer in answers) == ["Committed", *["Conflict"] * 9]
        await other.close()

    async def test_a_closed_port_is_unavailable_within_the_patience(
        self, project: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
        store = FirestoreStore(project, patience=timedelta(seconds=0.3))

        with pytest.raises(StoreUnavailable, match="read"):
            await store.get("things/a")
        with pytest.raises(StoreUnavailable, match="commit"):
            await store.commit(Create("things/a", {}))
        with pytest.raises(StoreUnavailable, match="commit"):
            await store.commit(Increment("things/a", {"n": 1}))
        with pytest.raises(StoreUnavailable, match="query"):
            await store.query(Query("things"))
        with pytest.raises(StoreUnavailable, match="count"):
            await store.count(Query("things"))
        await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.get("things/a")
