"""Floods: memory, answers and waits while far more arrives than is rendered, and the start on a long backlog.

Scene `flood`: requests are queued, and messages arrive at a rate for some seconds. Scene `restart`: the worker is
killed with -9 on a backlog, and started again. The worker, the publisher and the provider are processes of their own.
What is promised is checked: a run that breaks a promise says which, and ends with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from msgspec.structs import replace

from scripts.bench.floods import flood, restart
from scripts.bench.floods.plan import EMULATOR, FULL, PROMISES, QUICK, RESTART_BACKLOG, RESTART_BACKLOG_QUICK
from scripts.bench.harness import rig
from scripts.bench.harness.progress import ProgressLine

SCENES = ("flood", "restart")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scene", action="append", choices=SCENES, help="default: both; may be repeated")
    options.add_argument("--quick", action="store_true", help="a tenth of the requests")
    options.add_argument("--emulator", action="store_true", help="Pub/Sub's and Firestore's emulators, a smaller flood")
    options.add_argument("--backlog", type=int, help="requests that are queued before")
    options.add_argument("--rate", type=int, help="messages a second in the flood")
    options.add_argument("--seconds", type=int, help="of the flood")
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    given = {name: value for name in ("backlog", "rate", "seconds") if (value := getattr(chosen, name)) is not None}
    plan = replace(QUICK if chosen.quick else EMULATOR if chosen.emulator else FULL, **given)
    kind: rig.HomeKind = "emulators" if chosen.emulator else "embedded"
    progress, figures, problems = ProgressLine(), {}, []
    for scene in chosen.scene or SCENES:
        progress.say(f"{scene}, {kind}")
        run: flood.FloodRun | restart.RestartRun
        if scene == "flood":
            run = asyncio.run(flood.play(kind, plan, progress.say))
        else:
            backlog = chosen.backlog or (RESTART_BACKLOG_QUICK if chosen.quick else RESTART_BACKLOG)
            run = asyncio.run(restart.play(kind, replace(plan, backlog=backlog), progress.say))
        broken = run.problems(PROMISES)
        problems += [f"{scene}: {problem}" for problem in broken]
        figures[scene] = run.to_json() | {"home": kind, "problems": broken}
        _show(scene, kind, figures[scene])
    for problem in problems:
        print(problem, file=sys.stderr)
    rig.write_json(chosen.json, figures)
    return 1 if problems else 0


def _show(scene: str, kind: str, figures: dict[str, Any]) -> None:
    pages = figures.get("pages", {})
    rows = [[name, str(value)] for name, value in figures.items() if name not in ("pages", "problems", "home")]
    rows += [[name, f"p50 {page['p50_ms']:,} ms, p99 {page['p99_ms']:,} ms"] for name, page in pages.items()]
    rig.print_table(f"{scene}, {kind}", ["", ""], rows)


if __name__ == "__main__":
    sys.exit(main())
