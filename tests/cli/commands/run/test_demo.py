"""The samples and the demo that renders them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from scripts.cli.commands.run import demo
from scripts.cli.data.see.requests import RejectedMessage
from scripts.cli.views.see import contact_sheet
from scripts.cli.views.see.contact_sheet import Card
from shared.core.messages.render_request import Cancel, InvalidRequest, RenderRequest
from shared.core.records.note import RejectedRecord
from tests.builders import NOW


def test_the_samples_are_varied() -> None:
    plan = demo.make_plan(datetime(2026, 11, 22, 12, tzinfo=UTC))
    requests = [line.meaning for line in plan.lines if isinstance(line.meaning, RenderRequest)]
    assert len(requests) >= 24
    assert {request.purpose for request in requests} == {"draft", "default", "final"}
    assert {request.image_size for request in requests} == {"512", "1K", "2K", "4K"}
    assert {request.priority for request in requests} == {"interactive", "normal", "bulk"}
    assert {request.lane for request in requests} == {"standard", "priority", "flex"}
    assert len({request.tenant for request in requests}) >= 3
    assert len({request.aspect_ratio for request in requests}) >= 6
    assert len({request.content_hash for request in requests}) == len(requests) - 1, "one stands twice"
    assert any(request.references for request in requests)
    assert any(request.max_cost_micros for request in requests)
    assert sum(isinstance(line.meaning, Cancel) for line in plan.lines) == 1
    assert sum(isinstance(line.meaning, InvalidRequest) for line in plan.lines) == 1
    ids = {line.request_id for line in plan.lines}
    assert {f"{plan.run}{name}" for name in plan.expected} == ids
    assert plan.run == "demo-1122-120000-"


def test_every_sample_prompt_is_a_real_one() -> None:
    rows = (demo.SAMPLES / "prompts.tsv").read_text("utf-8").splitlines()[1:]
    real = {row.split("\t")[0] for row in rows}
    for line in (demo.SAMPLES / "requests.jsonl").read_text("utf-8").splitlines():
        prompt = json.loads(line).get("prompt")
        assert prompt is None or prompt.removesuffix(" [refuse]") in real
    assert "Apache License" in (demo.SAMPLES / "NOTICE").read_text("utf-8")


def test_what_ends_otherwise_is_named() -> None:
    rejected = RejectedMessage("run-a", RejectedRecord("x", NOW), {})
    texts = demo.differences([rejected], {"a": "succeeded", "b": "refused"}, "run-")
    assert texts == ["a should be succeeded and is rejected", "b should be refused and is not there"]
    assert demo.differences([rejected], {"a": "rejected"}, "run-") == []


def test_with_a_key_the_estimate_comes_first_and_nothing_is_sent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AQ.secret")
    result = CliRunner().invoke(demo.command, [])
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert "Estimate: $" in result.stdout
    assert "will be rejected" in result.stdout
    assert "goose" not in result.stdout, "only the simulator refuses at a word"
    assert "secret" not in result.output
    assert not home.exists()


def test_a_contact_sheet_has_a_card_for_everything() -> None:
    cards = [Card(f"card-{'long' * 20}", "refused", "a route · 1K", "$0.0336", None)] * 8
    sheet = contact_sheet.draw(cards, "8 requests", "SIMULATOR")
    assert sheet.width == contact_sheet.COLUMNS * (contact_sheet.CARD_WIDTH + contact_sheet.GAP) + contact_sheet.GAP
    one_row = contact_sheet.draw(cards[:1], "1 request", "")
    assert sheet.height > one_row.height


@pytest.mark.slow
def test_the_demo_ends_as_the_samples_expect(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LATENCY", "fixed:0.3")
    result = CliRunner().invoke(demo.command, [])
    assert result.exit_code == 0, result.output
    assert "SIMULATOR" in result.stdout
    for part in ("owl-final", "512 > 1K", "refused", "cancelled", "rejected", "total cost $", "contact sheet"):
        assert part in result.stdout
    (sheet,) = (home / "contact-sheets").iterdir()
    with Image.open(sheet) as picture:
        assert picture.width > 1_500
