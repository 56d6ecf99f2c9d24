"""Compares the provider's own bill with the ledger, by day and SKU: differences are listed, unreadable lines reported.
Pure."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from msgspec import Struct

from shared.core.accounting.ledger import GATEWAY, LedgerRow
from shared.core.catalogue.skus import Billing, Sku
from shared.core.values.lanes import VERTEX
from shared.core.values.money import MICROS_PER_USD, round_micros

ROUNDING_MICROS = 10_000
"""Less than a cent per day and SKU is no difference: bills and bookings are rounded in different places."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "day": ("usage_start_time", "usage_start_date", "date", "usage date"),
    "service": ("service.description", "service_description", "service description"),
    "sku": ("sku.description", "sku_description", "sku description"),
    "cost": ("cost", "unrounded subtotal ($)", "subtotal ($)", "list cost ($)"),
}
"""By the names of the BigQuery export and of the console's report, the first one present."""
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?")
CURRENCY = ("currency", "currency_code")


class UnreadableExport(Exception):
    """The file is no Cloud Billing export that can be read; the message names the line and what is allowed."""


class ExportLine(Struct, frozen=True):
    """One line of the export."""

    day: str
    """UTC for the BigQuery export; the console's report counts days of Los Angeles."""
    service: str
    sku: str
    exact_micros: Decimal


class Difference(Struct, frozen=True):
    day: str
    what: str
    """Model, lane and part; the SKU's own description if it is not known."""
    billed_micros: int
    booked_micros: int

    @property
    def micros(self) -> int:
        """Positive: billed and not booked."""
        return self.billed_micros - self.booked_micros


class Reconciled(Struct, frozen=True):
    differences: tuple[Difference, ...]
    """Largest first."""
    agreeing: int
    """Days and SKUs that agree."""
    billed_micros: int
    booked_micros: int
    others_micros: int
    """Of services that are not ours: left out."""
    days: tuple[str, ...]
    """Days that the export covers; only these are compared with the ledger."""


def read_export(text: str) -> list[ExportLine]:
    """The lines of a CSV with a header. Raises UnreadableExport."""
    reader = csv.reader(io.StringIO(text))
    header = [name.strip().lower().lstrip("\ufeff") for name in next(reader, [])]
    at = {name: _column(name, header) for name in COLUMNS}
    currency = next((header.index(name) for name in CURRENCY if name in header), None)
    lines = []
    for number, row in enumerate(reader, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < len(header):
            raise UnreadableExport(f"line {number}: found {len(row)} fields; allowed: {len(header)}, as in the header")
        if currency is not None and row[currency].strip().upper() not in ("", "USD"):
            raise UnreadableExport(
                f"line {number}, currency: found {row[currency]!r}; allowed: USD. Export the cost in US dollars."
            )
        if not row[at["day"]].strip():
            continue  # the console's report ends with its totals
        cost = _amount(row[at["cost"]], number)
        lines.append(ExportLine(_day(row[at["day"]], number), row[at["service"]].strip(), row[at["sku"]].strip(), cost))
    if not lines:
        raise UnreadableExport("found no line of usage; allowed: a Cloud Billing export as CSV, with its header")
    return lines


def reconcile(lines: Iterable[ExportLine], rows: Iterable[LedgerRow], billing: Billing) -> Reconciled:
    """`rows` of the ledger; those outside the export's days and those of third-party providers are ignored."""
    billed: dict[tuple[str, str], Decimal] = {}
    others, days = Decimal(0), set()
    for line in lines:
        days.add(line.day)
        if line.service not in (*billing.services, *billing.vertex_services):
            others += line.exact_micros
            continue
        sku = billing.sku(line.sku, line.service)
        key = (line.day, str(sku) if sku is not None else f"unknown SKU: {line.sku}")
        billed[key] = billed.get(key, Decimal(0)) + line.exact_micros
    booked = _booked((row for row in rows if row.lane != VERTEX or billing.vertex_services), days)
    pairs = [
        Difference(*key, billed_micros=round_micros(billed.get(key, Decimal(0))), booked_micros=booked.get(key, 0))
        for key in sorted({*billed, *booked})
    ]
    differences = [pair for pair in pairs if abs(pair.micros) >= ROUNDING_MICROS]
    return Reconciled(
        differences=tuple(
            sorted(differences, key=lambda difference: (-abs(difference.micros), difference.day, difference.what))
        ),
        agreeing=len(pairs) - len(differences),
        billed_micros=sum(pair.billed_micros for pair in pairs),
        booked_micros=sum(pair.booked_micros for pair in pairs),
        others_micros=round_micros(others),
        days=tuple(sorted(days)),
    )


def _booked(rows: Iterable[LedgerRow], days: set[str]) -> dict[tuple[str, str], int]:
    booked: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.day not in days or row.lane == GATEWAY:
            continue
        amounts = {
            "input": row.amount("micros_input"),
            "text": row.amount("micros_text") + row.amount("micros_thinking"),
            "image": row.amount("micros_image"),
            "grounding": row.amount("micros_grounding"),
            "call": row.amount("micros_call"),
        }
        for part, micros in amounts.items():
            if micros:
                booked[row.day, str(Sku(row.model, row.lane, part))] += micros
    return dict(booked)


def _column(name: str, header: list[str]) -> int:
    for word in COLUMNS[name]:
        if word in header:
            return header.index(word)
    raise UnreadableExport(f"the header: found no column for {name}; allowed: {', '.join(COLUMNS[name])}")


def _day(text: str, number: int) -> str:
    try:
        return date.fromisoformat(text.strip()[:10]).isoformat()
    except ValueError as error:
        allowed = datetime(2026, 12, 1).isoformat(sep=" ")  # noqa: DTZ001  an example, not an instant
        raise UnreadableExport(f"line {number}, day: found {text!r}; allowed: a time such as {allowed} UTC") from error


def _amount(text: str, number: int) -> Decimal:
    if "," in text and not THOUSANDS.fullmatch(text.strip()):
        raise UnreadableExport(
            f"line {number}, cost: found {text!r}; allowed: dollars such as 0.672 or 1,234.50. A decimal comma would "
            "be read as thousands: export with decimal points, or replace the commas."
        )
    try:
        amount = Decimal(text.strip().replace(",", "") or "0") * MICROS_PER_USD
    except InvalidOperation as error:
        raise UnreadableExport(f"line {number}, cost: found {text!r}; allowed: dollars such as 0.672") from error
    if not amount.is_finite():
        raise UnreadableExport(f"line {number}, cost: found {text!r}; allowed: dollars such as 0.672")
    return amount
