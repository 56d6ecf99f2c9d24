"""Several workers on the emulators against a provider that enforces its limit: goodput, rejections, waits, kills.

Every figure comes from the simulator's record of calls, from the status documents or from counters in the workers; none
is estimated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from scripts.bench.harness import rig, usual_client
from scripts.bench.harness.progress import ProgressLine
from scripts.bench.quota_live import measures, report
from scripts.bench.quota_live.measures import ObservedCall
from scripts.bench.quota_live.report import Beside
from scripts.bench.quota_live.scenes import QUICK, SCENES, PlayedScene, Scale
from scripts.bench.quota_live.stage import MODEL, RunSetting, stage

TAKES_LONG = ("kill",)
"""An attempt whose worker was killed is given up after its lease of 45 s."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scene", action="append", choices=list(SCENES), help="this one only; may be repeated")
    options.add_argument("--home", choices=["emulators", "embedded"], default="emulators")
    options.add_argument("--workers", type=int, help="processes; 3 on the emulators, 1 embedded")
    options.add_argument("--pumps", type=int, default=1, help="workers that get kicks; one in production")
    options.add_argument("--rpm", type=int, default=500, help="the limit that the simulator enforces")
    options.add_argument("--queued", type=int, metavar="N", help="requests of the kill; 7,000, or 14 minutes' worth")
    options.add_argument("--alone", action="store_true", help="without google-genai beside `saturated`")
    options.add_argument("--latency", default="uniform:1,3", help="the simulated model's, in seconds")
    options.add_argument("--quick", action="store_true", help="under a minute, without the kill: it runs, no more")
    options.add_argument("--json", metavar="FILE")
    arguments = options.parse_args()
    if arguments.home == "embedded" and (arguments.workers or 1) != 1:
        options.error("--workers: the embedded home is one process")
    with _hosts(arguments.home) as hosts:
        setting = RunSetting(
            kind=arguments.home,
            workers=arguments.workers or (1 if arguments.home == "embedded" else 2 if arguments.quick else 3),
            pumps=arguments.pumps,
            rpm=120 if arguments.quick else arguments.rpm,
            latency="fixed:0.5" if arguments.quick else arguments.latency,
            hosts=hosts,
            say=ProgressLine().say,
        )
        scenes = arguments.scene or [scene for scene in SCENES if not (arguments.quick and scene in TAKES_LONG)]
        scale = QUICK if arguments.quick else Scale(queued=arguments.queued or 14 * arguments.rpm)
        try:
            played, beside = asyncio.run(_play(setting, scenes, scale, alone=arguments.alone))
        except asyncio.CancelledError:
            return 128 + signal.SIGTERM
    report.print_tables(setting, played, beside)
    rig.write_json(arguments.json, report.to_json(setting, played, beside))
    return 0 if all(measure.met for scene in played.values() for measure in scene.measures) else 1


@contextlib.contextmanager
def _hosts(kind: rig.HomeKind) -> Any:
    """Both emulators for the whole run; each scene has a project of its own on them."""
    if kind == "embedded":
        yield {}
        return
    from scripts.local.emulators import firestore_emulator, pubsub_emulator

    with firestore_emulator() as firestore, pubsub_emulator() as pubsub:
        yield {"FIRESTORE_EMULATOR_HOST": firestore, "PUBSUB_EMULATOR_HOST": pubsub}


async def _play(
    setting: RunSetting, scenes: list[str], scale: Scale, *, alone: bool
) -> tuple[Mapping[str, PlayedScene], Beside | None]:
    played: dict[str, PlayedScene] = {}
    _stop_what_was_started_at_sigterm()
    for scene in scenes:
        setting.say(f"{scene}: setting the stage")
        async with stage(setting, scene) as where:
            played[scene] = await SCENES[scene](where, scale)
        for line in report.lines(scene, played[scene]):
            setting.say(line)
    if alone or "saturated" not in scenes or not scale.judged:
        return played, None
    return played, await _beside(setting, scale)


def _stop_what_was_started_at_sigterm() -> None:
    playing = asyncio.current_task()
    assert playing is not None

    def stop() -> None:
        if not playing.cancelling():  # a second signal must not cut the stopping short
            playing.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)


async def _beside(setting: RunSetting, scale: Scale) -> Beside:
    """The saturated scene once more, as the usual client plays it: alone on the machine, on a simulator of its own."""
    setting.say("saturated: the same with google-genai and full jitter")
    lasts = scale.settle + scale.saturated
    with (
        rig.simulator(latency=setting.latency, limits=setting.limits) as provider,
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        story = asyncio.get_running_loop().run_in_executor(
            pool, usual_client.full_jitter, provider.url, MODEL, round(1.5 * setting.rpm), setting.rpm, lasts
        )
        _, given_up = await story
        calls = [ObservedCall.of(call) for call in rig.calls(provider.url)]
    began = min(call.at for call in calls)
    until = began + lasts
    calls = [call for call in calls if call.at < until]
    return Beside(
        goodput=100 * measures.window_use(calls, setting.rpm, began + scale.settle, until),
        rejected_per_1000=measures.rejected_per_1000(calls),
        given_up=given_up,
    )


if __name__ == "__main__":
    sys.exit(main())
