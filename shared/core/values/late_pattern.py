"""Regular expressions that are compiled when they are first used.

Compiling a long one takes 1 to 3 ms. A function that starts needs none of them, and most deliveries need none either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from typing import AnyStr


def late_pattern(text: AnyStr, flags: int = 0) -> Callable[[], re.Pattern[AnyStr]]:
    """The compiled pattern, by calling what this returns: `_NAME().search(words)`."""
    return cache(partial(re.compile, text, flags))
