"""What tracing costs: processor time for the twelve spans of one request, and the metrics that come from them.

Each row is written by the telemetry that the wiring builds for such a home; the collector is a process of its own that
takes everything and answers at once, and its own processor time is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import multiprocessing
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from scripts.bench.harness import rig
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.telemetry.json_log import JsonSignals
from shared.adapters.telemetry.telemetry import Telemetry
from shared.config import Settings
from shared.core.observability import spans
from shared.core.observability.spans import Attribute, Span
from shared.core.values.trace_context import Place

STAGES = tuple(stage for stage in spans.ALL.values() if stage is not spans.TICK)
NUMBERS = {"cost_micros", "input_tokens", "output_tokens", "attempt", "round", "latency_ms", "image_bytes", "tries"}
NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOMES = {"nothing": (False, False), "the file": (True, False), "OTLP": (False, True), "both": (True, True)}
"""With the file of spans, and with a collector."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="500 requests instead of 5,000")
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    requests = 500 if chosen.quick else 5_000
    ours, theirs = multiprocessing.Pipe()
    collector = multiprocessing.Process(target=_collect, args=(theirs,), daemon=True)
    collector.start()
    address = str(ours.recv())
    figures = {name: asyncio.run(_measured(requests, address, *home)) for name, home in HOMES.items()}
    collector.terminate()
    collector.join()
    rows = [[name, f"{micros:.0f}"] for name, micros in figures.items()]
    rig.print_table(f"Telemetry of one request, of {requests:,}", ["goes to", "processor, µs"], rows)
    rig.write_json(chosen.json, {"requests": requests, "processor_us_per_request": figures})
    return 0


async def _measured(requests: int, address: str, file: bool, sent: bool) -> float:
    """Microseconds of processor a request, what the exporters' threads take included."""
    os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)
    if sent:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = Settings.read(dict(os.environ), home)
        events = JsonSignals(io.StringIO(), SystemClock(), "local")
        telemetry = wiring.telemetry(settings, events, "boot", home / "traces.jsonl" if file else None)
        await _write(telemetry, 50)
        began = time.process_time()
        await _write(telemetry, requests)
        micros = (time.process_time() - began) * 1e6 / requests
        await telemetry.close()
    return micros


async def _write(telemetry: Telemetry, requests: int) -> None:
    """Flushed after every hundredth request, as a home would that is idle now and then."""
    for number in range(requests):
        root = Place(f"{number + 1:032x}", f"{number + 1:016x}")
        for stage in STAGES:
            telemetry.span(_span(stage, root))
        if number % 100 == 99:
            await telemetry.flush()
    await telemetry.flush()


def _span(stage: spans.Stage, root: Place) -> Span:
    place = root if stage is spans.REQUEST else root.named(stage.name)
    parent = None if stage is spans.REQUEST else root.span_id
    fields: dict[str, Attribute] = {name: 1_000 if name in NUMBERS else f"a usual {name}" for name in stage.fields}
    links = (root.named("release 1"),) if stage in (spans.SLOT_WAIT, spans.QUEUE_WAIT, spans.PUMP) else ()
    return Span(stage, place, parent, NOW, NOW + timedelta(seconds=1), fields, links)


def _collect(ready: Connection) -> None:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    ready.send(f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()


if __name__ == "__main__":
    raise SystemExit(main())
