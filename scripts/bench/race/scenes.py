"""The seven scenes, in full and short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from msgspec.structs import replace

from scripts.bench.race.scene import Priority, RaceScene, SceneRequest

PRO = "gemini-3-pro-image"
STANDARD = "gemini-nano-banana-2.1"


def _order(scene: str, number: int, at: float, model: str = STANDARD, priority: Priority = "normal") -> SceneRequest:
    name = f"{scene}-{number:03}"
    return SceneRequest(id=name, at=at, prompt=f"a lighthouse at dusk, {name}", model=model, priority=priority)


def burst(quick: bool) -> RaceScene:
    requests, within = (70, 100.0) if quick else (150, 330.0)
    return RaceScene(
        name="burst",
        title=f"{requests} requests at once, 60 a minute allowed",
        orders=[_order("burst", number, 0.0) for number in range(requests)],
        limits={STANDARD: 60},
        within=within,
        figures=("makespan", "lost", "rejected", "paid_twice", "cost_error", "cpu", "memory"),
    )


def saturation(quick: bool) -> RaceScene:
    rpm, window = 120, (30.0, 90.0 if quick else 150.0)
    backlog = [_order("saturation", number, 0.0) for number in range(rpm)]
    arrivals = [_order("saturation", rpm + number, number * 60 / rpm) for number in range(round(window[1] * rpm / 60))]
    return RaceScene(
        name="saturation",
        title=f"{rpm} queued and as many a minute arriving as the limit of {rpm} allows",
        orders=[*backlog, *arrivals],
        limits={STANDARD: rpm},
        within=window[1],
        window=window,
        figures=("goodput", "rejected", "paid_twice", "cpu", "memory"),
    )


def outage(quick: bool) -> RaceScene:
    """Four requests a second; the primary model answers 503 from 10 s to 40 s."""
    requests, since, until = (60, 3.0, 9.0) if quick else (240, 10.0, 40.0)
    orders = [_order("outage", number, number / 4, PRO) for number in range(requests)]
    return RaceScene(
        name="outage",
        title=f"4 requests a second, the primary model overloaded for {until - since:.0f} s of {requests // 4}",
        orders=[replace(order, fallback=STANDARD) for order in orders],
        faults=[{"kind": "overload", "model": PRO, "after": since, "until": until}],
        within=requests / 4 + (15 if quick else 60),
        warm=True,
        alone=not quick,
        figures=("sick_calls", "p50", "worst", "primary", "lost", "paid_twice", "wasted", "cost_error", "cpu",
                 "memory", "cold_start"),
    )  # fmt: skip


def interactive(quick: bool) -> RaceScene:
    """Somebody waits for an image every few seconds, behind a bulk backlog that outlasts them."""
    rpm, seconds = 100, 40.0 if quick else 110.0
    chance = Random(7)
    bulk = [_order("bulk", number, 0.0, priority="bulk") for number in range(60 + round(3 * rpm * seconds / 60))]
    people: list[SceneRequest] = []
    at = 5.0
    while at < seconds:
        people.append(_order("interactive", len(people), at, priority="interactive"))
        at += chance.uniform(2.0, 6.0)
    return RaceScene(
        name="interactive",
        title=f"{len(people)} interactive requests behind {len(bulk)} bulk ones, {rpm} a minute allowed",
        orders=[*bulk, *people],
        limits={STANDARD: rpm},
        within=seconds + 15,
        reserved=0.2,
        figures=("interactive_p50", "interactive_p99", "interactive_missing", "rejected", "paid_twice"),
    )


def kill(quick: bool) -> RaceScene:
    requests, seconds, kills, within = (20, 5.0, (6.0,), 45.0) if quick else (90, 10.0, (8.0, 20.0, 32.0), 210.0)
    moments = ", ".join(f"{at:.0f}" for at in kills)
    return RaceScene(
        name="kill",
        title=f"{requests} requests of {seconds:.0f} s, killed with -9 after {moments} s",
        orders=[_order("kill", number, number * 0.4) for number in range(requests)],
        latency=seconds,
        kills=kills,
        within=within,
        warm=True,
        figures=("makespan", "lost", "paid_twice", "wasted", "cost_error"),
    )


def poison(quick: bool) -> RaceScene:
    """Good requests, and among them: refused prompts, sizes that do not exist, messages that are no JSON."""
    good = [_order("good", number, 0.5 * number) for number in range(15 if quick else 40)]
    poisoned = [
        *(_poison(number, f"a lighthouse [refuse], poison-{number:03}") for number in range(4)),
        *(_poison(number, f"a lighthouse, poison-{number:03}", image_size="9K") for number in range(4, 8)),
        *(_poison(number, f"unreadable-{number:03}", raw="{'a lighthouse'") for number in range(8, 10)),
    ]
    return RaceScene(
        name="poison",
        title=f"{len(good)} good requests and {len(poisoned)} of which no image can come",
        orders=[*good, *poisoned],
        within=30.0 if quick else 75.0,
        figures=("lost", "poison_calls", "wasted", "p50", "worst", "paid_twice", "cost_error"),
    )


def _poison(number: int, prompt: str, image_size: str = "1K", raw: str | None = None) -> SceneRequest:
    return SceneRequest(
        id=f"poison-{number:03}", at=float(number), prompt=prompt, model=STANDARD, image_size=image_size, raw=raw,
        poison=True,
    )  # fmt: skip


def halves(quick: bool) -> RaceScene:
    """The limit is halved while a backlog waits, and nobody is told but by the next 429."""
    rpm, requests, within = (60, 80, 150.0) if quick else (120, 220, 300.0)
    return RaceScene(
        name="halves",
        title=f"{requests} requests at once; the limit of {rpm} a minute becomes {rpm // 2} after 50 s",
        orders=[_order("halves", number, 0.0) for number in range(requests)],
        limits={STANDARD: rpm},
        limits_later=(50.0, {STANDARD: rpm // 2}),
        within=within,
        figures=("makespan", "lost", "rejected", "paid_twice", "cost_error"),
    )


QUICK = ("burst", "outage", "kill", "poison")
"""Those that a quick race runs; the others need minutes to show anything."""
SCENES: Mapping[str, Callable[[bool], RaceScene]] = {
    "burst": burst,
    "saturation": saturation,
    "outage": outage,
    "interactive": interactive,
    "kill": kill,
    "poison": poison,
    "halves": halves,
}
