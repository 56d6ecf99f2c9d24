"""Choosing requests by filter reads every one of them once, on every store, wherever its pages end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scripts.cli.data.see import filters
from scripts.cli.data.see.filters import ListFilter
from shared.core.lifecycle import request_record
from shared.core.values.documents import Create
from shared.ports.store import Store
from tests.builders import NOW, a_catalogue, a_record, a_request

COUNT = 23


async def fill(store: Store) -> None:
    """Three of each second but the first, which has eight: more than a page holds."""
    for number in range(COUNT):
        at = NOW + timedelta(seconds=max(0, number - 5) // 3)
        request = a_request(request_id=f"r-{number:02}", tenant="web" if number % 2 else "press", purpose="final")
        status = "failed" if number % 3 else "queued"
        await store.commit(Create(request_record.path(request.request_id), a_record(request, now=at, status=status)))


@pytest.mark.parametrize("page", [1, 3, 4, 100])
async def test_every_request_is_read_once_and_the_newest_come_first(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(filters, "PAGE", page)
    await fill(store)
    requests = await filters.read(store, ListFilter())
    assert sorted(versioned.id for versioned in requests) == [f"r-{number:02}" for number in range(COUNT)]
    times = [versioned.record.created_at for versioned in requests]
    assert times == sorted(times, reverse=True)
    assert "request" not in requests[0].data


async def test_status_time_tenant_and_model_choose_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "PAGE", 4)
    await fill(store)
    choice = ListFilter(
        statuses=("failed",), tenant="web", model="nano-banana-pro", since=NOW + timedelta(seconds=1),
        until=NOW + timedelta(seconds=3),
    )  # fmt: skip
    whole = await filters.read_whole(store, choice.with_models(a_catalogue()))
    meant = [n for n in range(COUNT) if n % 2 and n % 3 and 1 <= max(0, n - 5) // 3 <= 3]
    assert sorted(versioned.id for versioned in whole) == [f"r-{number:02}" for number in meant]
    assert whole[0].data["request"]["prompt"]


async def test_a_limit_takes_the_newest_of_what_is_meant(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "PAGE", 4)
    await fill(store)
    requests = await filters.read(store, ListFilter(statuses=("failed", "queued"), tenant="web"), limit=3)
    assert [versioned.id for versioned in requests] == ["r-21", "r-19", "r-17"]


async def test_a_document_of_an_earlier_version_is_read_all_the_same(store: Store) -> None:
    old = {name: value for name, value in a_record().items() if name not in ("flags", "asked_model")}
    await store.commit(Create(request_record.path("old"), old))
    routed = ListFilter(model=old["route"]["model"]).with_models(a_catalogue())
    assert [versioned.id for versioned in await filters.read(store, routed)] == ["old"]
    assert await filters.read(store, ListFilter(flag="pause")) == []
