"""The FlagSource if no flag system of the team's own is configured."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.core.routing.flag_board import Board


class NoFlagSource:
    """See shared.ports.flags.FlagSource."""

    async def beside(self, own: Board, now: datetime) -> Board:
        return own
