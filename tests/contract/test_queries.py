"""Every query that the flows make runs over an index on one machine, and INDEXES names it for Firestore too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.core import queries
from shared.core.documents import Query
from shared.core.queries import INDEXES
from tests.contract.fake_clock import FakeClock

NOW = datetime(2026, 11, 22, tzinfo=UTC)

QUERIES = {
    "heads": queries.heads("m", "normal", 10),
    "woken": queries.woken("m", NOW, 10),
    "sleeping": queries.sleeping(NOW, 10),
    "overdue": queries.overdue(NOW, 10),
    "unclaimed": queries.unclaimed(NOW, 10),
    "lapsed": queries.lapsed(NOW, 10),
    "rendering": queries.rendering(10),
    "unannounced": queries.unannounced(NOW, 10),
    "in_status": queries.in_status("queued", 10),
    "in_flight": queries.in_flight("m", "rendering", 10),
    "newest": queries.newest(None, 10),
    "newest of a status": queries.newest("queued", 10),
    "evidence_since": queries.evidence_since(NOW),
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    one = SqliteStore(tmp_path / "state.db", FakeClock(), INDEXES)
    yield one
    await one.close()


@pytest.mark.parametrize("name", QUERIES)
async def test_the_query_runs_over_an_index_without_sorting(name: str, store: SqliteStore) -> None:
    plan = await store.explain(QUERIES[name])
    assert "USING INDEX" in plan, plan
    assert "TEMP B-TREE" not in plan, plan


@pytest.mark.parametrize("name", QUERIES)
def test_an_index_of_the_table_has_the_querys_fields_in_order(name: str) -> None:
    query: Query = QUERIES[name]
    equal = {field for field, _ in query.equal}
    ordered = list(query.order_by)
    fitting = [
        fields
        for collection, fields in INDEXES
        if collection == query.collection
        and set(fields[: len(equal)]) == equal
        and list(fields[len(equal) : len(equal) + len(ordered)]) == ordered
    ]
    assert fitting, f"no index for {name}: equal {sorted(equal)}, then {ordered}"


def test_every_query_function_is_held_to_this() -> None:
    made = {name for name, value in vars(queries).items() if callable(value) and value.__module__ == queries.__name__}
    assert made - {"attempts_of"} == {name.split(" ")[0] for name in QUERIES}
