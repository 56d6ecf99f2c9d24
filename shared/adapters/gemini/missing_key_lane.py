"""The Gemini lanes if no key was given: functions that call no model need none."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

from shared.config import InvalidSetting
from shared.core.provider.call import Answer, Order
from shared.core.provider.failure import Failure
from shared.core.provider.interaction import Begun, Looked
from shared.ports.lanes import AtSlot


class KeylessLane:
    """The Lane port. A caller gets an error that says what is missing, before anything is recorded."""

    async def prepare(self) -> None:
        self._refuse()

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        self._refuse()

    async def close(self) -> None:
        pass

    def _refuse(self) -> NoReturn:
        _refuse()


class KeylessInteractions:
    """The Interactions port."""

    async def prepare(self) -> None:
        _refuse()

    async def start(self, order: Order, at_slot: AtSlot) -> Begun:
        _refuse()

    async def look(self, interaction_id: str, order: Order) -> Looked:
        _refuse()

    async def cancel(self, interaction_id: str) -> Failure | None:
        _refuse()

    async def delete(self, interaction_id: str) -> Failure | None:
        _refuse()

    async def close(self) -> None:
        pass


def _refuse() -> NoReturn:
    raise InvalidSetting(
        "GEMINI_API_KEY: found nothing; allowed: an auth key of Google AI Studio. "
        "Without one, `renderlane up` runs on the built-in simulator."
    )
