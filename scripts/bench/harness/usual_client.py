"""What many would write: google-genai with full jitter around each call, for as long as a scene lasts."""

from __future__ import annotations

import asyncio
import time


def full_jitter(url: str, model: str, backlog: int, per_minute: int, seconds: float) -> tuple[int, int]:
    """A backlog at once, then even arrivals, each retried up to ten times with tenacity's full jitter.

    How many requests succeeded and how many were given up after ten attempts; the rest were cut off by the end.
    """
    return asyncio.run(_stream(url, model, backlog, per_minute, seconds))


async def _stream(url: str, model: str, backlog: int, per_minute: int, seconds: float) -> tuple[int, int]:
    import tenacity
    from google import genai
    from google.genai import types
    from google.genai._interactions import RateLimitError

    one_attempt = types.HttpOptions(base_url=url, retry_options=types.HttpRetryOptions(attempts=1))
    client = genai.Client(api_key="AQ.bench", http_options=one_attempt)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(RateLimitError),
        stop=tenacity.stop_after_attempt(10),
        wait=tenacity.wait_random_exponential(multiplier=1, max=60),
    )
    async def call(number: int) -> None:
        await client.aio.interactions.create(
            model=model, input=f"picture {number}", response_format={"type": "image"}, store=False
        )

    began = time.monotonic()
    tasks = [asyncio.create_task(call(number)) for number in range(backlog)]
    while time.monotonic() - began < seconds:
        await asyncio.sleep(60 / per_minute)
        tasks.append(asyncio.create_task(call(len(tasks))))
    done, under_way = await asyncio.wait(tasks, timeout=0)
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    failed = sum(1 for task in done if task.exception() is not None)
    return len(done) - failed, failed
