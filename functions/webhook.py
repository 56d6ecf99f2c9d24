"""A webhook as an HTTP request by anyone: no more of it is read, and no more is answered, than the signature allows."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from functions.push import CALLER_LEFT, CRASHED, DELIVER_AGAIN, RETRY_LATER, worker_or_crash
from functions.unacknowledged import UnacknowledgedDelivery, crashed, deferred
from shared.core.validation.numbers import whole_number
from shared.ports.signatures import NotGenuine, SignaturesUnavailable

MOST_BYTES = 16_384
"""Longest body; the provider's have a few hundred bytes."""
BODY_WITHIN = timedelta(seconds=5)
TAKEN = 204
UNAUTHORIZED = 401
_CLOSING = {"connection": "close"}
"""The rest of a body is not read."""


class UnreadBody(Exception):
    """A body that is not read to its end, with the status that says so."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


async def answer(request: Request) -> Response:
    """204 when the event is passed on, or need not be; 401 without a reason; 503 when it has to be sent again."""
    from shared.flows.arrive import arrive as story

    if request.method != "POST":
        return Response(status_code=405, headers={"allow": "POST", **_CLOSING})
    headers = {name.lower(): value for name, value in request.headers.items()}
    delivery = UnacknowledgedDelivery("arrive", headers.get("webhook-id", "")[:100], None)
    worker = worker_or_crash(request, delivery)
    if isinstance(worker, Response):
        return Response(status_code=worker.status_code)  # and not a word of why
    ports = worker.ports
    try:
        async with worker.flights:
            if story.glance(ports, headers) is not None:
                return Response(status_code=UNAUTHORIZED, headers=_CLOSING)
            verdict = await story.arrive(ports, headers, await body_of(request))
    except UnreadBody as error:
        return Response(status_code=error.status, headers=_CLOSING)
    except (*RETRY_LATER, SignaturesUnavailable) as error:
        deferred(ports.signals, delivery, DELIVER_AGAIN, str(error))
        return Response(status_code=DELIVER_AGAIN)
    except Exception as error:  # noqa: BLE001 - anyone can call here: an error is logged, and not shown
        crashed(ports.signals, delivery, CRASHED, error)
        return Response(status_code=CRASHED)
    return Response(status_code=UNAUTHORIZED if isinstance(verdict, NotGenuine) else TAKEN)


async def body_of(request: Request) -> bytes:
    """Raises UnreadBody for one that is too large, too slow, or broken off."""
    stated = whole_number(request.headers.get("content-length", "0"))
    if stated is None or stated > MOST_BYTES:
        raise UnreadBody(413)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN.total_seconds()):
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_BYTES:
                    raise UnreadBody(413)
    except TimeoutError as error:
        raise UnreadBody(408) from error
    except ClientDisconnect as error:
        raise UnreadBody(CALLER_LEFT) from error
    return bytes(body)
