"""Every query that the flows make runs over an index on one machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters.sqlite.store import SqliteStore
from shared.core.lifecycle.queries import INDEXES
from tests.contract.fake_clock import FakeClock
from tests.every_query import QUERIES


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
