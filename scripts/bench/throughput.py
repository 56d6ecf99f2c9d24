"""So many requests at once, no quota, a provider of fixed latency: all of them, exactly one image and one charge each.

Beside it, in the same run, the same number of plain google-genai calls from one script: what a worker without queue,
store, accounting or recovery costs. Both have made WARM_UP calls before, so that neither's imports, nor the emulators'
first steps, are measured; a worker's run ends with its last result, and its processor time with what it does after it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psutil
from rich.console import Console

from scripts.bench.harness import cpu_layers, rig
from scripts.local.upstream import Upstream

PLAIN = "google-genai in a script"
WARM_UP = 20
"""Calls before the measured ones. The first background call is the one that shows whether the model takes them."""
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
    options.add_argument(
        "--profile", metavar="PY_SPY", help="also say which layers the worker's processor time goes to, by this py-spy"
    )
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
                arguments.profile,
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


def _worker(
    kind: rig.HomeKind, requests: int, latency: str, background: str, py_spy: str | None, on_progress: Any
) -> dict[str, Any]:
    layers: dict[str, float] = {}
    with (
        rig.simulator(latency=latency) as provider,
        rig.homes(kind, provider.url) as environment,
        rig.command(
            "up", "--port", "0", environment={**environment, "RENDERLANE_BACKGROUND": background}
        ) as up,
    ):  # fmt: skip
        measured = asyncio.run(_drive(environment, requests, up, provider, (py_spy, layers), on_progress))
        documents = measured["documents"]
        charged = [call for call in rig.calls(provider.url, measured["calls_before"]) if call["charged"]]
        one_each = sum(1 for document in documents if document["attempt_count"] == 1 and document["image_uri"])
        took, cpu = measured["seconds"], measured["cpu"]
        return {
            "succeeded": sum(1 for document in documents if document["status"] == "succeeded"),
            "images": len({document["image_uri"] for document in documents}) if one_each == requests else one_each,
            "charges": len(charged),
            "seconds": round(took, 2),
            "requests_per_second": round(requests / took, 1),
            "cpu_ms_per_render": round(cpu["worker"] * 1000 / requests, 1),
            "emulators_cpu_ms_per_render": round(cpu["emulators"] * 1000 / requests, 1),
            "peak_memory_mb": round(up.peak_bytes() / 1e6),
            "ledger_equals_bill": sum(document["cost_micros"] for document in documents)
            == sum(call["cost_micros"] for call in charged),
            "layers_ms_per_render": {name: round(cost * 1000 / requests, 2) for name, cost in layers.items()},
        }


async def _drive(
    environment: dict[str, str],
    requests: int,
    up: rig.Process,
    provider: rig.Process,
    profile: tuple[str | None, dict[str, float]],
    on_progress: Any,
) -> dict[str, Any]:
    client = Upstream.of(environment)
    try:
        await client.publish([_request("warm", number) for number in range(1)])
        await client.wait_for(1, WITHIN)
        await client.publish([_request("warm", number) for number in range(1, WARM_UP)])
        await client.wait_for(WARM_UP, WITHIN)
        await asyncio.sleep(1)  # what follows the last result: deletions, announcements
        calls_before = max(call["number"] for call in rig.calls(provider.url))
        py_spy, layers = profile
        with cpu_layers.sampled(py_spy, up.popen.pid, layers) if py_spy else contextlib.nullcontext():
            cpu_before, began = _cpu(up), datetime.now(UTC)
            await client.publish([_request("bench", number) for number in range(requests)])
            await client.wait_for(WARM_UP + requests, WITHIN, on_progress, longest=1.0)
            cpu = {name: seconds - cpu_before[name] for name, seconds in _cpu(up).items()}
        documents = await client.documents(requests)
        ended = max(datetime.fromisoformat(str(document["finished_at"])) for document in documents)
        return {
            "documents": documents,
            "seconds": (ended - began).total_seconds(),
            "cpu": cpu,
            "calls_before": calls_before,
        }
    finally:
        await client.close()


def _request(kind: str, number: int) -> dict[str, str]:
    return {"request_id": f"{kind}-{number}", "prompt": f"{kind} picture {number}"}


def _cpu(up: rig.Process) -> dict[str, float]:
    """Seconds so far. Emulators are Java, as nothing else of this bench is."""
    emulators = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name() == "java":
                times = process.cpu_times()
                emulators += times.user + times.system
    return {"worker": up.cpu_seconds(), "emulators": emulators}


def _plain(requests: int, latency: str) -> dict[str, Any]:
    """In a process of its own, so that its processor time and memory are its own."""
    with rig.simulator(latency=latency) as provider, ProcessPoolExecutor(1) as pool:
        took, cpu, peak, images = pool.submit(_plain_calls, provider.url, requests).result()
        charged = [call for call in rig.calls(provider.url) if call["charged"]][WARM_UP:]
    return {
        "succeeded": images,
        "images": images,
        "charges": len(charged),
        "seconds": round(took, 2),
        "requests_per_second": round(requests / took, 1),
        "cpu_ms_per_render": round(cpu * 1000 / requests, 1),
        "emulators_cpu_ms_per_render": 0.0,
        "peak_memory_mb": round(peak / 1e6),
        "ledger_equals_bill": None,
    }


def _plain_calls(url: str, requests: int) -> tuple[float, float, int, int]:
    from google import genai
    from google.genai import types

    async def story() -> tuple[float, float, int]:
        client = genai.Client(api_key="AQ.bench", http_options=types.HttpOptions(base_url=url))

        async def calls(number_of_calls: int) -> int:
            answers = await asyncio.gather(
                *(
                    client.aio.interactions.create(
                        model="gemini-nano-banana-2.1",
                        input=f"bench picture {number}",
                        response_format={"type": "image", "image_size": "1K"},
                        store=False,
                    )
                    for number in range(number_of_calls)
                )
            )
            return sum(1 for answer in answers if answer.output_image)

        await calls(WARM_UP)
        began, cpu = time.monotonic(), time.process_time()
        images = await calls(requests)
        return time.monotonic() - began, time.process_time() - cpu, images

    took, cpu, images = asyncio.run(story())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return took, cpu, peak, images


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
                f"{run['emulators_cpu_ms_per_render']:.1f}",
                f"{run['peak_memory_mb']}",
            ]
        )
    columns = ["", "succeeded", "images", "charges", "requests/s", "of plain", "CPU ms/render", "of plain"]
    columns += ["emulators' CPU ms", "peak MB"]
    rig.print_table(f"{requests} requests at once, latency {latency}, no quota", columns, rows)
    profiled = {name: layers for name, run in figures.items() if (layers := run.get("layers_ms_per_render"))}
    if profiled:
        names = dict.fromkeys(name for layers in profiled.values() for name in layers)
        rows = [[name, *(f"{layers.get(name, 0.0):.2f}" for layers in profiled.values())] for name in names]
        rows.append(["all", *(f"{sum(layers.values()):.2f}" for layers in profiled.values())])
        rig.print_table("CPU ms per render, by layer, while it is sampled", ["", *profiled], rows)


if __name__ == "__main__":
    sys.exit(main())
