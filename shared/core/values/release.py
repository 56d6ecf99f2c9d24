"""Which release runs here, so that a regression can be dated and two processes can tell whether they are the same."""

from __future__ import annotations

from msgspec import Struct

VERSION = "0.1.0"
"""As in pyproject.toml; a test compares them."""


class Release(Struct, frozen=True):
    build: str = ""
    """Commit and image digest, as `9f8e7d6c5b4a-0123456789ab`; empty if the code runs from source."""
    revision: str = ""
    """Cloud Run's name for image and settings together; empty elsewhere."""

    @property
    def name(self) -> str:
        """As people and log queries read it: `0.1.0+9f8e7d6c5b4a-0123456789ab`."""
        return f"{VERSION}+{self.build}" if self.build else VERSION

    @property
    def identity(self) -> str:
        """Changes as soon as code or settings do; empty if one process cannot be distinguished from another."""
        return self.revision or self.build
