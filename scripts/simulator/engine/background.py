"""Background interactions: begun by a call that is answered at once, worked on by the provider alone, told of by GET.

What a client does after the create's answer, dying included, changes nothing here: what was made is on the bill once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from scripts.simulator.engine.making import input_usage, make, price
from scripts.simulator.formats import fault_replies, interactions, webhooks
from scripts.simulator.formats.reply import Reply, WrittenAnswer, json_answer
from scripts.simulator.provider.accepted_request import AcceptedRequest, Headline
from scripts.simulator.provider.bill import RecordedCall
from scripts.simulator.provider.faults import Fault, FaultVerdict
from scripts.simulator.provider.problems import ApiProblem, RequestRefused
from scripts.simulator.provider.rendered import RenderedImage
from scripts.simulator.provider.tokens import NOTHING, TokenUsage

if TYPE_CHECKING:
    from scripts.simulator.engine.simulation import Simulation

_KEPT = 2_000
"""Interactions that have ended, until they are deleted; the oldest go first. Google keeps them for 55 days."""
_LOST = ("hang", "reset", "proxy_timeout")
"""The create is not answered, made or not."""

Leave = Callable[[int], None]
"""The model's quota is told that the call is over, and what it cost in micro-dollars."""


class InteractionEnd(Struct, frozen=True):
    """What became of an interaction, for its record, its line of the bill and its event."""

    status: str
    outcome: str
    body: dict[str, Any] | None = None
    """What GET tells. None: of `made`, whose picture is encoded at each look."""
    made: RenderedImage | None = None
    problem: ApiProblem | None = None
    usage: TokenUsage = NOTHING
    charged: bool = False


class Background(Struct):
    """One interaction, from its create to its deletion."""

    id: str
    call: RecordedCall
    ask: AcceptedRequest
    headline: Headline
    verdict: FaultVerdict
    leave: Leave
    work: asyncio.Task[None] | None = None
    cancelling: asyncio.Task[None] | None = None
    end: InteractionEnd | None = None


class Backgrounds:
    """The background interactions of one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._by_id: OrderedDict[str, Background] = OrderedDict()

    async def begin(
        self, call: RecordedCall, ask: AcceptedRequest, headline: Headline, verdict: FaultVerdict, leave: Leave
    ) -> Reply:
        """The answer to the create. The work goes on in a task of its own, which tells `leave` when it is over."""
        simulation, fault = self._simulation, verdict.fault
        if not simulation.takes_background or (fault is not None and fault.kind == "background_unsupported"):
            message = f"Parameter 'background' is not supported for model {ask.model.id}."
            raise RequestRefused(ApiProblem("invalid_request", fault.message or message if fault else message))
        if fault is not None and fault.kind in ("overload", "shed", "internal"):
            raise RequestRefused(fault_replies.problem(fault))
        if fault is not None and fault.kind in _LOST and not fault.charged:
            leave(0)
            self._close(call, InteractionEnd("failed", fault.kind), None)
            return fault_replies.without_answer(fault)
        record = Background(f"v1_{simulation.call_id(call.number)}", call, ask, headline, verdict, leave)
        self._by_id[record.id] = record
        lost = fault is not None and fault.kind in _LOST
        simulation.ledger.update(replace(call, status=None if lost else 200, outcome="in_progress", tier=ask.tier))
        record.work = asyncio.create_task(self._work(record))
        if fault is not None and fault.kind == "answer_late":
            await asyncio.wait([record.work])
            await simulation.webhooks.settled()
        if fault is not None and fault.kind in _LOST:
            return fault_replies.without_answer(fault)
        pending = interactions.pending(record.id, ask, call.received_at)
        headers = {interactions.SERVED_TIER_HEADER: ask.tier}
        return fault_replies.bend(json_answer(200, pending, headers), fault)

    def has(self, interaction_id: str) -> bool:
        return interaction_id in self._by_id

    def headline(self, interaction_id: str) -> Headline:
        """Of the call that began it; an empty one where there is none."""
        record = self._by_id.get(interaction_id)
        return record.headline if record is not None else Headline()

    def look(self, interaction_id: str) -> WrittenAnswer:
        """The answer to GET. Raises RequestRefused."""
        record = self._find(interaction_id)
        end = record.end
        if end is None:
            return json_answer(200, interactions.pending(record.id, record.ask, record.call.received_at))
        if end.made is not None:
            return interactions.made_answer(end.made)
        return WrittenAnswer(200, msgspec.json.encode(end.body))

    def cancel(self, interaction_id: str) -> WrittenAnswer:
        """Begins it: GET tells of it a moment later, and what ends before that has ended as it did.

        Raises RequestRefused.
        """
        record = self._find(interaction_id)
        if record.end is not None:
            message = f"Interaction '{interaction_id}' has ended ({record.end.status}) and cannot be cancelled."
            raise RequestRefused(ApiProblem("failed_precondition", message))
        if record.cancelling is None:
            record.cancelling = asyncio.create_task(self._cancel(record))
        return self.look(interaction_id)

    def delete(self, interaction_id: str) -> WrittenAnswer:
        """Removes the record. What still runs is made, and charged, for nobody. Raises RequestRefused."""
        self._find(interaction_id)
        del self._by_id[interaction_id]
        return json_answer(200, {})

    def counts(self) -> dict[str, int]:
        """How many there are, by whether they have ended; `announcing`: ended, and their webhook is under way."""
        ended = {name for name, record in self._by_id.items() if record.end is not None}
        announcing = ended & self._simulation.webhooks.under_way
        return {"in_progress": len(self._by_id) - len(ended), "ended": len(ended), "announcing": len(announcing)}

    def stop(self) -> None:
        for record in self._by_id.values():
            for task in (record.work, record.cancelling):
                if task is not None:
                    task.cancel()
        self._by_id.clear()

    def _find(self, interaction_id: str) -> Background:
        record = self._by_id.get(interaction_id)
        if record is None:
            raise RequestRefused(ApiProblem("not_found", f"Interaction '{interaction_id}' is not found."))
        return record

    async def _work(self, record: Background) -> None:
        simulation, ask, fault = self._simulation, record.ask, record.verdict.fault
        seconds = record.verdict.extra_seconds + simulation.latency.draw(ask.model.id, simulation.chance)
        if seconds > 0:
            await simulation.sleep(seconds)
        match fault:
            case Fault(kind="never"):
                return
            case Fault(kind="deadline"):
                self._end(record, self._pictureless(record, "failed", fault_replies.problem(fault), fault.kind))
            case Fault(kind="ended"):
                self._end(record, self._scripted(record, fault))
            case _:
                self._end(record, await self._made(record, fault))

    async def _made(self, record: Background, fault: Fault | None) -> InteractionEnd:
        made, outcome = await make(self._simulation, record.call, record.ask, fault)
        if made.no_image is not None and made.no_image.form == "http_400":
            # The create was answered long ago: what a call in the foreground is refused with is an end here.
            made = replace(made, no_image=replace(made.no_image, form="failed"))
        problem = ApiProblem(made.no_image.code, made.no_image.message) if made.no_image is not None else None
        return InteractionEnd(
            status=interactions.status_of(made),
            outcome=outcome,
            made=made,
            problem=problem,
            usage=made.usage if made.usage is not None else NOTHING,
            charged=made.usage is not None and (fault is None or fault.charged is not False),
        )

    def _scripted(self, record: Background, fault: Fault) -> InteractionEnd:
        code = fault.code or "api_error"
        problem = ApiProblem(code, fault.message or "The interaction could not be completed.")
        status = fault.status or "failed"
        return self._pictureless(
            record, status, problem if status == "failed" else None, fault.kind, charged=bool(fault.charged)
        )

    def _pictureless(
        self, record: Background, status: str, problem: ApiProblem | None, outcome: str, *, charged: bool = False
    ) -> InteractionEnd:
        """`charged`: the picture was made all along, and its tokens are told and billed."""
        ask = record.ask
        usage = NOTHING
        if charged:
            usage = replace(input_usage(ask.model, ask), image_out=ask.model.image_tokens[ask.size])
        times: tuple[datetime, datetime] = (record.call.received_at, self._simulation.now())
        body = interactions.ended(record.id, ask, times, status, problem, usage)
        return InteractionEnd(status, outcome, body, None, problem, usage, charged)

    async def _cancel(self, record: Background) -> None:
        await self._simulation.sleep(self._simulation.cancel_seconds)
        if record.end is not None:
            return
        if record.work is not None:
            record.work.cancel()
        fault = record.verdict.fault
        billed = fault is not None and fault.kind == "cancel_billed"
        self._end(record, self._pictureless(record, "cancelled", None, "cancelled", charged=billed))

    def _end(self, record: Background, end: InteractionEnd) -> None:
        record.end = end
        record.leave(self._close(record.call, end, record.ask))
        event = webhooks.event_of_status(end.status)
        if event is not None:
            data = webhooks.data(record.id, end.problem)
            self._simulation.webhooks.emit(event, record.id, data, record.ask.webhook, record.headline)
        if len(self._by_id) > _KEPT:
            oldest = next(kept.id for kept in self._by_id.values() if kept.end is not None)
            del self._by_id[oldest]

    def _close(self, call: RecordedCall, end: InteractionEnd, ask: AcceptedRequest | None) -> int:
        """The call's line of the bill, and what it cost."""
        simulation = self._simulation
        line = replace(simulation.ledger.current(call), finished_at=simulation.now(), outcome=end.outcome)
        if ask is not None:
            model = end.made.model if end.made is not None else ask.model
            tier = end.made.tier if end.made is not None else ask.tier
            cost = price(simulation, model, tier, end.usage) if end.charged else 0
            line = replace(
                line, served_model=model.id, tier=tier, usage=end.usage, charged=end.charged, cost_micros=cost
            )
        simulation.ledger.update(line)
        return line.cost_micros
