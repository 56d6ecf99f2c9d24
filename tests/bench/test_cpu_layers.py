"""Samples of py-spy become processor time by layer."""

from __future__ import annotations

import pytest

from scripts.bench.harness.cpu_layers import OTHER, by_layer, layer_of

LOOP = ["run (asyncio/runners.py:190)", "Handle._run (asyncio/events.py:80)"]
FLOW = [*LOOP, "render (shared/flows/render/render.py:67)"]


@pytest.mark.parametrize(
    ("frames", "layer"),
    [
        (LOOP, "event loop"),
        ([*FLOW, "wait (asyncio/timeouts.py:40)"], "event loop"),
        (FLOW, OTHER),
        ([*FLOW, "loads (json/__init__.py:346)"], OTHER),
        ([*FLOW, "commit (shared/adapters/google_cloud/firestore_store.py:120)", "pb (proto/message.py:360)"],
         "Firestore client: grpc, proto-plus"),
        ([*FLOW, "publish (shared/adapters/google_cloud/pubsub_topics.py:90)", "call (grpc/aio/_call.py:595)"],
         "Pub/Sub client: grpc, proto-plus"),
        ([*LOOP, "_poll_wrapper (grpc/aio/_poller.py:1)"], "grpc: its own threads and callbacks"),
        ([*FLOW, "write (shared/adapters/telemetry/span_file.py:44)"], "spans, events, metrics"),
        ([*FLOW, "create_model (pydantic/main.py:1937)"], "google-genai: requests, answers"),
        (["_worker (concurrent/futures/thread.py:81)"], "other threads"),
    ],
)  # fmt: skip
def test_a_stack_belongs_to_the_innermost_layer_that_it_is_in(frames: list[str], layer: str) -> None:
    assert layer_of(frames) == layer


def test_samples_divide_what_a_thread_ran_and_nothing_more() -> None:
    main, idle = "thread (11): MainThread", "thread (12): asyncio_0"
    samples = [
        ";".join([main, *FLOW]) + " 30",
        ";".join([main, *LOOP]) + " 10",
        f"{idle};_worker (concurrent/futures/thread.py:81) 4000",
    ]
    layers = by_layer(samples, {11: 8.0, 12: 0.25, 13: 0.5})
    assert layers == {OTHER: 6.0, "event loop": 2.0, "not sampled": 0.5, "other threads": 0.25}
