"""Exports are opened beside the first delivery; nothing that came before is lost, and nothing hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial

import pytest

from shared.adapters.telemetry.late_exports import LateMetrics, LateSpans
from shared.core.observability import metrics, spans
from shared.core.observability.metrics import Measure
from shared.core.observability.otel_values import QUEUE_SIZE
from shared.core.observability.spans import Span
from shared.core.values.trace_context import Place
from tests.builders import NOW

PLACE = Place("a" * 32, "b" * 16)


def a_span(number: int) -> Span:
    fields: dict[str, str | int] = {"request_id": f"r-{number}", "release": 1}
    return Span(spans.SLOT_WAIT, PLACE.named(str(number)), PLACE.span_id, NOW, NOW, fields)


class Kept:
    """An export that keeps what it gets, in order."""

    def __init__(self) -> None:
        self.items: list[object] = []

    def write(self, span: Span) -> None:
        self.items.append(span.fields["request_id"])

    def add(self, measures: Iterable[Measure]) -> None:
        self.items += [("add", measure.value) for measure in measures]

    def observe(self, measures: Iterable[Measure]) -> None:
        self.items += [("observe", measure.value) for measure in measures]

    def flush(self) -> None:
        self.items.append("flush")

    def close(self) -> None:
        self.items.append("close")


def when(may_open: threading.Event, kept: Kept) -> Kept:
    """An export that takes its time to open."""
    assert may_open.wait(10)
    return kept


def test_what_came_before_it_was_open_arrives_first_and_in_order() -> None:
    kept, may_open = Kept(), threading.Event()
    export = LateSpans(partial(when, may_open, kept))
    export.write(a_span(1))
    export.write(a_span(2))
    assert kept.items == [], "a delivery waits for no export"
    may_open.set()
    export.flush()
    export.write(a_span(3))
    export.close()
    assert kept.items == ["r-1", "r-2", "flush", "r-3", "close"]


def test_measures_arrive_as_what_they_were() -> None:
    kept = Kept()
    export = LateMetrics(lambda: kept)
    count = next(metric for metric in metrics.ALL.values() if metric.kind == "counter")
    export.add([Measure(count, 2, {})])
    export.observe([Measure(count, 3, {})])
    export.flush()
    assert kept.items == [("add", 2), ("observe", 3), "flush"]


def test_nothing_is_lost_however_many_write_at_a_time() -> None:
    made: list[Kept] = []
    may_open = threading.Event()

    def make() -> Kept:
        assert may_open.wait(10)
        made.append(Kept())
        return made[-1]

    export = LateSpans(make)
    writers = [threading.Thread(target=export.write, args=(a_span(number),)) for number in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    may_open.set()
    export.flush()
    assert len(made) == 1
    assert sorted(made[0].items[:-1], key=str) == sorted(f"r-{number}" for number in range(20))


def test_one_that_cannot_be_opened_says_so_once_without_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    def make() -> Kept:
        raise ValueError("https://user:secret@collector")

    export = LateSpans(make)
    export.write(a_span(1))
    export.flush()
    export.write(a_span(2))
    export.flush()
    export.close()
    written = capsys.readouterr().err
    assert written == (
        "renderlane: spans are lost, their export cannot be opened (ValueError); "
        "check OTEL_EXPORTER_OTLP_ENDPOINT and the credentials\n"
    )


def test_what_waits_is_bounded() -> None:
    kept, may_open = Kept(), threading.Event()
    export = LateSpans(partial(when, may_open, kept))
    for number in range(QUEUE_SIZE + 5):
        export.write(a_span(number))
    may_open.set()
    export.flush()
    assert kept.items[0] == "r-5"
    assert len(kept.items) == QUEUE_SIZE + 1
