"""What Firestore would index by a plan, beside what the code's queries need of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from tests.terraform.firestore_layout import EVERY_FIELD, alone, collections
from tests.terraform.terraform import Planned
from tests.terraform.written import written_fields

Configured: TypeAlias = Mapping[tuple[str, str], frozenset[str]]
"""Collection and field, or `*` -> the orders in which it is searched alone."""

AUTOMATIC = frozenset({"ASCENDING", "DESCENDING", "CONTAINS"})
"""What Firestore makes of a field that nothing was said about."""
LATER = "a_field_of_a_later_version"


def configured(plan: Planned) -> Configured:
    return {
        (values["collection"], values["field"]): frozenset(
            index["order"] for index in values["index_config"][0]["indexes"]
        )
        for values in plan.of("google_firestore_field").values()
    }


def in_effect(indexes: Configured, collection: str, field: str) -> frozenset[str]:
    """Firestore's own precedence: the field's configuration, else its collection's, else everything."""
    return indexes.get((collection, field), indexes.get((collection, EVERY_FIELD), AUTOMATIC))


def wrongly_indexed(plan: Planned) -> list[str]:
    """Fields that a query searches alone and that are not indexed for it, and fields that are for nobody."""
    indexes, searched = configured(plan), alone()
    wrong = []
    for collection in sorted(collections()):
        orders = searched.get(collection, {})
        for field in sorted({*written_fields().get(collection, ()), *orders, LATER}):
            wanted = frozenset({orders[field]} if field in orders else ())
            if (is_so := in_effect(indexes, collection, field)) != wanted:
                wrong.append(f"{collection}.{field}: found {sorted(is_so)}, wanted {sorted(wanted)}")
    return wrong
