"""So many requests at once, no quota, a provider of fixed latency: all of them, exactly one image and one charge each.

Beside it, in the same run, the same number of plain google-genai calls from one script: what a worker without queue,
store, accounting or recovery costs.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from rich.console import Console

from scripts.bench.harness import rig
from scripts.local.upstream import Upstream

PLAIN = "google-genai in a script"
WITHIN = 300.0
"""Seconds after which a run has failed."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=500)
    options.add_argument(
        "--latency", default="fixed:1", help="the simulated model's, as `renderlane simulator` takes it"
    )
    options.add_argument("--home", choices=["embedded", "emulators", "both"], default="both")
    options.add_argument(
        "--background", choices=["auto", "off"], default="auto", help="the worker's RENDERLANE_BACKGROUND"
    )
    options.add_argument("--quick", action="store_true", help="100 requests on the embedded home only")
    options.add_argument("--json", metavar="FILE")
    arguments = options.parse_args()
    if arguments.quick:
        arguments.requests, arguments.home = 100, "embedded"
    kinds: list[rig.HomeKind] = ["embedded", "emulators"] if arguments.home == "both" else [arguments.home]
    console = Console(stderr=True)
    figures: dict[str, dict[str, Any]] = {}
    with console.status("plain google-genai calls …"):
        figures[PLAIN] = _plain(arguments.requests, arguments.latency)
    for kind in kinds:
        with console.status(f"renderlane, {kind} …") as status:
            figures[f"renderlane, {kind}"] = _worker(
                kind,
                arguments.requests,
                arguments.latency,
                arguments.background,
                lambda ended, kind=kind, status=status: status.update(f"renderlane, {kind}: {ended} ended"),
            )
    _print(figures, arguments.requests, arguments.latency)
    about = {name: getattr(arguments, name) for name in ("requests", "latency", "background")}
    rig.write_json(arguments.json, {**about, "runs": figures})
    wrong = [
        name
        for name, run in figures.items()
        if run["images"] != arguments.requests or run["charges"] != arguments.requests
    ]
    for name in wrong:
        print(f"{name}: not exactly one image and one charge for each request", file=sys.stderr)
    return 1 if wrong else 0


def _worker(kind: rig.HomeKind, requests: int, latency: str, background: str, on_progress: Any) -> dict[str, Any]:
    with (
        rig.simulator(latency=latency) as provider,
        rig.homes(kind, provider.url) as environment,
        rig.command(
            "up", "--port", "0", environment={**environment, "RENDERLANE_BACKGROUND": background}
        ) as up,
    ):  # fmt: skip
        cpu_before = up.cpu_seconds()
        began = time.monotonic()
        documents, ended = asyncio.run(_drive(environment, requests, on_progress))
        took = time.monotonic() - began
        charged = [call for call in rig.calls(provider.url) if call["charged"]]
        one_each = sum(1 for document in documents if document["attempt_count"] == 1 and document["image_uri"])
        return {
            "succeeded": ended.get("succeeded", 0),
            "images": len({document["image_uri"] for document in documents}) if one_each == requests else one_each,
            "charges": len(charged),
            "seconds": round(took, 2),
            "requests_per_second": round(requests / took, 1),
            "cpu_ms_per_render": round((up.cpu_seconds() - cpu_before) * 1000 / requests, 1),
            "peak_memory_mb": round(up.peak_bytes() / 1e6),
            "ledger_equals_bill": sum(document["cost_micros"] for document in documents)
            == sum(call["cost_micros"] for call in charged),
        }


async def _drive(
    environment: dict[str, str], requests: int, on_progress: Any
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    client = Upstream.of(environment)
    try:
        await client.publish(
            [{"request_id": f"bench-{number}", "prompt": f"bench picture {number}"} for number in range(requests)]
        )
        ended = await client.wait_for(requests, WITHIN, on_progress)
        return await client.documents(requests), ended
    finally:
        await client.close()


def _plain(requests: int, latency: str) -> dict[str, Any]:
    """In a process of its own, so that its processor time and memory are its own."""
    with rig.simulator(latency=latency) as provider, ProcessPoolExecutor(1) as pool:
        took, cpu, peak, images = pool.submit(_plain_calls, provider.url, requests).result()
        charged = [call for call in rig.calls(provider.url) if call["charged"]]
    return {
        "succeeded": images,
        "images": images,
        "charges": len(charged),
        "seconds": round(took, 2),
        "requests_per_second": round(requests / took, 1),
        "cpu_ms_per_render": round(cpu * 1000 / requests, 1),
        "peak_memory_mb": round(peak / 1e6),
        "ledger_equals_bill": None,
    }


def _plain_calls(url: str, requests: int) -> tuple[float, float, int, int]:
    from google import genai
    from google.genai import types

    async def story() -> int:
        client = genai.Client(api_key="AQ.bench", http_options=types.HttpOptions(base_url=url))
        answers = await asyncio.gather(
            *(
                client.aio.interactions.create(
                    model="gemini-nano-banana-2.1",
                    input=f"bench picture {number}",
                    response_format={"type": "image", "image_size": "1K"},
                    store=False,
                )
                for number in range(requests)
            )
        )
        return sum(1 for answer in answers if answer.output_image)

    began, cpu = time.monotonic(), time.process_time()
    images = asyncio.run(story())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return time.monotonic() - began, time.process_time() - cpu, peak, images


def _print(figures: dict[str, dict[str, Any]], requests: int, latency: str) -> None:
    plain = figures[PLAIN]
    rows = []
    for name, run in figures.items():
        rows.append(
            [
                name,
                f"{run['succeeded']}",
                f"{run['images']}",
                f"{run['charges']}",
                f"{run['requests_per_second']:.1f}",
                f"{run['requests_per_second'] / plain['requests_per_second']:.2f}x",
                f"{run['cpu_ms_per_render']:.1f}",
                f"{run['cpu_ms_per_render'] / plain['cpu_ms_per_render']:.2f}x",
                f"{run['peak_memory_mb']}",
            ]
        )
    columns = ["", "succeeded", "images", "charges", "requests/s", "of plain", "CPU ms/render", "of plain", "peak MB"]
    rig.print_table(f"{requests} requests at once, latency {latency}, no quota", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
