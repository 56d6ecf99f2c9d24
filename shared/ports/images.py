"""Where finished images are stored, and where reference images come from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:  # only for types: code that uses a port loads what it needs itself
    from shared.core.provider.call import Picture, Reference
    from shared.core.provider.kept_image import KeptImage
    from shared.core.provider.output_format import ConvertedPicture


class ImagesUnavailable(Exception):
    """The image store could not be read or written."""


class ReferenceUnusable(Exception):
    """A reference image may not, or could not, be fetched. Names the URI's scheme and host, and the remedy."""


class StoredImage(Struct, frozen=True):
    """A stored image, with what is known about the attempt that made it."""

    uri: str
    key: str
    size_bytes: int
    facts: Mapping[str, str]


class Images(Protocol):
    """Where images are stored. A key is written once: another attempt has another key."""

    async def put(self, key: str, picture: Picture, facts: Mapping[str, str]) -> StoredImage:
        """Store the picture and its facts together. An existing key keeps its bytes and facts, and these are
        returned."""
        ...

    async def find(self, prefix: str) -> StoredImage | None:
        """The image whose key begins with `prefix` (an attempt's key without its extension), facts included."""
        ...

    async def read(self, uri: str) -> bytes: ...

    async def link(self, uri: str, lasts: timedelta) -> str | None:
        """An address from which anyone may fetch the image for that long; None if the store has none to give. Raises
        ImagesUnavailable, also for a URI that is not of this store."""
        ...


class ConversionFailed(Exception):
    """An image could not be converted. Says why, and nothing about its content."""


class Formats(Protocol):
    async def convert(self, picture: Picture, to: str, quality: int | None) -> ConvertedPicture:
        """The image as `jpeg`, `png` or `webp`; quality None: the default. Raises ConversionFailed."""
        ...


class Spool(Protocol):
    """Where a paid image is kept that could not be stored. Every method raises ImagesUnavailable."""

    async def keep(self, key: str, picture: Picture, facts: Mapping[str, str]) -> KeptImage:
        """Returns when the image will outlive this process. The same key again is the same image."""
        ...

    async def find(self, prefix: str) -> KeptImage | None:
        """The image whose key begins with `prefix`, if it is complete; None for a partly written one."""
        ...

    async def read(self, kept: KeptImage) -> Picture: ...

    async def drop(self, kept: KeptImage) -> None:
        """The image is stored elsewhere. An image that is not there is no error."""
        ...

    def close(self) -> None: ...


class References(Protocol):
    """Each tenant reads its own images and the places that are allowed to all, never another tenant's images."""

    def check(self, uri: str, tenant: str) -> None:
        """Raises ReferenceUnusable for a place that may not be read; fetches nothing."""
        ...

    async def size(self, uri: str, tenant: str) -> int | None:
        """The size in bytes, without reading the image; None if its place does not tell. Raises ReferenceUnusable."""
        ...

    async def fetch(self, uri: str, tenant: str, mime_type: str | None, most: int | None = None) -> Reference:
        """The bytes of a whole reference image from an allowed place, `most` at most. Raises ReferenceUnusable."""
        ...


class Room(Protocol):
    """The memory that this process has for what its calls hold: references, bodies, answers.

    First come, first served. A call that wants more than there is gets in alone.
    """

    @property
    def limit(self) -> int:
        """Bytes."""
        ...

    def is_full_for(self, size: int) -> bool:
        """Whether a request for this many bytes has to wait; it also waits behind earlier ones."""
        ...

    async def take(self, size: int) -> None:
        """Returns when there is room for this many bytes, which are then reserved."""
        ...

    def give_back(self, size: int) -> None: ...
