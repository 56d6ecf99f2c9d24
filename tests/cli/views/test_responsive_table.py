"""Tables on narrow terminals."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from scripts.cli.data.see.requests import RejectedMessage, StoredRequest
from scripts.cli.views.see import request_view
from shared.core.records.attempt import AttemptRecord
from shared.core.records.note import RejectedRecord
from shared.core.records.receipt import DeliveredImage, Receipt
from shared.core.values.route import Route
from tests.builders import a_request, a_request_record

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def drawn(table: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def a_found(request_id: str, status: str, *, unknown: int = 0) -> StoredRequest:
    route = Route("priority", "gemini-3.1-flash-image", "1K")
    record = a_request_record(
        a_request(image_size="512", tenant="newsroom-of-the-west"),
        status=status,
        route=route.to_json(),
        receipt=Receipt(
            DeliveredImage(route.model, route.image_size, route.lane, 1024, 1024), 134_000, "metered", 134_000, (), ()
        ).to_json(),
        cost_micros=134_000,
        cost_unknown_attempts=unknown,
    )
    started_at = NOW + timedelta(seconds=12.3)
    return StoredRequest(request_id, record, (AttemptRecord(1, route, started_at, 134_000, latency_ms=14_200),))


REQUESTS = [a_found("an-id-that-is-longer-than-its-column", "succeeded", unknown=1), a_found("b", "cancelled")]


@pytest.mark.parametrize("width", [44, 50, 60, 80, 120])
def test_status_and_cost_are_never_cut(width: int) -> None:
    for table in (
        request_view.results([*REQUESTS, RejectedMessage("c", RejectedRecord("x", NOW), {})]),
        request_view.listed(REQUESTS, NOW),
    ):
        text = drawn(table, width)
        assert max(len(line) for line in text.splitlines()) <= width
        for whole in ("succeeded", "cancelled", "$0.1340 + ?", "$0.1340 "):
            assert whole in text


def test_columns_come_back_with_the_room() -> None:
    assert "route" not in drawn(request_view.results(REQUESTS), 60)
    wide = drawn(request_view.results(REQUESTS), 120)
    for part in ("an-id-that-is-longer-than-its-column", "3.1-flash (priority)", "512 > 1K", "12.3 s", "14.2 s"):
        assert part in wide
    assert "newsroom-of-the-west" in drawn(request_view.listed(REQUESTS, NOW), 140)


def test_a_table_without_rows_has_its_head() -> None:
    assert "cost" in drawn(request_view.results([]), 60)
