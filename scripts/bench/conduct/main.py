"""How the worker behaves while its provider fails, beside plain google-genai: what held, its cost, its time.

Each scene is played for real: the one-machine home with the real lane, over HTTP, against a simulator of its own that
fails by script. Calls and charges are the simulator's own record. The same requests go, in the same run, through plain
google-genai with its default retries and no fallback. The scene `flag` trips and resets a flag over 10,000 queued
requests.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from scripts.bench.conduct import flag_scene, report
from scripts.bench.harness import rig
from scripts.bench.harness.load import MachineLoad
from scripts.bench.harness.progress import ProgressLine
from scripts.drills import run_baseline, run_worker
from scripts.drills.recording import DrillRecording
from scripts.drills.scenes import BY_NAME, CALM, QUICK, scenes

AT_ONCE, AT_ONCE_QUICK = 3, 6
"""Scenes beside each other: most of their time is waiting."""
FLAG = "flag"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    names = [*BY_NAME, FLAG]
    options.add_argument("--scene", action="append", choices=names, help="this one only; may be repeated")
    options.add_argument("--at-once", type=int, help="scenes that are played beside each other; 3, quick 6")
    options.add_argument(
        "--quick", action="store_true", help="under a minute: fewer and shorter, not every recovery awaited"
    )
    options.add_argument("--json", metavar="FILE")
    arguments = options.parse_args()
    chosen = arguments.scene or [*(QUICK if arguments.quick else BY_NAME), FLAG]
    at_once = arguments.at_once or (AT_ONCE_QUICK if arguments.quick else AT_ONCE)
    load = MachineLoad()
    say = ProgressLine().say
    figures: dict[str, object] = {}
    failed = False
    if any(name != FLAG for name in chosen):
        wanted = tuple(name for name in chosen if name not in (FLAG, CALM))
        worker, script = asyncio.run(_play(wanted, at_once, quick=arguments.quick, say=say))
        report.print_scenes(worker, script)
        figures["scenes"] = report.to_json(worker, script)
        failed = any(played.problems() for played in worker.values())
    if FLAG in chosen:
        flag_figures = asyncio.run(flag_scene.play(flag_scene.QUICK if arguments.quick else flag_scene.FULL, say))
        report.print_flag(flag_figures)
        figures["flag"] = flag_figures.to_json()
        failed = failed or bool(flag_figures.problems())
    busy = load.busy()
    print(f"processors busy {100 * busy.machine:.0f} %, of it with this bench {100 * busy.ours:.0f} %")
    figures["processors_busy"] = round(busy.machine, 2)
    figures["processors_busy_with_this_bench"] = round(busy.ours, 2)
    rig.write_json(arguments.json, figures)
    return 1 if failed else 0


async def _play(
    names: tuple[str, ...], at_once: int, *, quick: bool, say: Callable[[str], None]
) -> tuple[dict[str, DrillRecording], dict[str, DrillRecording]]:
    """As the worker plays them, and as a plain script does, at the same time and each in a process of its own."""
    chosen = scenes((CALM, *names), quick=quick)

    def report(recording: DrillRecording) -> None:
        problems = recording.problems()
        say(f"{recording.scene.name}: {'; '.join(problems) if problems else 'held'}")

    say(f"{len(chosen)} scenes, {at_once} beside each other")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        loop = asyncio.get_running_loop()
        script = loop.run_in_executor(pool, partial(run_baseline.play_in_process, quick=quick), (CALM, *names), at_once)
        worker = await run_worker.play_all(chosen, at_once, report)
        return worker, await script


if __name__ == "__main__":
    sys.exit(main())
