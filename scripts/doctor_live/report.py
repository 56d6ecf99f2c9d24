"""The report: what was asked, what came, what it cost, what differs. JSON for programs, Markdown for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from scripts.doctor_live.differences import CatalogueDifference
from scripts.doctor_live.probes import ProbePlan
from scripts.doctor_live.run import Examined
from shared.core.values.money import usd

FORMAT = 1
"""Rises when a member changes its meaning or goes; new members may come at any time."""


class Circumstances(Struct, frozen=True):
    made_at: datetime
    address: str
    """Of the API: scheme and host."""
    simulated: bool
    """A stand-in answered, not Google."""
    key_kind: str
    project: str
    tier: str | None
    sdk: str
    """The version of google-genai beside this worker; the probes are plain HTTP."""
    vertex: str | None
    """`PROJECT/LOCATION`, where the Vertex lane was asked too."""


def document(
    about: Circumstances,
    plan: ProbePlan,
    examined: Examined,
    changes: Sequence[CatalogueDifference],
    proposed: str,
) -> dict[str, Any]:
    """The whole report. Times as text, money in dollars as text and in whole micro-dollars."""
    outcomes = examined.outcomes
    costs = [outcome.cost_micros for outcome in outcomes if outcome.cost_micros is not None]
    return {
        "format": FORMAT,
        "made_at": about.made_at.isoformat(timespec="seconds"),
        "address": about.address,
        "simulated": about.simulated,
        "key_kind": about.key_kind,
        "project": about.project,
        "tier": about.tier,
        "sdk": about.sdk,
        "vertex": about.vertex,
        "estimate": {"expected_usd": usd(plan.expected_micros), "most_usd": usd(plan.budget_micros)},
        "cost_usd": usd(sum(costs)),
        "cost_unknown": len(outcomes) - len(costs),
        "probes": [outcome.to_json() | {"about": outcome.probe.about} for outcome in outcomes],
        "not_asked": [f"{probe.model}: {probe.about}" for probe in examined.left_out],
        "facts": dict(examined.facts),
        "differences": [asdict(difference) for difference in changes],
        "catalogue_diff": proposed,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The same for reading, and for sending."""
    where = "A STAND-IN ANSWERED, NOT GOOGLE. " if report["simulated"] else ""
    lines = [
        f"# doctor --live, {report['made_at']}",
        "",
        f"{where}{report['address']}, key {report['key_kind']}, project {report['project']}, "
        f"tier {report['tier'] or 'unknown'}, google-genai {report['sdk']}"
        + (f", Vertex {report['vertex']}" if report["vertex"] else ""),
        "",
        f"Cost ${report['cost_usd']} by the catalogue's prices (estimated ${report['estimate']['expected_usd']}, "
        f"at most ${report['estimate']['most_usd']}); {report['cost_unknown']} probes of unknown cost.",
        "",
        "| model | asked | expected | came | tokens (image, thinking) | pixels, type | cost | seconds |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(probe) for probe in report["probes"]),
        "",
        "## Beside the probes",
        "",
        *(f"- {name}: {text}" for name, text in report["facts"].items()),
        *(f"- not asked: {text}" for text in report["not_asked"]),
        "",
        "## What differs from the catalogue",
        "",
        *(
            f"- `[{row['table']}]` {row['key']}: {row['catalogue']} -> {row['answer']} ({row['because']})"
            for row in report["differences"]
        ),
    ]
    if not report["differences"]:
        lines.append("Nothing.")
    if report["catalogue_diff"]:
        lines += ["", "## Proposed", "", "```diff", report["catalogue_diff"].rstrip("\n"), "```"]
    return "\n".join(lines) + "\n"


def _row(outcome: Mapping[str, Any]) -> str:
    probe, usage = outcome["probe"], outcome["usage"]
    tokens = f"{usage['image_out']}, {usage['thought']}" if usage else "-"
    pixels = f"{outcome['width']} x {outcome['height']}, {outcome['mime_type']}" if outcome["width"] else "-"
    came = outcome["code"] if outcome["code"] == "image" else _failure(outcome)
    cost = "unknown" if outcome["cost_micros"] is None else f"${usd(outcome['cost_micros'])}"
    cells = (
        probe["model"], outcome["about"], probe["expected"], came, tokens, pixels, cost, f"{outcome['seconds']:.1f}"
    )  # fmt: skip
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _failure(outcome: Mapping[str, Any]) -> str:
    status = f"HTTP {outcome['http_status']} " if outcome["http_status"] else ""
    return f"{status}{outcome['code']}: {outcome['message']}".rstrip(": ")
