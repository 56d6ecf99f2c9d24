"""How much memory a render in flight takes: the worst moment is when many answers arrive at once.

Each row is a process of its own that makes so many calls at once through the real lane and stores their images; the
answers come from a stand-in with one prebuilt body, all at the same moment.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import multiprocessing.connection
import struct
import sys
import tempfile
import zlib
from datetime import timedelta
from random import Random

from rich.console import Console

from scripts.bench.harness import rig
from shared.adapters.gemini.interactions_lane import GeminiLane
from shared.adapters.object_storage.image_store import ObjectImages
from shared.core.provider.call import Made, Order
from shared.core.values.lanes import STANDARD

MODEL = "gemini-3-pro-image"
KINDS = {"1K JPEG": 1.5, "4K JPEG": 8.0, "4K PNG, the largest known": 18.0}
"""Megabytes of the image itself; base64 makes a third more of it on the wire."""
AT_ONCE = (1, 4, 8)
MB = 1_000_000


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="one answer and four")
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    rows, figures = [], []
    console = Console(stderr=True)
    for kind, megabytes in KINDS.items():
        peaks: dict[int, float] = {}
        for count in AT_ONCE[:2] if chosen.quick else AT_ONCE:
            console.print(f"{kind}, {count} at once")
            peaks[count] = _peak_in_a_process(count, int(megabytes * MB))
        most = max(peaks)
        value = (peaks[most] - peaks[1]) / (most - 1)
        rows.append([kind, f"{megabytes:.1f}", *(f"{peaks[count]:.0f}" for count in peaks), f"{value:.1f}"])
        figures.append({"answer": kind, "image_mb": megabytes, "peak_mb": peaks, "mb_each": round(value, 1)})
    counts = [f"{count} at once, MB" for count in peaks]
    rig.print_table(
        "Peak memory of a process that renders", ["answer", "image, MB", *counts, "each further one, MB"], rows
    )
    rig.write_json(chosen.json, {"rows": figures})
    return 0


def _peak_in_a_process(count: int, image_bytes: int) -> float:
    """Megabytes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(theirs, count, image_bytes))
    process.start()
    peak: float = ours.recv()
    process.join()
    return peak


def _measure(pipe: multiprocessing.connection.Connection, count: int, image_bytes: int) -> None:
    """In the child: the stand-in is another process, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs, count, image_bytes), daemon=True)
    server.start()
    port: int = ours.recv()
    asyncio.run(_render(f"http://127.0.0.1:{port}", count))
    server.terminate()
    pipe.send(rig.peak_bytes("self") / MB)


async def _render(url: str, count: int) -> None:
    lane = GeminiLane("AQ.bench", url)
    await lane.prepare()
    minute = timedelta(minutes=1)

    async def at_once() -> timedelta:
        return minute

    with tempfile.TemporaryDirectory() as folder:
        images = ObjectImages(f"file://{folder}")

        async def one(number: int) -> None:
            order = Order(f"r-{number}", MODEL, STANDARD, "a lighthouse", "4K", None)
            answer = await lane.generate(order, minute, at_once)
            assert isinstance(answer, Made), answer
            await images.put(f"bench/{number}{answer.picture.extension}", answer.picture, {})

        await asyncio.gather(*(one(number) for number in range(count)))
    await lane.close()


def _serve(pipe: multiprocessing.connection.Connection, count: int, image_bytes: int) -> None:
    """Answers when so many calls are there."""
    body = _answer(image_bytes)

    async def story() -> None:
        everybody = asyncio.Barrier(count)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            await everybody.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(story())


def _answer(image_bytes: int) -> bytes:
    image = base64.b64encode(_png(image_bytes)).decode()
    content = [{"type": "image", "mime_type": "image/png", "data": image}]
    return json.dumps(
        {
            "id": "v1_bench", "object": "interaction", "status": "completed", "model": MODEL,
            "created": "2026-11-22T12:00:00Z", "updated": "2026-11-22T12:00:00Z", "service_tier": "standard",
            "steps": [{"type": "model_output", "content": content}],
            "usage": {"total_input_tokens": 10, "total_output_tokens": 2000, "total_tokens": 2010},
        }
    ).encode()  # fmt: skip


def _png(size: int) -> bytes:
    """So many bytes that say they are a 4K PNG; what is inside nobody looks at."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4096, 4096, 8, 2, 0, 0, 0))
    noise = Random(1).randbytes(size - 100)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", noise) + chunk(b"IEND", b"")


if __name__ == "__main__":
    sys.exit(main())
