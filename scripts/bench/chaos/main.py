"""Kill -9 at random under load: what is lost, what is paid twice, and whether the books are the provider's bill.

The one-machine worker renders against the simulator, as processes of their own. It is killed, started again, killed.
Then an independent checker compares the store, the images, the results and the provider's record. Three ways: with
background calls (`auto`: one canary, then all), with a provider that refuses them, and without (`off`).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from scripts.bench.chaos import checker
from scripts.bench.chaos.checker import Report
from scripts.bench.chaos.killer import ChaosPlan, ChaosRun, play
from scripts.bench.harness import rig
from scripts.bench.harness.progress import ProgressLine

FULL = ChaosPlan(
    requests=10_000, kills=200, at_once=300, latency="uniform:6,18", rendering=100, uptime=(0.0, 2.0), within=1_800,
    spread=0.9,
)  # fmt: skip
QUICK = ChaosPlan(
    requests=240, kills=5, at_once=200, latency="uniform:10,20", rendering=180, uptime=(0.0, 1.0), within=180
)
WAYS = ("background", "refused", "off")
MOST_TWICE_A_KILL = 1.0
MOST_TWICE_SHARE = 0.0005
"""Of the requests, in the full run."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="five kills under 200 rendering requests")
    options.add_argument("--way", action="append", choices=WAYS, help="default: background; may be repeated")
    options.add_argument("--requests", type=int)
    options.add_argument("--kills", type=int)
    options.add_argument("--seed", type=int)
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    given = {name: getattr(chosen, name) for name in ("requests", "kills", "seed")}
    plan = replace(
        QUICK if chosen.quick else FULL, **{name: value for name, value in given.items() if value is not None}
    )
    ways = chosen.way or ["background"]
    progress, figures, failed = ProgressLine(), {}, False
    rows: list[list[str]] = []
    for way in ways:
        with tempfile.TemporaryDirectory(prefix="renderlane-chaos-") as folder:
            run = asyncio.run(play(of_way(plan, way), Path(folder), progress.say))
        report = checker.check(run.accounts)
        problems = [*report.problems, *(missed(report, run) if way == "background" else [])]
        rows.append(_row(way, run, report))
        figures[way] = _figures(run, report, problems)
        failed = failed or bool(problems)
        for problem in problems[:20]:
            print(f"{way}: {problem}", file=sys.stderr)
    rig.print_table(f"{plan.requests:,} requests, {plan.kills} kills", _COLUMNS, rows)
    rig.write_json(chosen.json, figures)
    return 1 if failed else 0


def of_way(plan: ChaosPlan, way: str) -> ChaosPlan:
    match way:
        case "background":
            return plan
        case "refused":
            return replace(plan, refused=True)
        case _:
            return replace(plan, background="off")


def missed(report: Report, run: ChaosRun) -> list[str]:
    """Goals that a run with background calls has not reached."""
    problems = []
    if not run.in_flight:
        problems.append("the kills hit no call: this run shows nothing")
    if report.by_status.get("succeeded", 0) != report.requests:
        problems.append(f"{report.requests - report.by_status.get('succeeded', 0)} requests did not succeed")
    if report.paid_twice > MOST_TWICE_A_KILL * run.kills:
        problems.append(f"{report.paid_twice} images paid twice in {run.kills} kills; the goal is one a kill at most")
    if report.requests >= FULL.requests and report.twice_share > MOST_TWICE_SHARE:
        problems.append(f"paid twice {report.twice_share:.3%}; the goal is {MOST_TWICE_SHARE:.2%}")
    return problems


_COLUMNS = [
    "run", "kills", "in flight at kills", "succeeded", "failed", "paid twice", "billed USD", "booked USD",
    "unknown", "end to result p50", "seconds",
]  # fmt: skip


def _row(way: str, run: ChaosRun, report: Report) -> list[str]:
    failed = ", ".join(f"{count} {code}" for code, count in report.failed_as.items())
    return [
        way,
        str(run.kills),
        f"{run.in_flight:,}",
        f"{report.by_status.get('succeeded', 0):,}",
        failed or "0",
        f"{report.paid_twice} ({report.twice_share:.2%})",
        f"{report.billed_micros / 1e6:.2f}",
        f"{report.booked_micros / 1e6:.2f}",
        str(report.unknown_attempts),
        "-" if report.settle_ms is None else f"{report.settle_ms:,.0f} ms",
        f"{run.seconds:.0f}",
    ]


def _figures(run: ChaosRun, report: Report, problems: list[str]) -> dict[str, Any]:
    return report.to_json() | {
        "kills": run.kills,
        "in_flight_at_kills": run.in_flight,
        "seconds": round(run.seconds, 1),
        "problems": problems,
    }


if __name__ == "__main__":
    sys.exit(main())
