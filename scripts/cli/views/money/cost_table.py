"""A bill as tables, sentences, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import Any

from rich.console import RenderableType

from scripts.cli.views.responsive_table import Cell, Column, Narrowing
from scripts.cli.views.see.request_view import dollars
from shared.core.accounting.cost_report import AMOUNTS, Bill, Bills, Total
from shared.core.accounting.ledger import PARTS, REPEATS, WHYS
from shared.core.catalogue.catalogue import Catalogue
from shared.core.values.money import in_dollars, usd_name

WORDS = {
    "first": "first attempts",
    "retry_free": "retries that cost nothing",
    "retry_unknown": "retries of unknown cost, or booked by an older release",
    "retry_once": "retries that were their request's only paid attempt",
    "retry_again": "retries of requests that had been charged before",
    "retry_unsplit": "retries booked by an older release, not split",
    "refused": "refusals that were charged",
    "no_image": "answers without a usable image",
    "duplicate": "duplicates: images that arrived after their request had ended",
    "input": "prompts and references",
    "text": "text beside images",
    "thinking": "thinking",
    "image": "images",
    "grounding": "grounding (free searches are not deducted)",
    "call": "calls at a gateway's price",
    "lane": "by another lane than requested",
    "model": "by another model",
    "size": "by a smaller size",
    "served": "by what the provider served instead",
}
COLUMNS = (
    Column("attempts", right=True),
    Column("images", right=True),
    Column("cost", right=True),
    Column("first", right=True, leaves=7),
    Column("retries", right=True, leaves=6),
    Column("paid again", right=True, leaves=5),
    Column("refused", right=True, leaves=4),
    Column("no image", right=True, leaves=3),
    Column("duplicate", right=True, leaves=2),
    Column("free calls", right=True, leaves=1),
    Column("unknown", right=True),
    Column("saved", right=True, leaves=1),
)


def lines(bills: Bills, by: str, span: str, *, explain: bool) -> Iterator[RenderableType]:
    if not bills.google.groups and not bills.gateways.groups:
        yield f"nothing was spent, {span}"
        return
    yield f"Google, {span}"
    yield _table(bills.google, by)
    if explain:
        yield from _explained(bills.google.total, saved=True)
    if bills.gateways.groups:
        yield f"Third-party gateways, {span}: billed separately from Google"
        yield _table(bills.gateways, by)
        if explain:
            yield from _explained(bills.gateways.total, saved=False)


def document(bills: Bills, by: str, since: date, until: date, models: Catalogue, today: date) -> dict[str, Any]:
    """Under the ledger's own names."""
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "by": by,
        "google": _part(bills.google, by),
        "gateways": _part(bills.gateways, by),
        "stale_prices": [
            {"what": stale_price.what, "checked": stale_price.checked.isoformat()}
            for stale_price in models.stale_prices(today)
        ],
    }


def csv_text(bills: Bills, by: str) -> str:
    """A line a contract and group, with every amount; money in dollars."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["contract", by, *map(usd_name, AMOUNTS)])
    for contract, bill in (("google", bills.google), ("gateways", bills.gateways)):
        for name, total in bill.groups.items():
            writer.writerow([contract, _no_formula(name), *in_dollars(total.to_json()).values()])
    return text.getvalue()


def _no_formula(name: str) -> str:
    """A name that a spreadsheet would compute gets an apostrophe in front (OWASP, CSV injection)."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def _part(bill: Bill, by: str) -> dict[str, Any]:
    groups = [{by: name, **total.to_json()} for name, total in bill.groups.items()]
    return {"total": bill.total.to_json(), "groups": groups}


def _table(bill: Bill, by: str) -> Narrowing:
    rows = [_row(name, total) for name, total in bill.groups.items()]
    return Narrowing((Column(by, least=12), *COLUMNS), [*rows, _row("in all", bill.total)])


def _row(name: str, total: Total) -> tuple[Cell, ...]:
    spent = [dollars(micros) if micros else "-" for micros in total.by_use.values()]
    free = f"{total['attempts_free']:,}" if total["attempts_free"] else "-"
    unknown = f"{total['unknown_attempts']:,}" if total["unknown_attempts"] else "-"
    saved = _signed(total.saved_micros) if total.saved_micros else "-"
    counts = (f"{total['attempts']:,}", f"{total['images']:,}")
    return (name, *counts, dollars(total.micros), *spent, free, unknown, saved)


def _explained(total: Total, *, saved: bool) -> Iterator[str]:
    yield "paid for"
    for name, micros, count in _purposes(total):
        if micros or count:
            yield f"  {dollars(micros):>12}  {count:>6,}  {WORDS[name]}"
    if total["attempts_free"]:
        yield f"  {'$0.0000':>12}  {total['attempts_free']:>6,}  of them free: rejected by a limit, or never run"
    yield "charged for"
    for part in PARTS:
        if total[f"micros_{part}"]:
            yield f"  {dollars(total[f'micros_{part}']):>12}          {WORDS[part]}"
    if total["listed_micros"]:
        yield f"  {dollars(total['listed_micros']):>12}          of it at list price (no token counts)"
    yield from _unknown(total)
    if saved and total.saved_micros:
        yield "saved against the requested route, at the same tokens"
        for what in ("lane", "model", "size", "served"):
            if total[f"saved_{what}_micros"]:
                yield f"  {_signed(total[f'saved_{what}_micros']):>12}          {WORDS[what]}"
    if total["mismatches"]:
        yield f"{total['mismatches']:,} images differ from the order; paid as delivered, see their receipts"


def _purposes(total: Total) -> Iterator[tuple[str, int, int]]:
    """What was paid for: its name in WORDS, micro-dollars and attempts."""
    for why in WHYS:
        if why != "retry":
            yield why, total[f"micros_{why}"], total[f"attempts_{why}"]
            continue
        for repeat in REPEATS:
            yield f"retry_{repeat}", total[f"micros_retry_{repeat}"], total[f"attempts_retry_{repeat}"]
        rest = total["attempts_retry"] - sum(total[f"attempts_retry_{repeat}"] for repeat in REPEATS)
        yield "retry_unsplit" if total.unsplit_micros else "retry_unknown", total.unsplit_micros, max(0, rest)


def _unknown(total: Total) -> Iterator[str]:
    count = total["unknown_attempts"]
    if not count:
        return
    yield f"{count:,} attempts with unknown cost (counted as $0)"
    yield f"  {'$0.0000':>12}          at least"
    yield f"  {dollars(total['unknown_held_micros']):>12}          if every image that may have been made is billed"
    yield f"  {dollars(total['unknown_most_micros']):>12}          at most: all attempts at their estimates"


def _signed(micros: int) -> str:
    return f"-{dollars(-micros)}" if micros < 0 else dollars(micros)
