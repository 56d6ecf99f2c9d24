"""The push of every function: what Pub/Sub would never send, and messages of the inner topics that are rubbish."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

from scripts.fuzzing import asgi, invariants, rubbish
from scripts.fuzzing.door import Input, bytes_of
from scripts.fuzzing.doors.request import VALID
from shared.core.messages.pubsub_messages import Arrival, BatchArrival, Kick, ReleaseMessage
from shared.core.messages.topics import DEAD_LETTER_SOURCE, SUBSCRIPTIONS
from shared.wiring import Worker
from tests.chaos.chaos_world import ChaosWorld
from tests.chaos.reader import Reader

FUNCTIONS = ("intake", "pump", "render", "collect", "watch", "bury", "deliver")
ANSWERS = (204, 400, 499, 503)
"""What a push may be answered with: 400 and 503 come again, and stand in the log."""
MESSAGES: Sequence[bytes] = (
    ReleaseMessage("r-1", 1).to_bytes(), ReleaseMessage("web~r-1", 7).to_bytes(),
    Arrival("v1_r-1_1", "r-1", 1).to_bytes(), Arrival("v1_r-1_1").to_bytes(), BatchArrival("batches/1").to_bytes(),
    Kick(frozenset({"gemini-3-pro-image/normal"})).to_bytes(), Kick().to_bytes(), b'{"delivery": "x"}',
    b'{"request_id": "r-1", "status": "succeeded", "tenant": "default", "finished_at": "2026-11-22T18:00:00Z"}',
    b'{"request_id": "r-1", "status": "rejected"}', *(json.dumps(message).encode() for message in VALID),
)  # fmt: skip
NAMES = ("request_id", "release", "interaction_id", "attempt", "batch", "queues", "delivery", "status", "tenant",
         "finished_at", "message", "received_at")  # fmt: skip
HEADERS = ("traceparent", "ce-id", "ce-source", "ce-type", "content-type", "content-length", "content-encoding",
           "x-forwarded-for", "host", "user-agent")  # fmt: skip
ATTRIBUTES = (DEAD_LETTER_SOURCE, "traceparent", "googclient_traceparent", "revives", "received_at", "x" * 3_000)


class PushDoor:
    name = "push"

    def draw(self, random: Random) -> Input:
        function = random.choice(FUNCTIONS)
        message: Any = json.loads(random.choice(MESSAGES))
        if random.random() < 0.8:
            message = rubbish.changed(random, message, NAMES)
        attributes = {name: rubbish.text(random) for name in ATTRIBUTES if random.random() < 0.2}
        if function == "bury" or random.random() < 0.1:
            attributes[DEAD_LETTER_SOURCE] = random.choice([row.name for row in SUBSCRIPTIONS])
        data = base64.b64encode(rubbish.written(random, message).replace(b"@DEEP", b"[" * 100_000)).decode()
        envelope: Any = {
            "message": {
                "data": data, "messageId": random.choice(("1", "a/b", "x" * 2_000, "m-1")), "attributes": attributes,
                "publishTime": "2026-11-22T18:00:00Z",
            },
            "subscription": f"projects/p/subscriptions/{random.choice(SUBSCRIPTIONS).name}", "deliveryAttempt": 1,
        }  # fmt: skip
        body = json.dumps(envelope)
        if random.random() < 0.4:
            body = rubbish.as_sent(random, rubbish.changed(random, envelope, ("message", "message_id", "data")))
        headers = {name: rubbish.text(random) for name in HEADERS if random.random() < 0.1}
        return {
            "function": function,
            "body": body,
            "headers": headers,
            "method": random.choice(("POST",) * 9 + ("GET", "PUT", "HEAD", "BREW")),
            "ends": random.choice(("whole",) * 12 + ("gone",)),
        }

    def play(self, item: Input) -> Sequence[str]:
        return asyncio.run(_played(item))


async def _played(item: Input) -> list[str]:
    world = ChaosWorld()
    await world.submit("r-1", prompt=f"a {invariants.PROMPT}")
    await world.run_until_quiet()
    reader, calls, requests = Reader(world), len(world.lane.calls), len(world.store.all("requests"))
    before = {row.id for name in ("rejected", "cancels") for row in world.store.all(name)}
    signals = len(world.signals.emitted)
    body = bytes_of(item["body"]) if item["body"].isascii() else item["body"].encode("latin-1", "replace")
    answered = await world.run(
        asgi.call(Worker.of(world.ports), item["function"], [body], item["headers"], item["method"], ends=item["ends"])
    )
    problems = []
    if answered.status not in ANSWERS:
        problems.append(f"{item['function']} answered {answered.status}")
    new = world.signals.emitted[signals:]
    if answered.status in (400, 503) and not any(signal in invariants.REPORTED for signal, _ in new):
        problems.append(f"{item['function']} answered {answered.status} and logged nothing")
    if answered.status == 503:
        problems.append(f"{item['function']} has it delivered again, though nothing is away")
    problems += [f"{item['function']} {crash}" for crash in invariants.crashes(world.signals)]
    problems += invariants.in_answer(answered.body, (invariants.KEY, invariants.PROMPT))
    await world.run_until_quiet(timedelta(days=40))
    if item["function"] == "intake" and answered.status == 204:
        ended = {row.id for name in ("rejected", "cancels") for row in world.store.all(name)}
        repeated = len(world.results()) > 1
        if ended == before and len(world.store.all("requests")) == requests and not repeated:
            problems.append("intake acknowledged a message that is on record nowhere")
    if item["function"] not in ("intake", "bury") and len(world.lane.calls) != calls:
        problems.append(f"{item['function']} made a call")
    problems += [f"raised {error!r}" for error in (*world.crashes, *world.watch_crashes)]
    problems += invariants.leaks(world.signals)
    try:
        reader.at_the_end()
    except AssertionError as error:
        problems.append(f"the books: {error}")
    return problems
