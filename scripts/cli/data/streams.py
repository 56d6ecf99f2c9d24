"""Standard streams that may be closed, full or gone: a completed change must not be lost with them."""

from __future__ import annotations

import os
import sys
import threading
import time

THREADS_END_WITHIN_S = 2.0
OURS = ("telemetry-flush", "telemetry-close", "flag-provider", "live-quota")
"""Daemon threads that still wait: what they hold would slow the interpreter's end by seconds."""


def open_missing() -> None:
    """Open the null device for each standard stream that is closed (`<&-`, `>&-`).

    Otherwise the next file that is opened gets its number, and a stray line would be written into the database.
    Report: https://github.com/pyinstaller/pyinstaller/issues/7339
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115  for good
            setattr(sys, name, stream)


def write(lines: list[str]) -> bool:
    """Write lines to standard output and flush them; False if it is closed, full or gone."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except (OSError, ValueError):
        _silence(1)
        return False
    return True


def tell(text: str) -> None:
    """Write a remark to standard error; one that cannot be written ends nothing."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _silence(2)


def leave(ended: SystemExit) -> None:
    """End the process now, if threads that are not ours (a flag provider's) would keep it from ending.

    The interpreter joins every non-daemon thread, without a time limit.
    """
    give_up_at = time.monotonic() + THREADS_END_WITHIN_S
    others = [
        thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.current_thread()
    ]
    for thread in others:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    hanging = [thread for thread in threading.enumerate() if thread.name in OURS or thread in others]
    if any(thread.is_alive() for thread in hanging):
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        write([])
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            pass
        os._exit(code)


def _silence(number: int) -> None:
    """What is still in the buffer is discarded, or Python fails once more when it ends."""
    stream = sys.stdout if number == 1 else sys.stderr
    try:
        stream.fileno()
    except (OSError, ValueError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
        stream.flush()
    except (OSError, ValueError):
        pass
    finally:
        os.close(null)
