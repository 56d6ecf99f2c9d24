"""The failures that `renderlane drill` rehearses: scenes of `scenes`, met by traffic as several teams send it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from scripts.drills import assertions
from scripts.drills.scene import DrillScene
from scripts.drills.scenes import BY_NAME
from scripts.drills.traffic import DUE_IN, LIVELY, Traffic

PER_SECOND = 1.5
CALM_FIRST = 4.0
"""Seconds of traffic before the failure."""
ENDS_IN = 4.0
"""Seconds of traffic after a failure that stays, or that needs no recovery to be seen."""


class Drill(Struct, frozen=True):
    about: str
    scene: str
    """In `scenes.BY_NAME`."""
    seconds: float
    """Of failure, unless somebody asks for more."""


DRILLS: Mapping[str, Drill] = {
    "outage": Drill("gemini-3-pro-image is overloaded", "outage", 30.0),
    "quota": Drill("the day's quota of gemini-3-pro-image is gone", "day", 20.0),
    "slow": Drill("gemini-3-pro-image is slower than its time-out of 3 s, and charges", "too-slow", 20.0),
    "refusal": Drill("every third prompt is refused", "refusal", 15.0),
    "credential": Drill("the key is rejected", "credential", 20.0),
    "gone": Drill("gemini-3-pro-image is gone (404)", "gone", 15.0),
    "lost-answer": Drill("answers of finished background calls are lost on their way", "lost-answer", 15.0),
}
RECOVERS = {"outage": 40.0, "slow": 40.0, "credential": 80.0}
"""Seconds of traffic after the failure until the worker must be back."""


def scene_of(name: str, seconds: float | None = None, *, recovered: bool = True) -> DrillScene:
    """The drill as a scene. Not recovered: it ends with its failure, and the way back is not awaited."""
    drill = DRILLS[name]
    lasts = drill.seconds if seconds is None else seconds
    base = BY_NAME[drill.scene]
    recovery = RECOVERS.get(name, 0.0) if recovered else 0.0
    mix = tuple(_bent(name, number, fields) for number, fields in enumerate(LIVELY))
    scene = replace(
        base,
        name=name,
        about=drill.about,
        traffic=Traffic(PER_SECOND, CALM_FIRST + lasts + ENDS_IN, mix),
        lasts=lasts,
        calm_first=CALM_FIRST,
        recovery=recovery,
        afterwards=base.afterwards or (assertions.back_on_the_primary(),),
        faults=tuple(msgspec.structs.replace(fault, nth=()) if name != "refusal" else fault for fault in base.faults),
    )
    return scene.to_the_end() if recovery else scene


def _bent(name: str, number: int, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a drill needs to show: deadlines where quota is gone, prompts that are refused."""
    match name:
        case "quota" if number % 2:
            return {**fields, DUE_IN: 60.0}
        case "refusal" if number % 3 == 0:
            return {**fields, "mark": " [refuse]"}
        case _:
            return fields
