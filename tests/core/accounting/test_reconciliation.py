"""A bill beside the ledger: by day and SKU, with what is unknown said aloud."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.accounting.ledger import LedgerRow
from shared.core.accounting.reconciliation import Difference, ExportLine, UnreadableExport, read_export, reconcile
from shared.core.catalogue.skus import Sku
from tests.builders import a_catalogue, a_ledger_row

HEADER = "usage_start_time,service.description,sku.description,usage.amount,usage.unit,cost,currency\n"
PRO = "gemini-3-pro-image"


def a_row(**amounts: Any) -> LedgerRow:
    return a_ledger_row(**{"model": PRO} | amounts)


def export(*lines: tuple[str, str, str], service: str = "Gemini API") -> str:
    return HEADER + "".join(f"{day} 10:00:00 UTC,{service},{sku},1,count,{cost},USD\n" for day, sku, cost in lines)


@pytest.mark.parametrize(
    ("description", "sku"),
    [
        ("Generate_content image output token count for Gemini 3 Pro Image", Sku(PRO, "standard", "image")),
        ("Generate_content text output token count for gemini 3 pro image batch", Sku(PRO, "batch", "text")),
        ("Generate content input token count gemini 3 pro image flex", Sku(PRO, "flex", "input")),
        (
            "Generate_content image output token count for Gemini 3.1 Flash Lite Image",
            Sku("gemini-3.1-flash-lite-image", "standard", "image"),
        ),
        (
            "Generate_content image output token count for Gemini 2.5 Flash Native Image Generation",
            Sku("gemini-2.5-flash-image", "standard", "image"),
        ),
        (
            "Generate content output token count gemini 3.1 flash image short input text",
            Sku("gemini-3.1-flash-image", "standard", "text"),
        ),
        ("Generate content output token count gemini 2.5 flash short output text", None),
        ("Static Ip Charge", None),
    ],
)
def test_a_description_is_read_by_the_catalogues_words(description: str, sku: Sku | None) -> None:
    assert a_catalogue().billing.sku(description) == sku


def test_what_is_billed_as_it_was_booked_agrees_thinking_as_text() -> None:
    rows = [a_row(micros_image=134_400, micros_thinking=2_000, micros_text=500), a_row(micros_image=134_400)]
    lines = read_export(
        export(
            ("2026-11-22", "Generate_content image output token count for Gemini 3 Pro Image", "0.268800"),
            ("2026-11-22", "Generate_content text output token count for Gemini 3 Pro Image", "0.0025"),
        )
    )
    reconciliation = reconcile(lines, rows, a_catalogue().billing)
    assert (reconciliation.differences, reconciliation.agreeing) == ((), 2)
    assert reconciliation.billed_micros == reconciliation.booked_micros == 271_300


def test_differences_of_a_cent_and_more_are_listed_largest_first() -> None:
    rows = [a_row(micros_image=100_000), a_row(day="2026-11-23", lane="batch", micros_image=50_000)]
    lines = read_export(
        export(
            ("2026-11-22", "Generate_content image output token count for Gemini 3 Pro Image", "0.1099"),
            ("2026-11-23", "Generate_content image output for Gemini 9 Image", "3"),
        )
    )
    assert reconcile(lines, rows, a_catalogue().billing).differences == (
        Difference("2026-11-23", "unknown SKU: Generate_content image output for Gemini 9 Image", 3_000_000, 0),
        Difference("2026-11-23", f"{PRO} batch image", 0, 50_000),
    )


def test_other_services_days_and_contracts_stay_out_of_it() -> None:
    rows = [a_row(day="2026-11-20", micros_image=9), a_row(lane="gateway", micros_call=90_000)]
    reconciliation = reconcile(
        read_export(export(("2026-11-22", "Cores", "7"), service="Run")), rows, a_catalogue().billing
    )
    assert (reconciliation.differences, reconciliation.billed_micros, reconciliation.booked_micros) == ((), 0, 0)
    assert reconciliation.others_micros == 7_000_000


def test_the_consoles_own_report_is_read_too() -> None:
    text = (
        "Date,Service description,Service ID,SKU description,SKU ID,Usage amount,Usage unit,List cost ($),"
        "Unrounded subtotal ($),Subtotal ($)\n"
        "2026-11-22,Gemini API,AEFD,Generate_content image output token count for Gemini 3 Pro Image,096D,"
        '"5,600",count,0.67,0.672000,0.67\n'
        ",,,,,,,,,0.67\n"
    )
    [line] = read_export(text)
    assert line.day == "2026-11-22"
    assert int(line.exact_micros) == 672_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header: found no column for day"),
        ("cost,day\n", "allowed: usage_start_time"),
        (HEADER, "found no line of usage"),
        (HEADER + "soon,Gemini API,x,1,count,1,USD\n", "line 2, day: found 'soon'"),
        (HEADER + "2026-11-22,Gemini API,x,1,count,many,USD\n", "line 2, cost: found 'many'"),
        (HEADER + "2026-11-22,Gemini API,x,1,count,NaN,USD\n", "line 2, cost: found 'NaN'"),
        (HEADER + "2026-11-22,Gemini API,x,1,count,1,EUR\n", "line 2, currency: found 'EUR'; allowed: USD"),
        (HEADER + "2026-11-22,Gemini API\n", "line 2: found 2 fields; allowed: 7"),
    ],
)
def test_an_export_that_cannot_be_read_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UnreadableExport, match=message.replace("(", r"\(").replace(")", r"\)")):
        read_export(text)


@pytest.mark.parametrize(
    "cost",
    ["0,0336", "351,0000", "1.234,56", "0,336", ",5", "1,2345", "12,34,567.0", "1,234,56", "-0,01", "5,"],
)
def test_a_decimal_comma_is_refused_and_not_read_as_thousands(cost: str) -> None:
    """Reports: https://github.com/opendidac/opendidac/pull/681"""
    with pytest.raises(UnreadableExport, match=r"line 2, cost: found .*; allowed: dollars such as"):
        read_export(export(("2026-11-22", "sku", f'"{cost}"')))


@pytest.mark.parametrize(
    ("cost", "micros"),
    [
        ("1,234.50", 1_234_500_000),
        ("1,234,567", 1_234_567_000_000),
        ("-1,234.5", -1_234_500_000),
        ("1,234.", 1_234_000_000),
    ],
)
def test_thousands_are_read_as_thousands(cost: str, micros: int) -> None:
    assert read_export(export(("2026-11-22", "sku", f'"{cost}"')))[0].exact_micros == micros


def test_a_line_of_vertex_ai_is_compared_with_the_vertex_lane() -> None:
    billing = a_catalogue().billing
    lines = [
        ExportLine("2026-11-20", "Vertex AI", "Gemini 3 Pro Image - Image Output Tokens", Decimal(134_400)),
        ExportLine("2026-11-20", "Gemini API", "Gemini 3 Pro Image image output token count", Decimal(134_400)),
    ]
    rows = [
        a_ledger_row(day="2026-11-20", model="gemini-3-pro-image", lane=lane, micros_image=134_400)
        for lane in ("standard", "vertex")
    ]
    reconciled = reconcile(lines, rows, billing)
    assert (reconciled.differences, reconciled.agreeing, reconciled.billed_micros) == ((), 2, 268_800)
    without = reconcile(lines[1:], rows, replace(billing, vertex_services=()))
    assert without.booked_micros == 134_400, "what no bill can name is left out, as a gateway's is"
