"""Attacks of the review of 2026-11-29 that no other file repeats; docs/security.md lists all of them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from scripts.cli.views.money import cost_table
from scripts.cli.views.see import trace_view
from shared import wiring
from shared.adapters.payloads.text_images import addresses_in, apart
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.accounting.cost_report import Bill, Bills, Total
from shared.core.observability import repro_packet
from shared.core.observability.trace_tree import SpanView
from shared.wiring import Worker
from tests.api.callers import client
from tests.builders import NOW

CODE = ("shared", "functions", "scripts")


@pytest.mark.parametrize(
    "text",
    ["![a](https://h/" * 40_000, "![" * 300_000, "data:image/png;" * 40_000, "https://" * 70_000, "src='" * 100_000],
    ids=["markdown", "brackets", "data", "addresses", "src"],
)
def test_the_text_of_a_gateways_answer_is_read_in_linear_time(text: str) -> None:
    """60,000 characters of markdown took 0.73 s, and four times as long for twice as many."""
    began = time.process_time()
    apart(text)
    list(addresses_in(text))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    "prompt",
    [
        "$(touch owned) `touch owned`", "'; touch owned; '", '"; touch owned; "', "a\n touch owned\n", "> owned",
        "\\'; touch owned #", "$'\\x27; touch owned'", "!touch owned", "| tee owned", "& touch owned",
        "-d @/etc/passwd", "${HOME}",
    ],
)  # fmt: skip
def test_a_packets_curl_line_runs_curl_and_nothing_else(prompt: str, shell: str, tmp_path: Path) -> None:
    """A curl that writes its arguments down stands in for the real one."""
    curl = tmp_path / "curl"
    curl.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\" > arguments\n")
    curl.chmod(0o700)
    line = repro_packet.curl("https://api.example/v1beta/interactions", {"input": prompt})
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run([shell, "-c", line], cwd=tmp_path, env={"PATH": path, "GEMINI_API_KEY": "k"}, check=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["arguments", "curl"]
    arguments = (tmp_path / "arguments").read_text("utf-8").split("\0")[:-1]
    assert len(arguments) == 8
    assert json.loads(arguments[-1]) == {"input": prompt}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_cell_of_the_costs_is_no_formula(name: str) -> None:
    text = cost_table.csv_text(Bills(Bill(Total(), {name: Total()}), Bill(Total(), {"plain": Total()})), "tenant")
    rows = list(csv.reader(io.StringIO(text)))
    assert [row[1] for row in rows] == ["tenant", f"'{name}", "plain"]


def test_a_trace_as_a_page_holds_no_markup_of_others() -> None:
    evil = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
    span = SpanView("1", None, evil, NOW, NOW + timedelta(seconds=1), {"renderlane.model": evil, evil: [evil]}, evil)
    page = trace_view.page(evil, evil, [span])
    assert re.findall(r"<(script|img)", page) == []
    assert "&lt;script&gt;" in page


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings.read({"RENDERLANE_HOME": str(tmp_path)}, tmp_path)
    worker = Worker.of(wiring.build(settings, io.StringIO(), wiring.topics(settings, SystemClock())))
    async with client(worker, "web@p.iam.gserviceaccount.com") as caller:
        yield caller
    await worker.close()


BODIES = {
    "deep": b'{"request_id": "a", "prompt": ' + b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "infinite": b'{"request_id": "a", "prompt": "p", "max_cost_usd": 1e400}',
    "digits": b'{"request_id": "a", "prompt": "p", "output_quality": ' + b"9" * 5_000 + b"}",
    "not a number": b'{"request_id": "a", "prompt": "p", "output_quality": NaN}',
    "surrogate": b'{"request_id": "a", "prompt": "\\ud800"}',
    "many fields": json.dumps({f"f{number}": 1 for number in range(20_000)}).encode(),
    "many references": json.dumps({"request_id": "a", "prompt": "p", "references": [{}] * 20_000}).encode(),
    "many labels": json.dumps({"request_id": "a", "labels": dict.fromkeys(map(str, range(20_000)), "x")}).encode(),
    "no text": b"\xff\xfe\x00",
    "twice": b'{"request_id": "a", "request_id": "b", "prompt": 1}',
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
@pytest.mark.parametrize("path", ["/v1/requests", "/v1/estimate"])
async def test_no_body_stops_the_api(api: httpx2.AsyncClient, body: bytes, path: str) -> None:
    answer = await api.post(path, content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 20_000


def test_a_hostile_body_holds_the_loop_for_no_time(tmp_path: Path) -> None:
    """Others of the same process are answered meanwhile."""

    async def story() -> float:
        settings = Settings.read({"RENDERLANE_HOME": str(tmp_path)}, tmp_path)
        worker = Worker.of(wiring.build(settings, io.StringIO(), wiring.topics(settings, SystemClock())))
        async with client(worker, "web@p.iam.gserviceaccount.com") as caller:
            began = time.process_time()
            for body in BODIES.values():
                await caller.post("/v1/requests", content=body, headers={"content-type": "application/json"})
            spent = time.process_time() - began
        await worker.close()
        return spent

    assert asyncio.run(story()) < 5


def test_no_code_of_ours_gives_words_to_a_shell() -> None:
    files = [path for folder in CODE for path in Path(folder).rglob("*.py")]
    pattern = re.compile(r"shell\s*=\s*True|os\.system\(|os\.popen\(|\beval\(|\bexec\(|pickle\.loads?\(|yaml\.load\(")
    assert [str(path) for path in files if pattern.search(path.read_text("utf-8"))] == []
    assert len(files) > 400


def test_no_secret_is_in_terraforms_state() -> None:
    """The key is put into Secret Manager by hand; Terraform knows the secret's name alone."""
    text = "\n".join(path.read_text("utf-8") for path in Path("terraform").rglob("*.tf"))
    assert 'resource "google_secret_manager_secret"' in text
    assert "google_secret_manager_secret_version" not in text
    assert "secret_data" not in text
    assert "google_service_account_key" not in text
