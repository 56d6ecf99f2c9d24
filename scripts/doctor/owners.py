"""The file of owners: who is responsible for what, and when they last confirmed what no program can check."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from msgspec import Struct

from scripts.doctor.finding import CheckResult, passes, unknown
from shared.core.catalogue.toml_errors import TomlFields

BY_HAND: Mapping[str, tuple[str, ...]] = {
    "model": ("quality-bar",),
    "price": ("billing-page",),
    "credential": ("restrictions", "rotation"),
    "quota": ("tier",),
    "cost": ("billing-alert",),
    "data": ("terms",),
    "fallback": ("drill",),
    "rollback": ("drill",),
}
"""By owner, what a person has to confirm."""
COUNTS_FOR = timedelta(days=90)


class Owner(Struct, frozen=True):
    duty: str
    name: str
    """Empty = no owner is named."""
    checked: Mapping[str, date]
    """When each item was last confirmed by hand."""


Owners = Mapping[str, Owner]


def read_owners(text: str) -> Owners:
    """All eight. Raises BrokenCatalogue with the line."""
    reader = TomlFields(text)
    tables = reader.tables()
    reader.only(tables, tuple(BY_HAND), ())
    return {name: _owner(reader, name, reader.table(tables, name, ())) for name in BY_HAND}


def _owner(reader: TomlFields, name: str, table: Mapping[str, object]) -> Owner:
    reader.only(table, ("duty", "name", "checked"), (name,))
    at = (name, "checked")
    checked = reader.table(table, "checked", (name,)) if "checked" in table else {}
    reader.only(checked, BY_HAND[name], at)
    return Owner(
        duty=reader.typed(table, "duty", (name,), str, "a sentence in quotes"),
        name=reader.typed(table, "name", (name,), str, "a person or a team in quotes, or nothing in quotes").strip(),
        checked={item: reader.day(checked, item, at) for item in checked},
    )


def examine(owners: Owners, today: date, file: str) -> list[CheckResult]:
    """Who is named, and what was confirmed by hand, for each owner."""
    findings = []
    for owner, entry in owners.items():
        if entry.name:
            findings.append(passes(owner, "owner", f"{entry.name}: {entry.duty}"))
        else:
            findings.append(
                unknown(owner, "owner", f"no owner is named: {entry.duty}", f"Name them in {file}: [{owner}].")
            )
        findings += [_by_hand(owner, item, entry.checked.get(item), today, file) for item in BY_HAND[owner]]
    return findings


def _by_hand(owner: str, item: str, day: date | None, today: date, file: str) -> CheckResult:
    write = f"After checking, add {item} = {today.isoformat()} under [{owner}.checked] in {file}."
    if day is None:
        return unknown(owner, item, "not confirmed", write)
    if day > today:
        return unknown(owner, item, f"confirmed for {day}, which is in the future", write)
    if today - day > COUNTS_FOR:
        return unknown(owner, item, f"last confirmed on {day}, over {COUNTS_FOR.days} days ago", write)
    return passes(owner, item, f"confirmed on {day}")
