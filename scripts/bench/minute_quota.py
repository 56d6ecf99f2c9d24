"""More requests at once than a minute's quota holds: who loses some, who is rejected, who takes how long.

Beside Renderlane, in the same run and each on a simulator of its own: google-genai as it comes (five attempts), and the
usual full jitter (tenacity, ten attempts) around it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from rich.console import Console

from scripts.bench.harness import rig
from scripts.local.upstream import Upstream

MODEL = "gemini-nano-banana-2.1"
LATENCY = "fixed:1"
WITHIN = 600.0
"""Seconds after which a run has failed."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=150)
    options.add_argument("--rpm", type=int, default=60)
    options.add_argument("--window", choices=["sliding", "fixed", "bucket"], default="sliding")
    options.add_argument("--ours", action="store_true", help="the embedded home alone on the machine")
    options.add_argument("--quick", action="store_true", help="one minute's worth of requests, embedded only")
    options.add_argument("--json", metavar="FILE")
    arguments = options.parse_args()
    if arguments.quick:
        arguments.requests = arguments.rpm
    together: dict[str, Callable[[], dict[str, Any]]] = {
        "google-genai as it comes": lambda: _plain(arguments, "sdk"),
        "full jitter, ten attempts": lambda: _plain(arguments, "jitter"),
        "renderlane, embedded": lambda: _worker(arguments, "embedded"),
    }
    if arguments.ours:
        together = {"renderlane, embedded": together["renderlane, embedded"]}
    with Console(stderr=True).status("each on a simulator of its own …"), ThreadPoolExecutor() as pool:
        begun = {name: pool.submit(run) for name, run in together.items()}
        figures = {name: run.result() for name, run in begun.items()}
        if not (arguments.quick or arguments.ours):  # the emulators' Java takes a processor for itself
            figures["renderlane, emulators"] = _worker(arguments, "emulators")
    rows = [
        [name, f"{run['succeeded']}", f"{run['lost']}", f"{run['rejected_calls']}", f"{run['seconds']:.1f}"]
        for name, run in figures.items()
    ]
    title = f"{arguments.requests} requests at once, {arguments.rpm} a minute ({arguments.window} window), calls of 1 s"
    rig.print_table(title, ["", "succeeded", "lost", "rejected calls (429)", "seconds"], rows)
    rig.write_json(
        arguments.json,
        {"requests": arguments.requests, "rpm": arguments.rpm, "window": arguments.window, "runs": figures},
    )
    ours = [run for name, run in figures.items() if name.startswith("renderlane")]
    return 0 if all(run["lost"] == 0 and run["rejected_calls"] == 0 for run in ours) else 1


def _figures(requests: int, succeeded: int, seconds: float, provider_url: str) -> dict[str, Any]:
    rejected = sum(1 for call in rig.calls(provider_url) if call["status"] == 429)
    return {
        "succeeded": succeeded,
        "lost": requests - succeeded,
        "rejected_calls": rejected,
        "seconds": round(seconds, 1),
    }


def _worker(options: argparse.Namespace, kind: rig.HomeKind) -> dict[str, Any]:
    limits = f"{MODEL}=rpm:{options.rpm}"
    with (
        rig.simulator(latency=LATENCY, limits=limits, window=options.window) as provider,
        rig.homes(kind, provider.url, quota=limits) as environment,
        rig.command("up", "--port", "0", environment=environment),
    ):
        succeeded, seconds = asyncio.run(_drive(environment, options.requests))
        return _figures(options.requests, succeeded, seconds, provider.url)


async def _drive(environment: dict[str, str], requests: int) -> tuple[int, float]:
    client = Upstream.of(environment)
    try:
        began = time.monotonic()
        await client.publish(
            [{"request_id": f"m-{number}", "prompt": f"picture {number}", "model": MODEL} for number in range(requests)]
        )
        ended = await client.wait_for(requests, WITHIN)
        return ended.get("succeeded", 0), time.monotonic() - began
    finally:
        await client.close()


def _plain(options: argparse.Namespace, strategy: str) -> dict[str, Any]:
    limits = f"{MODEL}=rpm:{options.rpm}"
    with (
        rig.simulator(latency=LATENCY, limits=limits, window=options.window) as provider,
        ProcessPoolExecutor(1) as pool,
    ):
        succeeded, seconds = pool.submit(_plain_calls, provider.url, options.requests, strategy).result()
        return _figures(options.requests, succeeded, seconds, provider.url)


def _plain_calls(url: str, requests: int, strategy: str) -> tuple[int, float]:
    import tenacity
    from google import genai
    from google.genai import types
    from google.genai._interactions import RateLimitError

    retries = None if strategy == "sdk" else types.HttpRetryOptions(attempts=1)
    client = genai.Client(api_key="AQ.bench", http_options=types.HttpOptions(base_url=url, retry_options=retries))

    async def call(number: int) -> None:
        await client.aio.interactions.create(
            model=MODEL, input=f"picture {number}", response_format={"type": "image"}, store=False
        )

    jittered = tenacity.retry(
        retry=tenacity.retry_if_exception_type(RateLimitError),
        stop=tenacity.stop_after_attempt(10),
        wait=tenacity.wait_random_exponential(multiplier=1, max=60),
    )(call)

    async def story() -> int:
        one = call if strategy == "sdk" else jittered
        answers = await asyncio.gather(*(one(number) for number in range(requests)), return_exceptions=True)
        return sum(1 for answer in answers if not isinstance(answer, BaseException))

    began = time.monotonic()
    return asyncio.run(story()), time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
