"""What Firestore must index for the queries of the flows, and what it must not: terraform/firestore.json.

`./scripts/firestore-layout` writes it. Which collections there are, and which fields, says written.py.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from shared.core.lifecycle import queries
from shared.core.values.documents import Query
from tests.every_query import QUERIES
from tests.terraform.written import collections_of_the_code, written_fields

Index: TypeAlias = tuple[str, tuple[str, ...]]
"""Collection and fields in order; a leading `-` means descending."""

FILE = Path("terraform/firestore.json")
MOST_FIELDS = 200
"""Single-field configurations that one database may have (Firestore's quotas)."""
EVERY_FIELD = "*"
"""In place of a field's name: every field of the collection that has no configuration of its own."""


def needed(query: Query) -> Index:
    """Equalities first, then the field of the order. A collection below a document counts by its own name."""
    ordered = list(query.order_by) or [bound.field for bound in query.bounds]
    return query.collection.rpartition("/")[2], (*(name for name, _ in query.equal), *ordered)


def every_query() -> list[Query]:
    return [*QUERIES.values(), queries.attempts_of("r-1")]


def layout() -> dict[str, Any]:
    """What stands in the file: composite indexes, the one order of fields that are searched alone, all collections."""
    indexes = {needed(query) for query in every_query()}
    return {
        "composite": [
            {"collection": collection, "fields": [[field.removeprefix("-"), order(field)] for field in fields]}
            for collection, fields in sorted(indexes)
            if len(fields) > 1
        ],
        "alone": {name: dict(sorted(fields.items())) for name, fields in sorted(alone().items())},
        "unindexed": sorted(collections()),
        "expiring": sorted(queries.EXPIRING),
    }


def collections() -> set[str]:
    """Those that the code names and those that it writes to in a test: neither list is complete alone."""
    return collections_of_the_code() | set(written_fields())


def alone() -> Mapping[str, Mapping[str, str]]:
    """Collection -> the fields that a query searches by themselves, with the order it needs."""
    layout: dict[str, dict[str, str]] = defaultdict(dict)
    for collection, fields in {needed(query) for query in every_query()}:
        if len(fields) == 1:
            layout[collection][fields[0].removeprefix("-")] = order(fields[0])
    return layout


def order(field: str) -> str:
    return "DESCENDING" if field.startswith("-") else "ASCENDING"


def main() -> None:
    FILE.write_text(text(), "utf-8")


def text() -> str:
    written = json.dumps(layout(), indent=1)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda match: f"[{' '.join(match[1].split())}]", written) + "\n"


if __name__ == "__main__":
    main()
