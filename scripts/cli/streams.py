"""Standard streams that may be closed, full or gone: what was done must not be lost with them."""

from __future__ import annotations

import os
import sys


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
    """Write lines to standard output and see them out; False where it is closed, full or gone."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except (OSError, ValueError):
        _silence(1)
        return False
    return True


def tell(text: str) -> None:
    """Write a remark to standard error; one that nobody can read any more ends nothing."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _silence(2)


def _silence(number: int) -> None:
    """What is still in the buffer goes nowhere, or Python fails once more when it ends."""
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
