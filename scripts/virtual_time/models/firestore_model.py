"""Firestore in virtual time: writes to one document take turns, and one that is written too often gets slow.

The documentation allows about one sustained write a second to a document. Faster writing is not refused: it contends.
Here a document has a credit of writes that refills at that rate; beyond it each write takes at least `HOT_WRITE`, so
that it saturates at 16 a second. That is generous: what contends for real is also aborted and begun again.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from scripts.virtual_time.engine import Engine

WRITE = (0.02, 0.06)
"""Seconds a commit takes."""
READ = (0.01, 0.03)
HOT_WRITE = 1 / 16
"""Seconds the write of a hot document takes at least."""
SUSTAINED = 1.0
"""Writes a second that a document takes continuously."""
CREDIT = 20.0
"""Writes beyond it that pass before a document is hot."""

Turn = tuple[Callable[[], bool], Callable[[bool], None]]


class Documents:
    """`writes` are the instants of the commits, by document path."""

    def __init__(self, engine: Engine, chance: Random) -> None:
        self.writes: defaultdict[str, list[float]] = defaultdict(list)
        self._engine = engine
        self._chance = chance
        self._turns: dict[str, deque[Turn]] = {}
        self._heat: dict[str, tuple[float, float]] = {}

    def read(self, then: Callable[[], None]) -> None:
        self._engine.after(self._chance.uniform(*READ), then)

    def write(self, path: str, then: Callable[[], None] = lambda: None) -> None:
        """`then` is called when the commit stands."""
        self.transact(path, lambda: True, lambda _: then())

    def commit(self, paths: Iterable[str], then: Callable[[], None]) -> None:
        """Several documents at once; `then` is called when all stand."""
        waiting = set(paths)
        if not waiting:
            self._engine.after(0.0, then)

        def written(path: str) -> None:
            waiting.discard(path)
            if not waiting:
                then()

        for path in sorted(waiting):
            self.write(path, partial(written, path))

    def transact(self, path: str, decide: Callable[[], bool], then: Callable[[bool], None]) -> None:
        """When it is the caller's turn at the document, `decide` sees its state and says whether to write."""
        if path in self._turns:
            self._turns[path].append((decide, then))
        else:
            self._turns[path] = deque([(decide, then)])
            self._serve(path)

    def _serve(self, path: str) -> None:
        """Turns up to the next write, which the others wait for; a transaction that only read does not wait."""
        turns = self._turns[path]
        while turns:
            decide, then = turns.popleft()
            if decide():
                self._engine.after(self._write_seconds(path), partial(self._committed, path, then))
                return
            self.read(partial(then, False))
        del self._turns[path]

    def _committed(self, path: str, then: Callable[[bool], None]) -> None:
        self.writes[path].append(self._engine.now)
        self._serve(path)
        then(True)

    def _write_seconds(self, path: str) -> float:
        """Seconds of this write, which it takes from the document's credit."""
        now = self._engine.now
        heat, at = self._heat.get(path, (0.0, now))
        heat = max(0.0, heat - (now - at) * SUSTAINED)
        hot = heat >= CREDIT
        self._heat[path] = (heat if hot else heat + 1, now)
        seconds = self._chance.uniform(*WRITE)
        return max(seconds, HOT_WRITE) if hot else seconds
