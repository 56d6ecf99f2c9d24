"""Where an attempt goes."""

from __future__ import annotations

from shared.core.values.codec import Stored
from shared.core.values.lanes import APART, is_apart
from shared.core.values.lanes import GATEWAY as GATEWAY


class Route(Stored, frozen=True):
    """Lane + model + image size."""

    lane: str
    model: str
    image_size: str

    def __str__(self) -> str:
        return f"{self.lane} {self.model} {self.image_size}"

    @property
    def circuit(self) -> str:
        """What fails as one: a model in a lane, in all its sizes."""
        return circuit(self.lane, self.model)

    @property
    def pool(self) -> str:
        """What its quota is counted under: the model's at the Gemini API, or that of a separate lane."""
        return pool(self.lane, self.model)

    def changes_from(self, other: Route) -> tuple[str, ...]:
        """The names of what differs."""
        return tuple(name for name in self.__struct_fields__ if getattr(self, name) != getattr(other, name))


def circuit(lane: str, model: str) -> str:
    return f"{lane}/{model}"


def pool(lane: str, model: str) -> str:
    """A name for documents and queries: no slash."""
    return f"{lane}:{model}" if is_apart(lane) else model


def lane_apart(pool_name: str) -> str | None:
    """The separate lane that the pool belongs to; None for the Gemini API's."""
    lane, colon, _ = pool_name.partition(":")
    return lane if colon and lane in APART else None
