"""Who did what by hand, as an event of the home: changes of money or requests, and prompts that were read."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

from scripts.cli.data import streams, worker_home

if TYPE_CHECKING:
    from shared.config import Settings


def note(
    settings: Settings, action: str, *, request_id: str | None = None, trace_id: str | None = None, detail: str = ""
) -> None:
    """An `operated` event. It comes after the change: a problem with the file is reported and undoes nothing.

    Only a one-machine home has a file of events; in the cloud, the audit logs of Firestore and Pub/Sub serve this
    purpose.
    """
    if not settings.one_machine:
        return
    from shared.adapters.process.system_clock import SystemClock
    from shared.adapters.telemetry.json_log import JsonSignals
    from shared.config import InvalidSetting
    from shared.core.observability import events as signals

    more = {"detail": detail} if detail else {}
    try:
        with worker_home.events(settings) as events:
            JsonSignals(events, SystemClock(), settings.project).emit(
                signals.OPERATED, action=action, request_id=request_id, actor=account(), trace_id=trace_id, **more
            )
    except (InvalidSetting, OSError) as error:
        streams.tell(f"note: could not write this to the events file ({error})")


def account() -> str:
    """The account of this process, which is not typed in."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.geteuid()}"
