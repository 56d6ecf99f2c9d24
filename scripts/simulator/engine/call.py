"""The story of one call for a picture, whichever API it came by.

The door (key, script, model, quota), the request itself, the wait, the model's answer, the bill. What fails at the door
uses no quota; what fails later does, as documented: failures are not charged but count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from scripts.simulator.engine.making import input_usage, make, price
from scripts.simulator.engine.simulation import InteractionState, Simulation
from scripts.simulator.formats import fault_replies
from scripts.simulator.formats.credential import check_key
from scripts.simulator.formats.reply import Cut, Hang, Reply, Reset, WrittenAnswer
from scripts.simulator.provider import quota_problems, tokens
from scripts.simulator.provider.accepted_request import AcceptedRequest, Headline, PictureOrder, accept
from scripts.simulator.provider.bill import Api, RecordedCall
from scripts.simulator.provider.faults import GATE_KINDS, SICK_KINDS, Fault, FaultVerdict
from scripts.simulator.provider.models import VERTEX, ImageModel
from scripts.simulator.provider.parameters import Parameters
from scripts.simulator.provider.problems import ApiProblem, RequestRefused, model_not_found
from scripts.simulator.provider.quota_windows import ModelQuota, QuotaRejection
from scripts.simulator.provider.rendered import RenderedImage
from scripts.simulator.provider.tokens import NOTHING, TokenUsage


class ReceivedCall(Protocol):
    """One call in the words of its API."""

    @property
    def api(self) -> Api: ...
    @property
    def key(self) -> str: ...
    def headline(self) -> Headline:
        """Of any body, however malformed."""

    def check_body(self) -> None:
        """Refused when there is nothing in it to look up a model by."""

    def order(self) -> PictureOrder:
        """Or Refused."""

    def problem_answer(self, problem: ApiProblem) -> WrittenAnswer: ...
    def made_answer(self, made: RenderedImage) -> WrittenAnswer: ...


class SettledCall(Struct, frozen=True):
    """How a call ended, for its line in the ledger."""

    reply: Reply
    outcome: str
    usage: TokenUsage = NOTHING
    charged: bool = False
    served_model: str = ""
    tier: str = ""
    cost_micros: int = 0
    parameters: Parameters = Parameters()


class Begun(Struct, frozen=True):
    """A background call: its line in the ledger is closed by what becomes of it."""

    reply: Reply


async def take(simulation: Simulation, request: ReceivedCall, client_left: Callable[[], bool]) -> Reply:
    headline = request.headline()
    call = replace(
        simulation.ledger.open(simulation.now(), request.api),
        model=headline.model,
        size=headline.size,
        ratio=headline.ratio,
        tier=headline.tier,
        prompt_sha256=headline.prompt_sha256,
        marker=headline.marker,
    )
    simulation.ledger.update(call)
    verdict = simulation.faults.judge(request.api, headline, now=simulation.monotonic())
    settled: SettledCall | Begun
    try:
        model, quota = _enter(simulation, request, headline, verdict)
        settled = await _serve(simulation, request, call, model, quota, headline, verdict)
    except RequestRefused as refused:
        settled = _failed(request, refused.problem)
    if isinstance(settled, Begun):
        return settled.reply
    simulation.ledger.update(
        replace(
            call,
            finished_at=simulation.now(),
            served_model=settled.served_model,
            tier=settled.tier or call.tier,
            status=_status(settled.reply),
            outcome=settled.outcome,
            client_disconnected=isinstance(settled.reply, Hang) or client_left(),
            parameters=settled.parameters,
            usage=settled.usage,
            charged=settled.charged,
            cost_micros=settled.cost_micros,
        )
    )
    return settled.reply


def _enter(
    simulation: Simulation, request: ReceivedCall, headline: Headline, verdict: FaultVerdict
) -> tuple[ImageModel, ModelQuota]:
    """Past the door, or Refused. A call past it is in flight."""
    check_key(request.key)
    fault = verdict.fault
    if fault is not None and fault.kind in GATE_KINDS:
        raise RequestRefused(fault_replies.gate_problem(fault, headline))
    request.check_body()
    tariff = simulation.tariff
    if tariff is not None and not tariff.can_pay(headline.model):
        raise RequestRefused(
            ApiProblem("insufficient_user_quota", "The balance of this account is used up. Please recharge.")
        )
    model = simulation.models.served(headline.model)
    if model is None:
        raise RequestRefused(model_not_found(headline.model))
    pool = pool_of(request.api, model.id)
    quota = simulation.quota_of(pool)
    text, images = tokens.of_input(model, headline.prompt, headline.references)
    admission = quota.admit(simulation.limits.limits(pool), simulation.moment(), images=1, input_tokens=text + images)
    if isinstance(admission, QuotaRejection):
        raise RequestRefused(quota_problems.from_rejection(admission, model.id))
    return model, quota


def pool_of(api: Api, model_id: str) -> str:
    """What a call's quota is counted under, as RENDERLANE_QUOTA would name it: Vertex shares none with the other API,
    and its capacity has no limit of a project unless one is set for `vertex:MODEL`.
    """
    return f"{VERTEX}:{model_id}" if api == VERTEX else model_id


async def _serve(
    simulation: Simulation,
    request: ReceivedCall,
    call: RecordedCall,
    model: ImageModel,
    quota: ModelQuota,
    headline: Headline,
    verdict: FaultVerdict,
) -> SettledCall | Begun:
    settled: SettledCall | Begun | None = None
    try:
        ask = await accept(request.order(), model, simulation.models, simulation.painter, simulation.web)
        call = replace(call, parameters=ask.parameters)
        if ask.background:
            settled = Begun(await simulation.backgrounds.begin(call, ask, headline, verdict, leave(simulation, quota)))
        else:
            settled = replace(await _work(simulation, request, call, ask, verdict), parameters=ask.parameters)
    except RequestRefused as refused:
        settled = _failed(request, refused.problem)
    finally:
        if not isinstance(settled, Begun):
            leave(simulation, quota)(settled.cost_micros if settled is not None else 0)
    return settled


def leave(simulation: Simulation, quota: ModelQuota) -> Callable[[int], None]:
    """Tells the quota that a call is over."""
    return lambda spent_micros: quota.leave(simulation.moment(), spent_micros=spent_micros)


async def _work(
    simulation: Simulation, request: ReceivedCall, call: RecordedCall, ask: AcceptedRequest, verdict: FaultVerdict
) -> SettledCall:
    fault = verdict.fault
    at_once = fault is not None and fault.kind in ("overload", "shed", "internal", "reset", "hang")
    seconds = verdict.extra_seconds + (0.0 if at_once else simulation.latency.draw(ask.model.id, simulation.chance))
    if seconds > 0:
        await simulation.sleep(seconds)
    if fault is not None and fault.kind in SICK_KINDS:
        return _sick(simulation, request, ask, fault)
    made, outcome = await make(simulation, call, ask, fault)
    if made.no_image is not None and made.no_image.form == "http_400":
        return _failed(request, ApiProblem(made.no_image.code, made.no_image.message, status=400))
    answer = request.made_answer(made)
    if ask.store and request.api == "interactions":
        simulation.store(made.id, InteractionState(ask.prompt, answer.body))
    answered = made.usage is not None or simulation.tariff is not None  # a gateway charges each answer
    charged = answered and (fault is None or fault.charged is not False)
    usage = made.usage if made.usage is not None else NOTHING
    return SettledCall(
        reply=fault_replies.bend(answer, fault),
        outcome=outcome,
        usage=usage,
        charged=charged,
        served_model=made.model.id,
        tier=made.tier,
        cost_micros=price(simulation, made.model, made.tier, usage) if charged else 0,
    )


def _sick(simulation: Simulation, request: ReceivedCall, ask: AcceptedRequest, fault: Fault) -> SettledCall:
    if fault.kind not in ("hang", "reset", "proxy_timeout"):
        return _failed(request, fault_replies.problem(fault))
    reply: Reply = fault_replies.without_answer(fault)
    if not fault.charged:
        return SettledCall(reply, fault.kind)
    usage = replace(input_usage(ask.model, ask), image_out=ask.model.image_tokens[ask.size])
    return SettledCall(
        reply=reply,
        outcome=fault.kind,
        usage=usage,
        charged=True,
        served_model=ask.model.id,
        tier=ask.tier,
        cost_micros=price(simulation, ask.model, ask.tier, usage),
    )


def _failed(request: ReceivedCall, problem: ApiProblem) -> SettledCall:
    return SettledCall(request.problem_answer(problem), problem.code)


def _status(reply: Reply) -> int | None:
    match reply:
        case WrittenAnswer():
            return reply.status
        case Cut(answer):
            return answer.status
        case Hang() | Reset():
            return None
