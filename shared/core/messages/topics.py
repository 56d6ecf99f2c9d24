"""The topics, and which function each subscription feeds. Terraform and the local broker read the same table."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias

from msgspec import Struct

RENDER_REQUESTS = "render-requests"
RENDER_RELEASES = "render-releases"
RENDER_ARRIVALS = "render-arrivals"
RENDER_RESULTS = "render-results"
PUMP_KICKS = "pump-kicks"
RENDER_DEAD_LETTERS = "render-dead-letters"
WEBHOOK_DELIVERIES = "webhook-deliveries"

TOPICS = (
    RENDER_REQUESTS, RENDER_RELEASES, RENDER_ARRIVALS, RENDER_RESULTS, PUMP_KICKS, RENDER_DEAD_LETTERS,
    WEBHOOK_DELIVERIES,
)  # fmt: skip

DEAD_LETTER_SOURCE = "CloudPubSubDeadLetterSourceSubscription"
"""The attribute that Pub/Sub puts on a dead letter: the name of the subscription that gave up on it."""

FunctionName: TypeAlias = Literal["intake", "pump", "render", "collect", "bury", "deliver"]


class Subscription(Struct, frozen=True):
    """One push subscription. A delivery not answered within `ack_deadline` is repeated."""

    name: str
    topic: str
    function: FunctionName
    ack_deadline: timedelta
    """10-600 s; also the time limit of the push request (Pub/Sub documentation)."""
    max_deliveries: int
    """Deliveries before the message moves to `render-dead-letters` (5-100); 0 = never."""
    minimum_backoff: timedelta = timedelta(seconds=1)
    maximum_backoff: timedelta = timedelta(seconds=60)


MOST_DELIVERIES = 20
"""With the back-off below, two and a half hours: Pub/Sub counts 503 answers and Cloud Run's own 429 alike, and an
outage of the store must not turn messages under way into dead letters."""
PATIENT = {"minimum_backoff": timedelta(seconds=10), "maximum_backoff": timedelta(seconds=600)}
"""Each failed delivery also slows the push of the whole subscription (docs/deployment.md). A kick is soon outdated and
is repeated each minute, so its back-off stays short."""

SUBSCRIPTIONS = (
    Subscription(
        "render-requests-intake", RENDER_REQUESTS, "intake", timedelta(seconds=60), MOST_DELIVERIES, **PATIENT
    ),
    Subscription("pump-kicks-pump", PUMP_KICKS, "pump", timedelta(seconds=600), max_deliveries=0),
    Subscription(
        "render-releases-render", RENDER_RELEASES, "render", timedelta(seconds=600), MOST_DELIVERIES, **PATIENT
    ),
    Subscription(
        "render-arrivals-collect", RENDER_ARRIVALS, "collect", timedelta(seconds=300), MOST_DELIVERIES, **PATIENT
    ),
    Subscription(
        "render-dead-letters-bury", RENDER_DEAD_LETTERS, "bury", timedelta(seconds=60), max_deliveries=0, **PATIENT
    ),
    Subscription(
        "render-results-deliver", RENDER_RESULTS, "deliver", timedelta(seconds=60), MOST_DELIVERIES, **PATIENT
    ),
    Subscription(
        "webhook-deliveries-deliver", WEBHOOK_DELIVERIES, "deliver", timedelta(seconds=60), MOST_DELIVERIES, **PATIENT
    ),
)


def subscription(name: str) -> Subscription:
    """The subscription of that name; KeyError if there is none."""
    return {item.name: item for item in SUBSCRIPTIONS}[name]
