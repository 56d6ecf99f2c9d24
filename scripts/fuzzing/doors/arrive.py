"""Webhooks of the provider, as anybody can send them: signed, forged, without algorithm, at the wrong time, huge."""

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
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.wiring import Worker
from tests.fakes.webhook_sender import SecretSender, TokenSender, event
from tests.flows.arrive.test_arrive import SECRETS, TOKENS, Door

WAYS = ("token", "secret", "other token", "other secret", "none", "hmac with the public key", "nothing", "rubbish")
GENUINE = ("token", "secret")
SKEWS = (0, 0, 0, 1, -1, 299, 301, -299, -301, 86_400, -86_400, 10**9, -(10**9))
"""Seconds by which the sender's clock is wrong."""
ANSWERS = (204, 400, 401, 405, 408, 413, 499)
CLAIMS = ("iss", "aud", "iat", "exp", "nbf", "data", "type", "sub", "jti", "body_sha256")
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature", "content-length", "content-type", "traceparent",
           "svix-id", "authorization")  # fmt: skip


class ArriveDoor:
    name = "arrive"

    def draw(self, random: Random) -> Input:
        body: Any = json.loads(event(random.choice(("v1_a", "batches/b-1", "x", "../x")), random.choice(KINDS)))
        if random.random() < 0.6:
            body = rubbish.changed(random, body, ("data", "type", "user_metadata", "id", "timestamp"))
        claims = {name: rubbish.value(random, 1) for name in CLAIMS if random.random() < 0.06}
        head = {"alg": random.choice(("none", "None", "HS256", "RS512", ""))} if random.random() < 0.1 else {}
        if random.random() < 0.05:
            head["kid"] = rubbish.value(random, 1)
        return {
            "way": random.choice((*WAYS, *GENUINE * 4)),
            "skew": random.choice(SKEWS),
            "body": rubbish.as_sent(random, body),
            "changed_after": random.random() < 0.1,
            "claims": claims,
            "head": head,
            "headers": {name: _header(random) for name in HEADERS if random.random() < 0.03},
            "method": random.choice(("POST",) * 14 + ("GET", "OPTIONS")),
            "ends": random.choice(("whole",) * 14 + ("gone",)),
        }

    def play(self, item: Input) -> Sequence[str]:
        return asyncio.run(_played(item))


KINDS = (
    "interaction.completed",
    "interaction.failed",
    "interaction.requires_action",
    "batch.succeeded",
    "webhook.ping",
)


async def _played(item: Input) -> list[str]:
    door = Door()
    body = bytes_of(item["body"])
    headers = _signed(door, item, body) | item["headers"]
    sent = body + b" " if item["changed_after"] else body
    worker = Worker.of(door.ports)
    answers = [await asgi.call(worker, "arrive", [sent], headers, item["method"], ends=item["ends"]) for _ in range(2)]
    signals = door.world.signals
    problems = [f"answered {answer.status}" for answer in answers if answer.status not in ANSWERS]
    problems += [f"said {answer.body[:60]!r}" for answer in answers if answer.body]
    problems += invariants.crashes(signals)
    problems += invariants.leaks(signals, (invariants.PROMPT, SECRETS.secret))
    published = len(door.world.topics.on(RENDER_ARRIVALS))
    if published > 1:
        problems.append(f"one webhook was published {published} times")
    if published and not _is_genuine(item):
        problems.append(f"a webhook signed by {item['way']} was taken ({item['skew']} s off)")
    if any(answer.status == 401 and answer.read > len(body) + 1 for answer in answers):
        problems.append("more was read than was sent")
    if item["way"] in ("nothing",) and any(answer.read for answer in answers) and not item["headers"]:
        problems.append("a body without a signature was read")
    return problems


def _is_genuine(item: Input) -> bool:
    """It may be taken: signed by the provider's own key, about this body, now."""
    if item["way"] not in GENUINE or abs(item["skew"]) > 300:
        return False
    if item["way"] == "secret":  # signs the body, its id and its time
        return not item["changed_after"] and _same(item)
    return bool(item["head"].get("alg", "RS256") == "RS256")


def _same(item: Input) -> bool:
    """The headers are those that were signed."""
    return not {"webhook-id", "webhook-timestamp"} & {*item["headers"]}


def _signed(door: Door, item: Input, body: bytes) -> dict[str, str]:
    at = door.world.clock.now() + timedelta(seconds=item["skew"])
    match item["way"]:
        case "token":
            return _token_headers(TOKENS, item, body, at)
        case "other token":
            return _token_headers(TokenSender(2), item, body, at)
        case "secret":
            return SECRETS.headers(body, at)
        case "other secret":
            return SecretSender(b"another key of 24 bytes!").headers(body, at)
        case "none":
            head, claims = _part({"alg": "none", "kid": TOKENS.kid}), _part({"aud": "x", "iss": "x"})
            return _headers(f"{head}.{claims}.", at)
        case "hmac with the public key":
            sender = SecretSender(TOKENS.key_set())
            return sender.headers(body, at)
        case "rubbish":
            return _headers("v1," + item["body"][:200], at)
        case _:
            return {}


def _token_headers(sender: TokenSender, item: Input, body: bytes, at: Any) -> dict[str, str]:
    headers = sender.headers(body, at)
    if not item["claims"] and not item["head"]:
        return headers
    claims = json.loads(base64.urlsafe_b64decode(headers["webhook-signature"].split(".")[1] + "=="))
    return headers | {"webhook-signature": sender.token(claims | item["claims"], **item["head"])}


def _headers(signature: str, at: Any) -> dict[str, str]:
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _header(random: Random) -> str:
    return random.choice((rubbish.text(random), "v1," * 3_000, "a.b.c", "....", "9" * 400, "-1", "1e9"))
