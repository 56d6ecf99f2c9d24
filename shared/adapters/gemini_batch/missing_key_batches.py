"""The batch lane if no key was given: functions that handle no batch need none."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from shared.config import InvalidSetting

if TYPE_CHECKING:
    from shared.core.lifecycle.batch import Progress, Result
    from shared.core.provider.call import Order, Written
    from shared.core.provider.failure import Failure


class KeylessBatches:
    """The Batches port. A caller gets an error that says what is missing."""

    async def upload(self, display_name: str, orders: AsyncIterable[tuple[str, Order]]) -> str | Failure:
        self._refuse()

    async def create(self, display_name: str, model: str, file: str, leave_within: timedelta) -> str | Failure:
        self._refuse()

    async def find(self, display_name: str, since: datetime) -> str | Failure | None:
        self._refuse()

    async def look(self, name: str) -> Progress | Failure:
        self._refuse()

    async def results(self, file: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[Result]:
        self._refuse()

    async def cancel(self, name: str) -> None:
        self._refuse()

    async def close(self) -> None:
        pass

    def _refuse(self) -> NoReturn:
        raise InvalidSetting("GEMINI_API_KEY: found nothing; allowed: an auth key of Google AI Studio, to tend batches")
