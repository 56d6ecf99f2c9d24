"""Spans leave as they are declared: to a collector by OTLP, to a file on one machine; nothing hangs on either."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared import wiring
from shared.adapters.telemetry import span_file, telemetry
from shared.adapters.telemetry.json_log import JsonSignals
from shared.adapters.telemetry.span_file import SpanFile
from shared.adapters.telemetry.telemetry import Telemetry
from shared.config import InvalidSetting, Settings
from shared.core.observability import events, spans
from shared.core.observability.spans import Span, Stage
from shared.core.values.trace_context import Place
from shared.wiring import Flights
from tests.builders import NOW
from tests.fakes.otlp_receiver import Receiver, attributes, receiving
from tests.fakes.virtual_clock import VirtualClock
from tests.world import World

ROOT = Path(__file__).resolve().parents[3]
PLACE = Place("a" * 32, "b" * 16)
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
MARKER = "zebra-crossing-in-the-rain-4711"


def a_span(**changes: object) -> Span:
    fields: dict[str, str | int] = {"request_id": "r-1", "release": 1, "slot_at": "2026-11-22T12:00:00+00:00"}
    span = Span(spans.SLOT_WAIT, PLACE.named("x"), PLACE.span_id, NOW, NOW + timedelta(seconds=1.5), fields)
    return replace(span, **changes)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{server.url}/v1/traces")
        yield server


def sent_to(
    receiver: Receiver, tmp_path: Path, traces: Path | None = None, more: Mapping[str, str] | None = None
) -> Telemetry:
    """As the wiring builds it for a worker of this environment."""
    given = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.url}/v1/traces"} | dict(more or {})
    settings = Settings.read(given, tmp_path)
    events = JsonSignals(io.StringIO(), VirtualClock(), "local")
    return wiring.telemetry(settings, events, "boot-1", traces)


async def test_a_request_arrives_at_a_collector_and_in_the_file_as_the_same_connected_tree(
    receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "traces.jsonl"
    world = World()
    world.signals = sent_to(receiver, tmp_path, file)  # type: ignore[assignment]
    world.boot()
    for number in range(3):
        await world.submit(f"r-{number}", prompt=MARKER)
    await world.run_until_quiet()
    await world.signals.close()
    for number in range(3):
        status = world.status(f"r-{number}")
        mine = [span for span in receiver.spans if span.trace_id.hex() == status["trace_id"]]
        ids = {span.span_id for span in mine}
        assert len(mine) == len(ids) == 12
        assert [span.name for span in mine if span.parent_span_id not in ids] == ["request"]
        written = list(span_file.read(file, status["trace_id"]))
        assert {(item["spanId"], item.get("parentSpanId", ""), item["name"]) for item in written} == {
            (span.span_id.hex(), span.parent_span_id.hex(), span.name) for span in mine
        }
    everything = b"".join([*receiver.raw, file.read_bytes()])
    assert MARKER.encode() not in everything
    assert b"image of r-" not in everything
    assert {resource["service.name"] for resource in receiver.resources} == {"renderlane"}


async def test_a_span_arrives_with_its_times_kind_attributes_links_and_failure(
    receiver: Receiver, tmp_path: Path
) -> None:
    telemetry = sent_to(receiver, tmp_path, tmp_path / "traces.jsonl")
    link = Place("c" * 32, "d" * 16)
    telemetry.span(a_span(links=(link,), failed="slot_passed"))
    await telemetry.close()
    (span,) = receiver.spans
    began = int(NOW.timestamp()) * 10**9
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (began, began + 1_500_000_000)
    assert attributes(span) == {
        "renderlane.request_id": "r-1",
        "renderlane.release": 1,
        "renderlane.slot_at": "2026-11-22T12:00:00+00:00",
        "error.type": "slot_passed",
    }
    assert [item.span_id.hex() for item in span.links] == [link.span_id]
    (written,) = span_file.read(tmp_path / "traces.jsonl", PLACE.trace_id)
    assert written["startTimeUnixNano"] == str(began)
    assert written["endTimeUnixNano"] == str(began + 1_500_000_000)
    assert written["kind"] == span.kind == 1
    assert written["status"] == {"code": span.status.code, "message": "slot_passed"}
    assert {"key": "renderlane.release", "value": {"intValue": "1"}} in written["attributes"]


async def test_an_undeclared_stage_or_field_is_refused() -> None:
    telemetry = Telemetry(JsonSignals(io.StringIO(), VirtualClock(), "local"))
    with pytest.raises(ValueError, match="not declared"):
        telemetry.span(a_span(stage=Stage("slot wait", "INTERNAL", ("request_id", "release", "slot_at"))))
    with pytest.raises(ValueError, match="carries"):
        telemetry.span(a_span(fields={"request_id": "r-1", "prompt": "a lighthouse"}))


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ({}, True),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, False),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, False),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, True),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.0"}, True),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.0"}, False),
    ],
)
async def test_a_trace_that_the_caller_did_not_flag_is_kept_unless_a_sampler_is_named(
    named: dict[str, str], kept: bool, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    world = World()
    world.signals = sent_to(receiver, tmp_path, more=named)  # type: ignore[assignment]
    world.boot()
    await world.publish({"request_id": "r-1", "prompt": "a lighthouse"}, traceparent=CALLER)
    await world.run_until_quiet()
    await world.signals.close()
    mine = [span for span in receiver.spans if span.trace_id.hex() == world.status("r-1")["trace_id"]]
    assert bool(mine) is kept
    assert world.status("r-1")["traceparent"].endswith("-01" if kept else "-00")


async def test_spans_leave_when_the_last_delivery_in_flight_ends(receiver: Receiver, tmp_path: Path) -> None:
    telemetry = sent_to(receiver, tmp_path)
    flights = Flights(telemetry)
    async with flights:
        async with flights:
            telemetry.span(a_span())
        assert receiver.spans == []
    assert len(receiver.spans) == 1
    await telemetry.close()


async def test_a_collector_that_does_not_answer_holds_a_delivery_no_longer_than_it_may(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "FLUSH_WITHIN_S", 0.05)
    silent = sent_to(receiver, tmp_path)
    receiver.hold.clear()
    silent.span(a_span())
    began = time.monotonic()
    await silent.flush()
    await silent.flush()
    assert time.monotonic() - began < 8, "it waited for the exporter, which gives up after 10 s"
    receiver.hold.set()
    await silent.close()


def test_a_file_that_cannot_be_written_loses_spans_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    export = SpanFile(tmp_path / "taken" / "traces.jsonl", {})
    export.write(a_span())
    export.write(a_span())
    assert capsys.readouterr().err.count("spans are lost") == 1


def test_a_full_file_is_set_aside_and_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_file, "LARGEST_BYTES", 1_000)
    path = tmp_path / "traces.jsonl"
    export = SpanFile(path, {"service.name": "renderlane"})
    for number in range(4):
        export.write(a_span(place=PLACE.named(str(number))))
    export.close()
    assert path.stat().st_size < 2_000
    assert [item["spanId"] for item in span_file.read(path, PLACE.trace_id)] == [
        PLACE.named(str(number)).span_id for number in range(4)
    ]


def test_a_line_that_died_halfway_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    export = SpanFile(path, {})
    export.write(a_span())
    export.close()
    path.write_text(path.read_text("utf-8") + path.read_text("utf-8")[:200] + "\n", "utf-8")
    assert len(list(span_file.read(path, PLACE.trace_id))) == 1


def test_an_event_of_a_traced_request_names_its_trace_as_cloud_logging_wants_it() -> None:
    stream = io.StringIO()
    fields = {"request_id": "r-1", "tenant": "web", "route": "standard x 1K", "trace_id": PLACE.trace_id}
    JsonSignals(stream, VirtualClock(), "my-project").emit(events.ACCEPTED, **fields)
    entry = json.loads(stream.getvalue())
    assert entry["logging.googleapis.com/trace"] == f"projects/my-project/traces/{PLACE.trace_id}"
    assert entry["severity"] == "INFO"


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported(tmp_path: Path) -> None:
    code = (
        "import io, sys; from pathlib import Path; from shared import wiring; from shared.config import Settings\n"
        f"s = Settings.read({{}}, Path({str(tmp_path)!r}))\n"
        "wiring.build(s, io.StringIO(), traces=s.home / 'traces.jsonl')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "exported"),
    [
        ({}, set()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, {"traces", "metrics"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, {"traces"}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_METRICS_EXPORTER": "none"}, {"traces"}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, set()),
    ],
)
def test_what_goes_out_is_what_the_variables_say(given: dict[str, str], exported: set[str], tmp_path: Path) -> None:
    assert Settings.read(given, tmp_path).exports == exported


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(name: str, value: str, tmp_path: Path) -> None:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"} | {name: value}
    with pytest.raises(InvalidSetting, match=f"{name}: found '{value}'; allowed: "):
        Settings.read(given, tmp_path)
