"""The page for Prometheus, read back by the parser of Prometheus' own client, and the bound of the label `tenant`."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.adapters.telemetry.prometheus import PrometheusMetrics
from shared.adapters.telemetry.tenant_labels import TenantLabels
from shared.core.observability import metrics
from shared.core.observability.metrics import Measure
from shared.core.observability.prometheus_names import metric_name


def a_depth(tenant: str, count: int) -> Measure:
    return Measure(metrics.QUEUE_DEPTH, count, {"priority": "bulk", "model": "m", "tenant": tenant})


def read(meter: PrometheusMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(meter.page().decode())
        for sample in family.samples
    }


def test_names_follow_the_rules_for_prometheus() -> None:
    assert metric_name(metrics.REQUEST_DURATION) == "renderlane_request_duration_seconds"
    assert metric_name(metrics.RENDERS) == "renderlane_renders_total"
    assert metric_name(metrics.QUOTA_USED) == "renderlane_quota_used_ratio"
    assert metric_name(metrics.QUEUE_DEPTH) == "renderlane_queue_depth"


def test_counts_add_up_and_gauges_show_the_last_observation_alone() -> None:
    meter = PrometheusMetrics()
    ended = {"status": "succeeded", "outcome": "succeeded", "priority": "bulk", "tenant": "web"}
    for _ in range(2):
        meter.add([Measure(metrics.REQUESTS, 1, ended)])
    meter.observe([a_depth("web", 5)])
    meter.observe([a_depth("shop", 3)])
    samples = read(meter)
    labels = tuple(sorted((f"renderlane_{name}", value) for name, value in ended.items()))
    assert samples[("renderlane_requests_total", labels)] == 2
    depths = {dict(labels)["renderlane_tenant"]: n for (name, labels), n in samples.items() if "queue_depth" in name}
    assert depths == {"shop": 3}


def test_a_call_that_went_well_has_no_error_type() -> None:
    meter = PrometheusMetrics()
    labels = {"gen_ai.operation.name": "x", "gen_ai.provider.name": "y", "gen_ai.request.model": "m"}
    meter.add([Measure(metrics.MODEL_TIME, 2.0, labels)])
    name = "gen_ai_client_operation_duration_seconds_sum"
    errors = {dict(series[1])["error_type"] for series in read(meter) if series[0] == name}
    assert errors == {""}


@pytest.mark.parametrize("metric", metrics.ALL.values(), ids=lambda metric: metric.name)
def test_each_declared_metric_is_on_the_page(metric: metrics.Metric) -> None:
    assert f"# HELP {metric_name(metric)} ".encode() in PrometheusMetrics().page()


def test_tenants_beyond_the_bound_share_a_name_and_their_gauges_add_up() -> None:
    labels = TenantLabels(most=2)
    bounded = labels.bounded([a_depth("a", 1), a_depth("b", 2), a_depth("c", 3), a_depth("d", 4)])
    assert {measure.labels["tenant"]: measure.value for measure in bounded} == {"a": 1, "b": 2, "other": 7}
    again = labels.bounded([a_depth("d", 1), a_depth("a", 9)])
    assert {measure.labels["tenant"]: measure.value for measure in again} == {"other": 1, "a": 9}


def test_a_metric_without_labels_is_one_series() -> None:
    meter = PrometheusMetrics()
    meter.add([Measure(metrics.COLLECT_DELAY, 0.2, {})])
    meter.observe([Measure(metrics.LEFTOVERS, 3, {})])
    page = read(meter)
    assert page[(f"{metric_name(metrics.COLLECT_DELAY)}_count", ())] == 1
    assert page[(metric_name(metrics.LEFTOVERS), ())] == 3
    meter.observe([])
    assert read(meter)[(metric_name(metrics.LEFTOVERS), ())] == 0
