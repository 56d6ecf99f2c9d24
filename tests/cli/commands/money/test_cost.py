"""`renderlane cost` on a home that has rendered."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import renderlane


@pytest.fixture
def spent(in_running_home: Path) -> dict[str, Any]:
    """Two tenants' images, and the ledger as one object."""
    for tenant, purpose in (("web", "final"), ("web", "draft"), ("shop", "final")):
        request_id = f"{tenant}-{purpose}"
        renderlane("submit", "a red cube", "--id", request_id, "--purpose", purpose, "--tenant", tenant, "--wait")
    payload: dict[str, Any] = json.loads(renderlane("cost", "--by", "tenant", "--json").stdout)
    return payload


def test_the_bill_by_tenant_adds_up_to_the_requests_own_costs(spent: dict[str, Any]) -> None:
    listed = [json.loads(line) for line in renderlane("list", "--json").stdout.splitlines()]
    by_tenant = {group["tenant"]: Decimal(group["cost_usd"]) for group in spent["google"]["groups"]}
    assert by_tenant == {
        tenant: sum(Decimal(item["cost_usd"]) for item in listed if item["tenant"] == tenant)
        for tenant in ("web", "shop")
    }
    assert spent["google"]["total"]["attempts"] == 3
    assert spent["gateways"] == {"total": spent["gateways"]["total"], "groups": []}


def test_the_explanation_says_what_for_and_what_was_charged(spent: dict[str, Any]) -> None:
    output = renderlane("cost", "--explain").stdout
    for words in ("paid for", "first attempts", "charged for", "thinking", "images", "in all"):
        assert words in output


def test_the_csv_holds_every_amount_of_every_line(spent: dict[str, Any], tmp_path: Path) -> None:
    renderlane("cost", "--by", "model", "--csv", str(tmp_path / "cost.csv"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "cost.csv").read_text("utf-8"))))
    assert {row["contract"] for row in rows} == {"google"}
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(spent["google"]["total"]["cost_usd"])


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_chart_is_drawn(spent: dict[str, Any], tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"cost.{ending}"
    assert renderlane("cost", "--by", "day", "--chart", str(path)).exit_code == 0
    assert path.read_bytes()[:5] in (b"<?xml", b"\x89PNG\r")


def test_a_bill_that_differs_from_the_ledger_ends_with_one(spent: dict[str, Any], tmp_path: Path) -> None:
    day = spent["until"]
    path = tmp_path / "export.csv"
    header = "usage_start_time,service.description,sku.description,cost,currency\n"
    sku = "Generate_content image output token count for Gemini 3 Pro Image"
    path.write_text(f"{header}{day} 09:00:00 UTC,Gemini API,{sku},100,USD\n", "utf-8")
    result = renderlane("cost", "--reconcile", str(path), "--json")
    assert result.exit_code == 1
    first = json.loads(result.stdout)["differences"][0]
    assert (first["what"], first["billed_usd"]) == ("gemini-3-pro-image standard image", "100.000000")
    assert "differ" in renderlane("cost", "--reconcile", str(path)).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--chart", "cost.pdf"), "a name that ends in .svg or .png"),
        (("--since", "2026-12-01", "--until", "2026-11-01"), "which is after --until"),
        (("--reconcile", "/nowhere.csv"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_read(
    in_running_home: Path, words: tuple[str, ...], message: str
) -> None:
    result = renderlane("cost", *words)
    assert result.exit_code == 2
    assert message in result.stderr
