"""A line for a person on standard error: never a reason to fail, even if that is a file on a full disk."""

from __future__ import annotations

import contextlib
import sys


def tell(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
        print(line, file=sys.stderr, flush=True)
