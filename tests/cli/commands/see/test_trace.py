"""`renderlane trace`: a real home's request as a tree with times."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.views.see import trace_view
from shared.adapters.telemetry.span_file import to_otlp
from shared.core.observability.trace_tree import SpanView, of_documents, of_otlp, tree, with_root
from shared.core.records.attempt import AttemptRecord
from shared.core.records.request import RequestRecord
from tests.builders import NOW, a_request_record
from tests.cli.conftest import renderlane, started
from tests.world import World

MARKER = "zebra-crossing-in-the-rain-4711"


CALL = "generate_content gemini-nano-banana-2.1"


def test_a_finished_request_is_drawn_as_its_tree_and_told_as_one_object(home: Path, tmp_path: Path) -> None:
    with _home(home, background="off"):
        spans = _spans_of("traced-1")
        assert len(spans) == 12
        assert spans["attempt"]["duration_ms"] >= spans[CALL]["duration_ms"] >= 50
        drawn = renderlane("trace", "traced-1", "--html", str(tmp_path / "traced.html"))
        assert drawn.exit_code == 0
        order = ["publish", "intake", "queue wait", "pump", "release", "slot wait", "attempt", "store image"]
        places = [drawn.stdout.index(f" {name} " if name == "release" else f"{name} ") for name in order]
        assert places == sorted(places)
    assert "generate_content" in (tmp_path / "traced.html").read_text("utf-8")
    for where in (home / "traces.jsonl", home / "events.jsonl", tmp_path / "traced.html"):
        assert MARKER not in where.read_text("utf-8")


def test_a_call_in_the_background_adds_its_start_and_its_collection_to_the_tree(home: Path) -> None:
    with _home(home, background="on"):
        spans = _spans_of("traced-1")
    assert len(spans) == 15
    for name in ("start interaction", "arrive", "collect", CALL):
        assert spans[name]["parent_id"] == spans["attempt"]["span_id"]
        assert 0 < spans[name]["duration_ms"] <= spans["attempt"]["duration_ms"]
    assert spans["start interaction"]["started_at"] < spans["collect"]["started_at"]


@contextlib.contextmanager
def _home(home: Path, background: str) -> Iterator[None]:
    with started(home, "up", "--port", "0", "--latency", "fixed:0.05", RENDERLANE_BACKGROUND=background) as up:
        assert up.first_line, "".join(up.errors)
        yield


def _spans_of(request_id: str) -> dict[str, dict[str, Any]]:
    """Of a request that is made now: its spans by name, as one tree."""
    done = renderlane("submit", MARKER, "--id", request_id, "--wait")
    assert done.exit_code == 0, done.stderr
    trace = json.loads(renderlane("trace", request_id, "--json").stdout)
    assert trace["source"] == "file"
    spans = {span["name"]: span for span in trace["spans"]}
    assert len(spans) == len(trace["spans"]), "each stage once"
    ids = {span["span_id"] for span in trace["spans"]}
    assert [span["name"] for span in trace["spans"] if span["parent_id"] not in ids] == ["request"]
    assert spans["request"]["parent_id"] is None
    return spans


@pytest.mark.usefixtures("in_running_home")
def test_an_unknown_request_is_said_so() -> None:
    result = renderlane("trace", "nobody")
    assert result.exit_code == 1
    assert "no such request" in result.stderr


def test_a_request_that_waits_has_an_open_root_and_its_stages_below() -> None:
    written = a_request_record()
    root = SpanView("b7ad6b7169203331", None, "request", NOW, NOW)
    intake = SpanView("1" * 16, root.span_id, "intake", NOW, NOW)
    branches = tree(with_root([intake], written, NOW + timedelta(seconds=5)))
    assert [(branch.depth, branch.span.name, branch.span.open) for branch in branches] == [
        (0, "request", True),
        (1, "intake", False),
    ]


async def test_without_spans_the_documents_tell_the_wait_and_the_attempts() -> None:
    world = World()
    await world.submit("r-1")
    await world.run_until_quiet()
    span_views = of_documents(
        RequestRecord.from_json(world.status("r-1")),
        [AttemptRecord.from_json(attempt) for attempt in world.attempts("r-1")],
        world.clock.now(),
    )
    assert [(branch.depth, branch.span.name) for branch in tree(span_views)] == [
        (0, "request"),
        (1, "queue wait"),
        (1, "attempt"),
    ]
    true = [span for span in world.signals.spans if span.stage.name == "attempt"]
    assert span_views[-1].span_id == true[0].place.span_id
    assert span_views[-1].started_at == true[0].started_at


async def test_the_bars_lie_where_their_spans_lie() -> None:
    world = World()
    await world.submit("r-1")
    await world.run_until_quiet()
    trace_id = world.status("r-1")["trace_id"]
    spans = [of_otlp(to_otlp(span)) for span in world.signals.spans if span.place.trace_id == trace_id]
    call = next(span for span in spans if span.name.startswith("generate_content"))
    whole = max(span.ended_at for span in spans) - min(span.started_at for span in spans)
    drawn = trace_view.bar(call, min(span.started_at for span in spans), whole, 40)
    assert drawn.count(trace_view.FULL) == pytest.approx(40 * (call.duration / whole), abs=1)
    assert len(drawn) <= 40


def test_a_page_escapes_what_it_shows() -> None:
    page = trace_view.page("r-1", "t", [SpanView("1", None, "<script>", NOW, NOW, {"renderlane.outcome": "<b>"})])
    assert "<script>" not in page
    assert "<b>" not in page
