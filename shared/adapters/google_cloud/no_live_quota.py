"""If live limits are not read: limits come from RENDERLANE_QUOTA and from what rejections name."""

from __future__ import annotations

from shared.ports.quota import NotAsked


class NoLiveQuota:
    async def limits(self) -> NotAsked:
        return NotAsked()

    async def usage(self) -> NotAsked:
        return NotAsked()
