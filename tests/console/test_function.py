"""The function `console` under functions-framework, as the cloud starts it, and its part of the bundle."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2

from functions.console import runbook
from functions.console.view import STATIC, environment
from scripts.deployment import contents
from tests.functions.test_functions_framework import started

ROOT = Path.cwd()


def test_the_function_serves_the_whole_console_and_takes_its_forms(tmp_path: Path) -> None:
    with started("console", tmp_path) as url, httpx2.Client(base_url=url, trust_env=False) as client:
        root = client.get("/")
        assert root.status_code == 303, root.text
        assert (root.status_code, root.headers["location"]) == (303, "/console/")
        page = client.get("/console/flags")
        assert page.status_code == 200
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        for name in re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.text):
            assert client.get(name).status_code == 200, name
        (token,) = set(re.findall(r'name="token" value="([0-9a-f]+)"', page.text))
        form = {"token": token, "name": "pause", "lasts": "30m", "reason": "a test", "flag_id": "1a2b"}
        made = client.post("/console/flags/trip", data=form, headers={"origin": url})
        assert made.status_code == 303, made.text
        assert (made.status_code, made.headers["location"]) == (303, "/console/flags?did=trip&flag=pause-1a2b")
        assert "pause-1a2b" in client.get("/console/").text
        assert client.get("/console/", headers={"host": "evil.example"}).status_code == 403


def test_the_bundle_holds_every_page_every_static_file_and_the_runbook() -> None:
    bundled = set(contents.data(ROOT))
    assert {f"functions/console/templates/{name}" for name in environment().list_templates()} <= bundled
    assert {f"functions/console/static/{path.name}" for path in STATIC.iterdir()} <= bundled
    assert "RUNBOOK.md" in bundled
    modules = contents.modules(ROOT)
    assert {"functions.console.app", "shared.adapters.identity.iap", "shared.flows.intake.revive"} <= modules.keys()
    assert runbook.sections().keys() >= {"overload", "no-route"}


def test_htmx_is_shipped_with_its_version_and_licence() -> None:
    (version,) = re.findall(r"^htmx (\S+) ", (STATIC / "htmx.LICENSE.txt").read_text("utf-8"))
    assert f'version:"{version}"' in (STATIC / "htmx.min.js").read_text("utf-8")
    assert "Zero-Clause BSD" in (STATIC / "htmx.LICENSE.txt").read_text("utf-8")
