"""Known vulnerabilities of the lock: asked of a server that answers as OSV does; unchecked is never none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scripts.deployment import advisories
from scripts.deployment.advisories import LockedPackage

LOCK = """# made by hand
requests==2.30.0 \\
    --hash=sha256:00
PyJWT[crypto]==2.9.0 ; python_version > "3.8" \\
    --hash=sha256:01
urllib3==2.8.0 \\
    # via requests
"""
DETAIL: dict[str, Any] = {
    "id": "GHSA-9wx4-h78v-vm56",
    "summary": "Requests `Session` object does not verify requests after making first request with verify=False",
    "aliases": ["CVE-2024-35195"],
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "requests", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.32.0"}]},
                       {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "abc"}]}],
        },
        {"package": {"name": "other"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "9"}]}]},
    ],
}  # fmt: skip


@dataclass
class Osv:
    """Advisories by package; `status` and `body` answer instead."""

    by_package: dict[str, list[str]] = field(default_factory=dict)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    page_size: int = 100
    status: int = 200
    body: bytes | None = None
    url: str = ""
    queries: list[dict[str, Any]] = field(default_factory=list)

    def batch(self, queries: list[dict[str, Any]]) -> dict[str, Any]:
        self.queries += queries
        results = []
        for query in queries:
            start = int(query.get("page_token", "0"))
            ids = self.by_package.get(query["package"]["name"], [])
            page: dict[str, Any] = {"vulns": [{"id": name} for name in ids[start : start + self.page_size]]}
            if start + self.page_size < len(ids):
                page["next_page_token"] = str(start + self.page_size)
            results.append(page if ids else {})
        return {"results": results}


@pytest.fixture
def osv(monkeypatch: pytest.MonkeyPatch) -> Iterator[Osv]:
    service = Osv()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
            self.reply(service.batch(queries))

        def do_GET(self) -> None:
            self.reply(service.details[self.path.rpartition("/")[2]])

        def reply(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode() if service.body is None else service.body
            self.send_response(service.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OSV_URL", service.url)
    yield service
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK)
    return path


def run(lock: Path, *words: str) -> Result:
    return CliRunner().invoke(advisories.main, ["--lock", str(lock), *words])


def test_every_pin_of_the_lock_is_read() -> None:
    assert advisories.locked(LOCK) == (
        LockedPackage("pyjwt", "2.9.0"),
        LockedPackage("requests", "2.30.0"),
        LockedPackage("urllib3", "2.8.0"),
    )
    text = Path("requirements.lock").read_text("utf-8")
    assert len(advisories.locked(text)) == sum(line[0].isalnum() for line in text.splitlines() if line)


def test_a_known_advisory_is_named_with_its_fix_and_fails(osv: Osv, lock: Path) -> None:
    osv.by_package, osv.details = {"requests": [DETAIL["id"]]}, {DETAIL["id"]: DETAIL}
    ended = run(lock)
    assert ended.exit_code == advisories.VULNERABLE
    assert "requests 2.30.0  GHSA-9wx4-h78v-vm56  Requests `Session`" in ended.stdout
    assert "fixed in 2.32.0\n    https://osv.dev/vulnerability/GHSA-9wx4-h78v-vm56" in ended.stdout
    assert "3 packages of requirements.lock: 1 known advisories" in ended.stdout
    assert {"package": {"name": "pyjwt", "ecosystem": "PyPI"}, "version": "2.9.0"} in osv.queries


def test_without_one_it_says_how_many_were_looked_up(osv: Osv, lock: Path) -> None:
    ended = run(lock, "--strict")
    assert (ended.exit_code, ended.stdout) == (0, f"3 packages of requirements.lock: no known advisories ({osv.url})\n")


def test_aliases_are_one_and_what_was_withdrawn_is_none(osv: Osv, lock: Path) -> None:
    other = {"id": "PYSEC-2024-1", "aliases": ["CVE-2024-35195"], "details": "The same.\nMore."}
    gone = {"id": "GHSA-gone", "withdrawn": "2026-01-01T00:00:00Z"}
    osv.by_package = {"requests": [DETAIL["id"], "PYSEC-2024-1", "GHSA-gone"]}
    osv.details = {DETAIL["id"]: DETAIL, "PYSEC-2024-1": other, "GHSA-gone": gone}
    assert "1 known advisories" in run(lock).stdout


def test_later_pages_are_read(osv: Osv, lock: Path) -> None:
    osv.by_package = {"requests": ["A-1", "A-2", "A-3"], "urllib3": ["A-4"]}
    osv.details = {name: {"id": name, "summary": name} for name in ("A-1", "A-2", "A-3", "A-4")}
    osv.page_size = 1
    ended = run(lock)
    assert "4 known advisories" in ended.stdout
    assert "no version is known that fixes it" in ended.stdout


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b"{}"), (302, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b'{"results": []}'), (200, b"{}"),
        (200, b'{"results": [1, 2, 3]}'), (200, b'{"results": [{"vulns": [{}]}, {}, {}]}'), (200, b""),
    ],
)  # fmt: skip
def test_an_answer_that_says_nothing_is_not_taken_for_none(osv: Osv, lock: Path, status: int, body: bytes) -> None:
    osv.status, osv.body = status, body
    ended = run(lock)
    assert ended.exit_code == 0
    assert ended.stderr.startswith("NOT CHECKED: ")
    assert "known advisories" not in ended.stdout
    assert run(lock, "--strict").exit_code == advisories.UNCHECKED


def test_where_it_cannot_be_reached_it_says_so_and_fails_only_where_it_must(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSV_URL", "http://127.0.0.1:9")
    ended = run(lock)
    assert ended.exit_code == 0
    assert "NOT CHECKED: http://127.0.0.1:9 did not respond (ConnectError)" in ended.stderr
    assert "Nothing is known about the 3 packages" in ended.stderr
    assert run(lock, "--strict").exit_code == 2


def test_ci_looks_and_only_the_job_for_it_must() -> None:
    """An advisory of tonight hides no failing test."""
    assert "./scripts/advisories ||" in Path(".ci/run").read_text("utf-8")
    workflow = Path(".github/workflows/ci.yml").read_text("utf-8")
    assert "- run: ./scripts/advisories --strict" in workflow
    assert "pip install" not in workflow, "nothing is installed there without its hash"
