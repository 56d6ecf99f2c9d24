"""A reconciliation for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType

from scripts.cli.views.responsive_table import Column, Narrowing
from scripts.cli.views.see.request_view import dollars
from shared.core.accounting.reconciliation import Difference, Reconciled

COLUMNS = (
    Column("day"),
    Column("what", least=24),
    Column("billed", right=True),
    Column("booked", right=True),
    Column("billed - booked", right=True),
)


def lines(reconciliation: Reconciled) -> Iterator[RenderableType]:
    billed, booked = dollars(reconciliation.billed_micros), dollars(reconciliation.booked_micros)
    days = f"{reconciliation.days[0]} to {reconciliation.days[-1]}"
    yield f"{days}: billed {billed}, booked {booked}; other services {_other(reconciliation)}"
    yield f"{reconciliation.agreeing:,} days and SKUs agree to the cent, {len(reconciliation.differences):,} differ"
    if not reconciliation.differences:
        return
    yield Narrowing(COLUMNS, [_row(difference) for difference in reconciliation.differences])
    yield (
        "Billed and not booked: attempts of unknown cost (renderlane cost --explain), calls past midnight, others on "
        "the project. Booked and not billed: free searches, credits, a price of the catalogue that is too high."
    )


def document(reconciliation: Reconciled) -> dict[str, Any]:
    return {
        "days": list(reconciliation.days),
        "billed_micros": reconciliation.billed_micros,
        "booked_micros": reconciliation.booked_micros,
        "others_micros": reconciliation.others_micros,
        "agreeing": reconciliation.agreeing,
        "differences": [
            {
                "day": difference.day,
                "what": difference.what,
                "billed_micros": difference.billed_micros,
                "booked_micros": difference.booked_micros,
                "difference_micros": difference.micros,
            }
            for difference in reconciliation.differences
        ],
    }


def _other(reconciliation: Reconciled) -> str:
    return dollars(reconciliation.others_micros)


def _row(difference: Difference) -> tuple[str, ...]:
    sign = "-" if difference.micros < 0 else "+"
    return (
        difference.day,
        difference.what,
        dollars(difference.billed_micros),
        dollars(difference.booked_micros),
        sign + dollars(abs(difference.micros)),
    )
