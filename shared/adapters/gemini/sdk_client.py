"""google-genai, imported in a thread when it is first needed, and one client of it for each event loop."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from google import genai


class HasClient(Protocol):
    @property
    def client(self) -> genai.Client: ...


S = TypeVar("S", bound=HasClient)


class GenaiOnce(Generic[S]):
    """`make` gets the modules of these names below google.genai, "" for itself, and gives what a lane keeps of them.

    The import takes a second: nothing else pays for it, and in the loop's own thread it would stop the loop.
    """

    def __init__(self, names: Sequence[str], make: Callable[..., S]) -> None:
        self._names = names
        self._make = make
        self._made: tuple[asyncio.AbstractEventLoop, S] | None = None

    async def get(self) -> S:
        """That of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._made is None or self._made[0] is not loop:
            modules: list[Any] = [
                await asyncio.to_thread(importlib.import_module, f"google.genai{name}") for name in self._names
            ]
            if self._made is None or self._made[0] is not loop:  # or two first calls would make two clients
                self._made = loop, self._make(*modules)
        return self._made[1]

    async def close(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            await made[1].client.aio.aclose()
            made[1].client.close()
