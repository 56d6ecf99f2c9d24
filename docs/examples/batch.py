"""Render every line of a file: python batch.py PROMPTS FOLDER. Python 3.11's standard library only.

The id of a request is made of its prompt, so a second start repeats nothing: what is finished is read, what is queued
is waited for, and nothing is paid for twice. RENDERLANE_URL and RENDERLANE_TOKEN as in README.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

URL = os.environ.get("RENDERLANE_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("RENDERLANE_TOKEN")
ENDED = {"succeeded", "refused", "failed", "expired", "cancelled", "rejected"}
AT_ONCE = 8
TRIES = 5


def call(path: str, body: dict[str, Any] | None = None) -> bytes:
    """Repeated after connection errors, 429 and 5xx: every call may be."""
    headers = {"authorization": f"Bearer {TOKEN}"} if TOKEN else {}
    data = json.dumps(body).encode() if body is not None else None
    if data is not None:
        headers["content-type"] = "application/json"
    request = urllib.request.Request(f"{URL}{path}", data, headers)
    for number in range(1, TRIES + 1):
        try:
            with urllib.request.urlopen(request, timeout=90) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            problem = error.read().decode()
            if number == TRIES or (error.code != 429 and error.code < 500):
                raise SystemExit(f"{path}: HTTP {error.code}: {problem}") from error
        except OSError as error:
            if number == TRIES:
                raise SystemExit(f"{URL} did not answer: {error}") from error
        time.sleep(2**number / 4)
    raise AssertionError("the last try returns or raises")


def render(prompt: str, folder: Path) -> dict[str, Any]:
    """The view of the finished request; its image lies in the folder."""
    request_id = f"batch-{hashlib.sha256(prompt.encode()).hexdigest()[:16]}"
    request = {"request_id": request_id, "prompt": prompt, "priority": "bulk", "max_cost_usd": "0.30"}
    view: dict[str, Any] = json.loads(call("/v1/requests", request))
    while view["status"] not in ENDED:
        view = json.loads(call(f"/v1/requests/{request_id}?wait=30"))
    file = folder / request_id
    if view["status"] == "succeeded" and not file.exists():
        file.write_bytes(call(f"/v1/requests/{request_id}/image"))
    return view


def main(prompts: Path, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line.strip() for line in prompts.read_text("utf-8").splitlines() if line.strip()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        views = list(pool.map(lambda line: render(line, folder), lines))
    for line, view in zip(lines, views, strict=True):
        advice = "" if view["status"] == "succeeded" else f"  {view['outcome']['advice']}"
        print(f"{view['status']:10} ${Decimal(view['cost_usd']):.4f}  {line[:60]}{advice}")
    print(f"total ${sum(Decimal(view['cost_usd']) for view in views):.4f}")
    return 0 if all(view["status"] == "succeeded" for view in views) else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
