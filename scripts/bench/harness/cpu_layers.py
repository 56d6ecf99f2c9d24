"""Which layer of the worker a processor second goes to, by py-spy's samples and the kernel's account of its threads.

py-spy takes threads that wait in C for busy ones. So its samples only divide a thread's time among layers, and how
long a thread ran is read from the kernel. It samples without stopping the process, which would double its time.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

SAMPLES_PER_SECOND = "100"
BEGINS_WITHIN = 1.5
"""Seconds until py-spy has looked at the process."""
OTHER = "our flows and core"
ADAPTERS = (
    (r"google_cloud/pubsub_topics", "Pub/Sub client: grpc, proto-plus"),
    (r"google_cloud/firestore_store", "Firestore client: grpc, proto-plus"),
    (r"adapters/sqlite/topics", "SQLite: topics"),
    (r"adapters/sqlite", "SQLite: store"),
)
"""They also answer for the frames of the libraries that they call, and of the loop that they wait in."""
WITHIN = (
    (r"shared/adapters/telemetry|flows/tracing|core/observability", "spans, events, metrics"),
    *ADAPTERS,
    (r"httpx2/|httpcore2/|h11/_connection|adapters/gemini/bounded_body", "HTTP to the provider: httpx2"),
    (r"google/genai|genai/_|pydantic", "google-genai: requests, answers"),
    (r"adapters/(gemini|payloads|gemini_errors)", "reading answers: JSON, base64"),
    (r"object_storage|pictures|requests/paid_image", "image store"),
    (r"adapters/signatures|jwt/", "webhooks' signatures"),
    (r"grpc/|google/api_core|proto/|google/cloud|google/pubsub", "grpc: its own threads and callbacks"),
    (r"flows/pump|core/admission", "pump: ticks"),
    (r"flows/status|functions/console", "summary, console"),
    (r"flows/(intake|render|collect|requests|arrive|webhooks)|shared/core|shared/flows", OTHER),
    (r"starlette/|uvicorn/|functions_framework/|functions/|scripts/local/|h11/", "serving: push, webhooks, local door"),
    (r"asyncio/|selectors\.py|anyio/", "event loop"),
)
"""By the innermost frame that matches one of them; the first in the order wins within one frame."""
_PATTERNS = tuple((re.compile(pattern), layer) for pattern, layer in WITHIN)
_ADAPTERS = tuple((re.compile(pattern), layer) for pattern, layer in ADAPTERS)
_THREAD = re.compile(r"thread \((\d+)\)")
_LIBRARY = re.compile(r"grpc/|google/api_core|proto/|google/cloud|google/pubsub|asyncio/|anyio/|selectors\.py")


@contextmanager
def sampled(py_spy: str, pid: int, into: dict[str, float]) -> Iterator[None]:
    """Add processor seconds by layer to `into` at the end of the block."""
    with TemporaryDirectory(prefix="renderlane-bench-") as folder:
        samples = Path(folder, "samples")
        words = [py_spy, "record", "-p", str(pid), "-r", SAMPLES_PER_SECOND, "-f", "raw", "-t"]
        words += ["--nonblocking", "-o", str(samples)]
        spy = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(BEGINS_WITHIN)
        before = _thread_seconds(pid)
        try:
            yield
        finally:
            after = _thread_seconds(pid)
            spy.send_signal(signal.SIGINT)
            spy.wait(60)
            ran = {thread: seconds - before.get(thread, 0.0) for thread, seconds in after.items()}
            into.update(by_layer(samples.read_text("utf-8").splitlines(), ran))


def by_layer(samples: Iterable[str], ran: Mapping[int, float]) -> dict[str, float]:
    """Processor seconds by layer, most first; `ran` are those of each thread. What no sample met is "not sampled"."""
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for line in samples:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        thread = _THREAD.match(frames[0])
        if thread is not None:
            counts[int(thread[1])][layer_of(frames[1:])] += int(count)
    seconds: defaultdict[str, float] = defaultdict(float)
    for thread_id, total in ran.items():
        layers = counts.get(thread_id) or Counter({"not sampled": 1})
        for layer, samples_of_layer in layers.items():
            seconds[layer] += total * samples_of_layer / layers.total()
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def layer_of(frames: list[str]) -> str:
    """Of one stack, outermost frame first. A client library's frames, and the loop's, belong to the adapter outside."""
    for frame in reversed(frames):
        for pattern, layer in _PATTERNS:
            if not pattern.search(frame):
                continue
            if _LIBRARY.search(frame):
                return _outer_adapter(frames) or layer
            return layer
    return "other threads"


def _outer_adapter(frames: list[str]) -> str | None:
    stack = ";".join(frames)
    return next((layer for pattern, layer in _ADAPTERS if pattern.search(stack)), None)


def _thread_seconds(pid: int) -> dict[int, float]:
    return {thread.id: thread.user_time + thread.system_time for thread in psutil.Process(pid).threads()}
