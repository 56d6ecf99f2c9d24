"""A warning for prices that have not been checked for a long time."""

from __future__ import annotations

from datetime import date

import click

from shared.core.catalogue.catalogue import STALE_AFTER, Catalogue

NAMED = 3


def warning(models: Catalogue, today: date) -> str | None:
    """One line, or None if every price is fresh."""
    stale = models.stale_prices(today)
    if not stale:
        return None
    named = "; ".join(str(stale_price) for stale_price in stale[:NAMED])
    more = f"; and {len(stale) - NAMED} more" if len(stale) > NAMED else ""
    return (
        f"warning: {len(stale)} prices are older than {STALE_AFTER.days} days ({named}{more}). "
        "Check their sources and update price and date in the catalogue."
    )


def warn(models: Catalogue, today: date) -> None:
    """On standard error: standard output may be read by a program."""
    text = warning(models, today)
    if text is not None:
        click.secho(text, fg="yellow", err=True)
