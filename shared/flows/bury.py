"""A dead letter is a delivery that kept crashing: look at what it was about, and see to that."""

from __future__ import annotations

from shared.core import record, signals
from shared.core.documents import Document
from shared.core.messages import BadMessage, Release
from shared.core.topology import DEAD_LETTER_SOURCE, SUBSCRIPTIONS
from shared.flows.evidence import Evidence
from shared.flows.fair_tags import FairTags
from shared.flows.intake import take_in
from shared.flows.kicks import Kicks
from shared.flows.message import Message
from shared.flows.render import render
from shared.ports import Ports

RUNBOOK = "dead-letter"


async def bury(ports: Ports, kicks: Kicks, tags: FairTags, evidence: Evidence, message: Message) -> None:
    """A delivery can also die of a full fleet: the message's own flow gets its work again, and decides by the store.

    The store counts crashed attempts and ends a request after five; a dead letter by itself ends nothing.
    """
    source = message.attributes.get(DEAD_LETTER_SOURCE, "").rpartition("/")[2]
    function = next((each.function for each in SUBSCRIPTIONS if each.name == source), None)
    match function:
        case "intake":
            ports.signals.emit(
                signals.ESCALATION, what="a request message kept crashing intake", request_id=None, runbook=RUNBOOK
            )
            await take_in(ports, kicks, tags, message)
        case "render":
            await _after_render(ports, kicks, evidence, message)
        case _:
            raise BadMessage(f"a dead letter of {source or 'an unnamed subscription'}")


async def _after_render(ports: Ports, kicks: Kicks, evidence: Evidence, message: Message) -> None:
    release = Release.parse(message.data)
    request = await ports.store.get(record.path(release.request_id))
    known = {"trace_id": request.data["trace_id"]} if isinstance(request, Document) else {}
    ports.signals.emit(
        signals.ESCALATION, what="a release kept crashing render", request_id=release.request_id, runbook=RUNBOOK,
        **known,
    )  # fmt: skip
    if isinstance(request, Document) and request.data["status"] == "released":
        await kicks.kick()  # the pump takes it back to the front: unclaimed since its slot
        return
    await render(ports, kicks, evidence, message)
