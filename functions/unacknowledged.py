"""What is logged when a delivery is not acknowledged: Pub/Sub throws the answer's body away."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping

from msgspec import Struct

from shared.core.observability import events
from shared.core.values.trace_context import Place, caller_of
from shared.flows.requests.item_by_item import reason_of
from shared.flows.requests.message import Message
from shared.ports.telemetry import Signals

MOST_FRAMES = 40
"""Stack frames per error: the innermost ones."""
MOST_CAUSES = 5
LONGEST_CAUSE = 500


class UnacknowledgedDelivery(Struct, frozen=True):
    """What a log line says about one delivery; `message_id` None if there was no message, as with watch."""

    function: str
    message_id: str | None = None
    attempt: int | None = None
    trace_id: str | None = None

    def of(self, message: Message) -> UnacknowledgedDelivery:
        """The message's own trace is the request's; the caller's would be Pub/Sub's."""
        caller = caller_of(message.attributes)
        trace_id = caller.trace_id if caller else self.trace_id
        return UnacknowledgedDelivery(self.function, message.id, message.delivery_attempt, trace_id)

    def fields(self) -> dict[str, object]:
        fields: dict[str, object] = {
            "function": self.function,
            "message_id": self.message_id,
            "delivery_attempt": self.attempt,
        }
        return fields if self.trace_id is None else {**fields, "trace_id": self.trace_id}


def delivery_of(function: str, headers: Mapping[str, str]) -> UnacknowledgedDelivery:
    """Before the message is read."""
    caller = Place.parse(headers.get("traceparent", ""))
    return UnacknowledgedDelivery(function, trace_id=caller.trace_id if caller else None)


def deferred(signals: Signals, delivery: UnacknowledgedDelivery, status: int, cause: str) -> None:
    signals.emit(events.DELIVERY_DEFERRED, **delivery.fields(), http_status=status, cause=cause[:LONGEST_CAUSE])


def crashed(signals: Signals, delivery: UnacknowledgedDelivery, status: int, error: BaseException) -> None:
    signals.emit(
        events.DELIVERY_CRASHED,
        **delivery.fields(),
        http_status=status,
        cause=_reason(error),
        stack_trace=stack_trace(error),
    )


def stack_trace(error: BaseException) -> str:
    """As Python prints it and Error Reporting reads it, without error messages that may quote a prompt."""
    texts = []
    for link in [*_chain(error)][:MOST_CAUSES]:
        frames = "".join(traceback.format_tb(link.__traceback__, limit=-MOST_FRAMES))
        texts.append(f"Traceback (most recent call last):\n{frames}{_reason(link)}")
    return "\n\nThe above exception led to the following one:\n\n".join(reversed(texts))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then what caused it, and so on."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _reason(error: BaseException) -> str:
    return reason_of(error) if isinstance(error, Exception) else type(error).__name__
