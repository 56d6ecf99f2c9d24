"""The tables and the JSON of `quota_live`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from scripts.bench.harness import rig
from scripts.bench.quota_live.counters import ADMISSION, READS, WRITES, Heat
from scripts.bench.quota_live.measures import SceneFigure
from scripts.bench.quota_live.scenes import PlayedScene
from scripts.bench.quota_live.stage import RunSetting

GOAL_SIGNS = {"at least": "≥", "at most": "≤", "told only": ""}


class Beside(Struct, frozen=True):
    """The saturated scene as the usual client plays it."""

    goodput: float
    """% of the limit."""
    rejected_per_1000: float
    given_up: int
    """Requests that failed for good."""


def print_tables(setting: RunSetting, played: Mapping[str, PlayedScene], beside: Beside | None) -> None:
    home = f"{setting.workers} workers, {setting.kind}" if setting.kind == "emulators" else "one process, embedded"
    title = f"{home}; {setting.rpm} requests a minute enforced; calls of {setting.latency} s"
    rows = []
    for scene, result in played.items():
        for index, measure in enumerate(result.measures):
            rows.append([scene if index == 0 else "", *_row(measure)])
        rows.append(["", "processors busy", f"{100 * result.busy.machine:.0f} %", "", ""])
        rows.append(["", "... with this bench", f"{100 * result.busy.ours:.0f} %", "", ""])
    rig.print_table(title, ["scene", "measure", "found", "goal", "met"], rows)
    if beside is not None:
        rig.print_table("saturated, beside it: google-genai with full jitter, ten attempts", ["", "found"], [
            ["goodput, of the limit", f"{beside.goodput:.1f} %"],
            ["429 for 1,000 renders", f"{beside.rejected_per_1000:,.0f}"],
            ["given up", f"{beside.given_up:,}"],
        ])  # fmt: skip
    for scene, result in played.items():
        _print_operations(scene, result)


def lines(scene: str, played: PlayedScene) -> list[str]:
    """Each measure that has a goal, in a line of its own, printed while other scenes go on."""
    rows = [_row(measure) for measure in played.measures if measure.kind != "told only"]
    return [f"{scene}: {name} {text} ({goal}: {met})" for name, text, goal, met in rows]


def _row(measure: SceneFigure) -> list[str]:
    text = f"{measure.value:,.1f}" if measure.unit in ("%", "calls") else f"{measure.value:,.2f}".removesuffix(".00")
    if measure.kind == "told only":
        return [measure.name, f"{text} {measure.unit}", "", ""]
    goal = f"{GOAL_SIGNS[measure.kind]} {measure.goal:g} {measure.unit}"
    return [measure.name, f"{text} {measure.unit}", goal, "yes" if measure.met else "NO"]


def _print_operations(scene: str, played: PlayedScene) -> None:
    """What the workers asked of the store, for each render; intake for each request taken in."""
    rows = [
        [flow, *(f"{played.counters.of(flow, operation) / divisor:.2f}" for operation in (*READS, *WRITES))]
        for flow, divisor in _divisors(played).items()
    ]
    title = f"{scene}: documents of the store for each of {played.renders:,} renders (intake: for each one taken in)"
    rig.print_table(title, ["flow", *READS, *WRITES], rows)
    counts = played.counters
    renders = max(1, played.renders)
    kinds = ", ".join(f"{purpose} {counts.purposes[purpose] / renders:.2f}" for purpose in ADMISSION)
    print(f"admission-only writes for each render: {counts.admission_writes() / renders:.2f} ({kinds})")
    for heat in hottest(played):
        print(f"{heat.path}: {heat.mean:.2f} writes a second, {heat.worst:.1f} in its worst 10 s")
    print(f"refused commits: {played.counters.refused()}")
    spent = ", ".join(f"{role} {1000 * seconds / renders:.0f}" for role, seconds in played.busy.seconds.items())
    print(f"processor ms for each render: {spent}\n")


def _divisors(played: PlayedScene) -> dict[str, int]:
    taken_in = max(1, played.counters.purposes["intake"])
    return {flow: taken_in if flow == "intake" else max(1, played.renders) for flow in played.counters.flows()}


def hottest(played: PlayedScene) -> list[Heat]:
    return played.counters.hottest(played.since, played.until)


def to_json(setting: RunSetting, played: Mapping[str, PlayedScene], beside: Beside | None) -> dict[str, Any]:
    scenes: dict[str, Any] = {scene: _scene_json(result) for scene, result in played.items()}
    if beside is not None:
        scenes["saturated"]["beside_full_jitter"] = {
            "goodput_percent": round(beside.goodput, 1),
            "rejected_per_1000_renders": round(beside.rejected_per_1000, 1),
            "given_up_requests": beside.given_up,
        }
    return {
        "home": setting.kind,
        "workers": setting.workers,
        "workers_with_kicks": setting.pumps,
        "limit_requests_a_minute": setting.rpm,
        "latency_seconds": setting.latency,
        "scenes": scenes,
    }


def _scene_json(played: PlayedScene) -> dict[str, Any]:
    counters, renders = played.counters, max(1, played.renders)
    return {
        "measures": {measure.name: measure.to_json() for measure in played.measures},
        "renders": played.renders,
        "seconds": round(played.until - played.since, 1),
        "processors_busy": round(played.busy.machine, 2),
        "processors_busy_with_this_bench": round(played.busy.ours, 2),
        "processor_ms_per_render": {role: round(1000 * spent / renders) for role, spent in played.busy.seconds.items()},
        "notes": dict(played.notes),
        "documents_per_render": {
            flow: {operation: round(counters.of(flow, operation) / divisor, 3) for operation in (*READS, *WRITES)}
            for flow, divisor in _divisors(played).items()
        },
        "reads_per_render": round(counters.reads() / renders, 2),
        "writes_per_render": round(counters.writes() / renders, 2),
        "admission_writes_per_render": {
            "all": round(counters.admission_writes() / renders, 3),
            **{purpose: round(counters.purposes[purpose] / renders, 3) for purpose in ADMISSION},
        },
        "hottest_documents": [
            {
                "path": heat.path,
                "writes": heat.writes,
                "mean_writes_a_second": round(heat.mean, 2),
                "worst_10_s_writes_a_second": round(heat.worst, 2),
            }
            for heat in hottest(played)
        ],
        "refused_commits": counters.refused(),
    }
