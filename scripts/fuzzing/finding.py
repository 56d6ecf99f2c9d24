"""A finding as a file that can be replayed."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from msgspec import Struct

from scripts.fuzzing.door import Input


class FuzzFinding(Struct, frozen=True):
    door: str
    seed: int
    number: int
    """Of the case, from 0."""
    problems: list[str]
    input: Input

    @property
    def kind(self) -> str:
        """Equal for findings that are probably one fault."""
        return f"{self.door}: {re.sub(r'[0-9]+', '0', self.problems[0])[:120]}"

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(self.kind.encode("utf-8", "replace")).hexdigest()[:8]
        path = folder / f"{self.door}-{digest}-{self.seed}-{self.number}.json"
        content = {name: getattr(self, name) for name in self.__struct_fields__}
        path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        return path


def read(path: Path) -> FuzzFinding:
    """Raises ValueError for a file of another form."""
    content = json.loads(path.read_text("utf-8"))
    try:
        return FuzzFinding(**content)
    except TypeError as error:
        raise ValueError(f"{path} is no finding of ./scripts/fuzz: {error}") from error
