"""Routing flags that another system keeps."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # only for types: code that uses a port loads what it needs itself
    from shared.core.routing.flag_board import Board


class FlagSource(Protocol):
    """Flags that another system keeps."""

    async def beside(self, own: Board, now: datetime) -> Board:
        """Our own flags combined with theirs, soon. Never raises: if the source is unavailable, its last answer is
        used."""
        ...
