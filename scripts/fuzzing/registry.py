"""The doors by name, each loaded when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from scripts.fuzzing.door import FuzzedDoor

DOORS: Mapping[str, str] = {
    "push": "the push of every function: envelopes, bodies and headers",
    "request": "render requests and cancellations, through the whole worker",
    "catalogue": "catalogue.toml, changed as text and as values",
    "answers": "answers of a provider, in every lane",
    "bombs": "answers that are made to fill the memory",
    "command": "options and values of every verb of the command",
    "console": "every page and every form of the console",
    "api": "the HTTP API",
    "arrive": "webhooks of the provider, signed and unsigned",
}


def door(name: str) -> FuzzedDoor:
    """Raises ValueError for a name that is no door's."""
    if name not in DOORS:
        raise ValueError(f"--door: found {name!r}; allowed: {', '.join(DOORS)}")
    module = importlib.import_module(f"scripts.fuzzing.doors.{name}")
    made: FuzzedDoor = getattr(module, f"{name.capitalize()}Door")()
    return made
