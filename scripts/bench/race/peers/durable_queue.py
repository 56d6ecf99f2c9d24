"""Procrastinate on PostgreSQL: durable jobs, priorities, retries, and a rate limit shared by all workers."""

import asyncio
import base64
import json
import os
import re
import sys
from pathlib import Path

from google import genai
from google.genai import types
from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from psycopg_pool import AsyncConnectionPool

LIMITS = json.loads(os.environ["RACE_RPM"])
RESERVED = float(os.environ["RACE_RESERVED"])
PRIORITIES = {"interactive": 100, "normal": 0, "bulk": -100}
ATTEMPTS = 10
SICK_CALLS_BEFORE_FALLBACK = 2
SCHEMA = """
    create table if not exists starts (lane text, at timestamptz);
    create index if not exists by_lane on starts (lane, at desc)
"""
TAKE = """
    insert into starts select %(lane)s, greatest(clock_timestamp(), coalesce((
        select at from starts where lane = %(lane)s order by at desc offset %(limit)s - 1 limit 1
    ) + interval '60.5 seconds', clock_timestamp())) returning extract(epoch from at - clock_timestamp())::float
"""
images = Path(os.environ["RACE_IMAGES"])
database = os.environ["DATABASE_URL"]
app = App(connector=PsycopgConnector(conninfo=database))
pool = AsyncConnectionPool(database, open=False)
options = types.HttpOptions(
    base_url=os.environ["RACE_PROVIDER"], retry_options=types.HttpRetryOptions(attempts=1), timeout=300_000
)
client = genai.Client(http_options=options)


class Permanent(Exception):
    """Another attempt would end like this one."""


class Retry(BaseRetryStrategy):
    def get_retry_decision(self, *, exception, job):
        if isinstance(exception, (Permanent, TypeError, KeyError)) or job.attempts >= ATTEMPTS:
            return None
        delay = re.search(r"retry in ([\d.]+)s", str(exception))
        return RetryDecision(retry_in={"seconds": float(delay.group(1)) if delay else 2**job.attempts})


async def slot(model, priority):
    """Reserve the next start that the limit has room for, in any window of a minute, and wait for it."""
    if model not in LIMITS:
        return
    first = priority == "interactive" and RESERVED
    limit = round(LIMITS[model] * (RESERVED if first else 1 - RESERVED))
    lane = f"{model}:interactive" if first else model
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtext(%s))", [lane])
        row = await (await connection.execute(TAKE, {"lane": lane, "limit": limit})).fetchone()
    await asyncio.sleep(max(0, row[0]))


@app.task(name="render", retry=Retry())
async def render(message):
    image = images / f"{message['request_id']}.jpg"
    if image.exists():
        return
    answer = await call(message)
    if answer.output_image is None:
        raise Permanent("the answer has no image")
    part = image.with_suffix(".part")
    part.write_bytes(base64.b64decode(answer.output_image.data))
    part.rename(image)


async def call(message):
    sick_calls = 0
    while True:
        use_fallback = message["fallback"] and sick_calls >= SICK_CALLS_BEFORE_FALLBACK
        model = message["fallback"] if use_fallback else message["model"]
        await slot(model, message["priority"])
        try:
            return await client.aio.interactions.create(
                model=model,
                input=message["prompt"],
                response_format={"type": "image", "image_size": message["image_size"]},
            )
        except Exception as error:
            status = getattr(error, "status_code", None) or 0
            if status in (400, 403, 404):
                raise Permanent(f"refused with {status}") from error
            sick_calls += 1
            if status < 500 or use_fallback or not message["fallback"]:
                raise


@app.periodic(cron="* * * * * */5")
@app.task(name="retry_stalled", queue="upkeep", pass_context=True)
async def retry_stalled(context, timestamp):
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=6):
        await app.job_manager.retry_job(job)


async def work():
    worker = {"update_heartbeat_interval": 2, "stalled_worker_timeout": 6, "fetch_job_polling_interval": 1}
    async with app.open_async(), pool, asyncio.TaskGroup() as group:
        for queues, concurrency in ((["interactive"], 20), (["normal", "bulk"], 200), (["upkeep"], 1)):
            group.create_task(app.run_worker_async(queues=queues, concurrency=concurrency, **worker))


async def prepare():
    async with app.open_async(), pool, pool.connection() as connection:
        await app.schema_manager.apply_schema_async()
        await connection.execute(SCHEMA)


async def publish():
    """The upstream app: one job for each line of standard input."""
    loop = asyncio.get_running_loop()
    async with app.open_async():
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            message = json.loads(line)
            kind = message.get("priority", "normal")
            task = app.configure_task("render", queue=kind, priority=PRIORITIES[kind])
            await task.defer_async(message=message)


if __name__ == "__main__":
    asyncio.run({"work": work, "prepare": prepare, "publish": publish}[sys.argv[1]]())
