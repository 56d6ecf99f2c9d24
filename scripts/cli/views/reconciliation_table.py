"""A reconciliation for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType

from scripts.cli.views.request_view import dollars
from scripts.cli.views.responsive_table import Column, Narrowing
from shared.core.accounting.reconciliation import Difference, Reconciled

COLUMNS = (
    Column("day"),
    Column("what", least=24),
    Column("billed", right=True),
    Column("booked", right=True),
    Column("billed - booked", right=True),
)


def lines(found: Reconciled) -> Iterator[RenderableType]:
    billed, booked = dollars(found.billed_micros), dollars(found.booked_micros)
    yield f"{found.days[0]} to {found.days[-1]}: billed {billed}, booked {booked}; other services {_other(found)}"
    yield f"{found.agreeing:,} days and SKUs agree to the cent, {len(found.differences):,} differ"
    if not found.differences:
        return
    yield Narrowing(COLUMNS, [_row(each) for each in found.differences])
    yield (
        "Billed and not booked: attempts of unknown cost (renderlane cost --explain), calls past midnight, others on "
        "the project. Booked and not billed: free searches, credits, a price of the catalogue that is too high."
    )


def document(found: Reconciled) -> dict[str, Any]:
    return {
        "days": list(found.days),
        "billed_micros": found.billed_micros,
        "booked_micros": found.booked_micros,
        "others_micros": found.others_micros,
        "agreeing": found.agreeing,
        "differences": [
            {
                "day": each.day,
                "what": each.what,
                "billed_micros": each.billed_micros,
                "booked_micros": each.booked_micros,
                "difference_micros": each.micros,
            }
            for each in found.differences
        ],
    }


def _other(found: Reconciled) -> str:
    return dollars(found.others_micros)


def _row(each: Difference) -> tuple[str, ...]:
    sign = "-" if each.micros < 0 else "+"
    return (
        each.day, each.what, dollars(each.billed_micros), dollars(each.booked_micros), sign + dollars(abs(each.micros))
    )  # fmt: skip
