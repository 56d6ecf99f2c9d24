"""What the metrics say of a load, in virtual time, and that they reach a collector."""

from __future__ import annotations

import io
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import wiring
from shared.adapters.telemetry.json_log import JsonSignals
from shared.config import Settings
from shared.core.observability import metrics
from shared.core.observability.metrics import Measure, Metric
from shared.core.provider.failure import FailureKind
from shared.core.routing.flag import Flag
from shared.flows.operations import flags
from tests.fakes.otlp_receiver import attributes, receiving
from tests.world import World

MARKER = "zebra-crossing-in-the-rain-4711"


def added(world: World, metric: Metric) -> Counter[tuple[str, ...]]:
    """By labels, what all ended stages added."""
    total: Counter[tuple[str, ...]] = Counter()
    for span in world.signals.spans:
        for measure in metrics.of_span(span):
            if measure.metric is metric:
                total[tuple(measure.labels.values())] += measure.value  # type: ignore[assignment]
    return total


def observed(world: World, metric: Metric) -> dict[tuple[str, ...], float]:
    return {
        tuple(measure.labels.values()): measure.value for measure in world.signals.observed if measure.metric is metric
    }


@pytest.mark.parametrize("metric", metrics.ALL.values(), ids=lambda metric: metric.name)
def test_a_metric_says_what_it_is_and_carries_nobodys_id_or_prompt(metric: Metric) -> None:
    assert metric.says
    assert metric.unit
    assert len(set(metric.labels)) == len(metric.labels)
    assert not {"request_id", "prompt", "key", "trace_id"} & set(metric.labels)


def test_every_metric_of_the_module_is_declared_and_no_other_is_taken() -> None:
    written = {value.name: value for value in vars(metrics).values() if isinstance(value, Metric)}
    assert written == metrics.ALL
    with pytest.raises(ValueError, match="not declared"):
        metrics.check(Measure(Metric("renders", "counter", "1", (), "x"), 1, {}))
    with pytest.raises(ValueError, match="has the labels"):
        metrics.check(Measure(metrics.BREAKERS, 1, {"circuit": "a", "tenant": "web"}))


async def test_renders_cost_waits_and_tokens_are_those_of_the_store() -> None:
    world = World()
    world.lane.then(FailureKind.SERVER_ERROR, FailureKind.REFUSED)
    for number in range(4):
        await world.submit(f"r-{number}", purpose="final")
    await world.run_until_quiet()
    route = "standard gemini-3-pro-image 1K"
    parts = (route, "standard", "gemini-3-pro-image", "1K")
    assert added(world, metrics.RENDERS) == {
        (*parts, "server_error"): 1,
        (*parts, "refused"): 1,
        (*parts, "succeeded"): 3,
    }
    booked = sum(world.status(f"r-{number}")["cost_micros"] for number in range(4))
    assert sum(added(world, metrics.COST).values()) == booked == world.ledger_micros()
    assert sum(added(world, metrics.REQUESTS).values()) == 4
    assert added(world, metrics.TOKENS)[("generate_content", "gcp.gemini", "gemini-3-pro-image", "input")] == 30
    assert added(world, metrics.MODEL_TIME)[("generate_content", "gcp.gemini", "gemini-3-pro-image")] == 3.0
    ends = added(world, metrics.REQUESTS)
    assert ends == {("succeeded", "succeeded", "normal", "default"): 3, ("refused", "refused", "normal", "default"): 1}
    took = sum(
        (document.data["finished_at"] - document.data["created_at"]).total_seconds()
        for document in world.store.all("requests")
        if document.data["status"] == "succeeded"
    )
    durations = added(world, metrics.REQUEST_DURATION)
    assert durations[("succeeded", "normal", "gemini-3-pro-image", "default")] == pytest.approx(took, abs=0.2)


async def test_watch_observes_how_deep_and_how_old_each_queue_is_and_what_is_left_of_a_limit() -> None:
    world = World(quota="gemini-3-pro-image=rpm:2")
    world.signals.measures = True
    for number in range(10):
        await world.submit(f"r-{number}", purpose="final", priority="bulk")
    await world.run_for(timedelta(seconds=62))
    depth, age = observed(world, metrics.QUEUE_DEPTH), observed(world, metrics.QUEUE_AGE)
    waiting = sum(1 for status in world.statuses().values() if status == "queued")
    assert depth[("interactive", "other", "other")] == age[("interactive",)] == 0
    assert depth[("bulk", "gemini-3-pro-image", "default")] >= waiting > 0
    assert 55 <= age[("bulk",)] <= 62
    limit = observed(world, metrics.QUOTA_LIMIT)[("gemini-3-pro-image", "rpm", "configured")]
    used = observed(world, metrics.QUOTA_USED)[("gemini-3-pro-image", "rpm")]
    assert limit == 2
    assert observed(world, metrics.QUOTA_HEADROOM)[("gemini-3-pro-image", "rpm")] == limit - used


async def test_a_flag_is_observed_while_it_is_in_force_and_no_longer() -> None:
    world = World()
    world.signals.measures = True
    now = world.clock.now()
    pause = Flag("pause-1", "pause", "ada", "a fire", now, now + timedelta(minutes=3))
    await flags.trip(world.store, world.signals, pause)
    await world.run_for(timedelta(seconds=61))
    assert observed(world, metrics.FLAGS) == {("pause", "person", "false"): 1}
    await world.run_for(timedelta(minutes=4))
    assert observed(world, metrics.FLAGS) == {}


async def test_metrics_reach_a_collector_with_the_names_and_labels_they_are_declared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        world = World(quota="*=rpm:60")
        settings = Settings.read({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, tmp_path)
        events = JsonSignals(io.StringIO(), world.clock, "local")
        world.signals = wiring.telemetry(settings, events, "boot-1", None)  # type: ignore[assignment]
        world.boot()
        await world.submit("r-1", prompt=MARKER)
        await world.run_for(timedelta(seconds=61))
        await world.signals.close()
    got: dict[str, Any] = {metric.name: metric for metric in receiver.metrics}
    in_the_background = {metrics.AWAITING.name, metrics.AWAITING_AGE.name, metrics.COLLECT_DELAY.name}
    never = {"renderlane.flags", "renderlane.breakers.open", metrics.WEBHOOKS.name}
    expected = metrics.ALL.keys() - never - in_the_background
    assert got.keys() == expected
    (renders,) = got["renderlane.renders"].sum.data_points
    assert attributes(renders) == {
        "renderlane.route": "standard gemini-nano-banana-2.1 1K",
        "renderlane.lane": "standard",
        "renderlane.model": "gemini-nano-banana-2.1",
        "renderlane.size": "1K",
        "renderlane.outcome": "succeeded",
    }
    assert (renders.as_int or renders.as_double) == 1
    (duration,) = got["gen_ai.client.operation.duration"].histogram.data_points
    assert attributes(duration)["gen_ai.request.model"] == "gemini-nano-banana-2.1"
    assert (duration.count, duration.sum) == (1, pytest.approx(1.0, abs=0.01))
    assert MARKER.encode() not in b"".join(receiver.raw)
