"""The story of one call for a picture, whichever API it came by.

The door (key, script, model, quota), the request itself, the wait, the model's answer, the bill. What fails at the door
uses no quota; what fails later does, as documented: failures are not charged but count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from scripts.simulator.engine.simulation import Simulation, Stored
from scripts.simulator.formats import fault_replies
from scripts.simulator.formats.credential import check_key
from scripts.simulator.formats.reply import Answer, Cut, Hang, Reply, Reset
from scripts.simulator.provider import quota_problems, tokens
from scripts.simulator.provider.accepted_request import Ask, Headline, Order, accept
from scripts.simulator.provider.bill import Api, Call, cost_micros
from scripts.simulator.provider.drawing import Scene
from scripts.simulator.provider.faults import GATE_KINDS, SICK_KINDS, Fault, Verdict
from scripts.simulator.provider.models import DEFAULT_SIZE, ImageModel, Tier
from scripts.simulator.provider.parameters import Parameters
from scripts.simulator.provider.problems import Problem, Refused, model_not_found
from scripts.simulator.provider.quota_windows import ModelQuota, Rejected
from scripts.simulator.provider.rendered import Made
from scripts.simulator.provider.tokens import NOTHING, Usage


class Request(Protocol):
    """One call in the words of its API."""

    @property
    def api(self) -> Api: ...
    @property
    def key(self) -> str: ...
    def headline(self) -> Headline:
        """Of any body, however malformed."""

    def check_body(self) -> None:
        """Refused when there is nothing in it to look up a model by."""

    def order(self) -> Order:
        """Or Refused."""

    def problem_answer(self, problem: Problem) -> Answer: ...
    def made_answer(self, made: Made) -> Answer: ...


class Settled(Struct, frozen=True):
    """How a call ended, for its line in the ledger."""

    reply: Reply
    outcome: str
    usage: Usage = NOTHING
    charged: bool = False
    served_model: str = ""
    tier: str = ""
    cost_micros: int = 0
    parameters: Parameters = Parameters()


async def take(simulation: Simulation, request: Request, client_left: Callable[[], bool]) -> Reply:
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
    try:
        model, quota = _enter(simulation, request, headline, verdict)
    except Refused as refused:
        settled = _failed(request, refused.problem)
    else:
        settled = await _serve(simulation, request, call, model, quota, headline, verdict)
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
    simulation: Simulation, request: Request, headline: Headline, verdict: Verdict
) -> tuple[ImageModel, ModelQuota]:
    """Past the door, or Refused. Whoever is past it is in flight."""
    check_key(request.key)
    fault = verdict.fault
    if fault is not None and fault.kind in GATE_KINDS:
        raise Refused(fault_replies.gate_problem(fault, headline))
    request.check_body()
    tariff = simulation.tariff
    if tariff is not None and not tariff.can_pay(headline.model):
        raise Refused(Problem("insufficient_user_quota", "The balance of this account is used up. Please recharge."))
    model = simulation.models.served(headline.model)
    if model is None:
        raise Refused(model_not_found(headline.model))
    quota = simulation.quota_of(model.id)
    text, images = tokens.of_input(model, headline.prompt, headline.references)
    admission = quota.admit(
        simulation.limits.limits(model.id), simulation.moment(), images=1, input_tokens=text + images
    )
    if isinstance(admission, Rejected):
        raise Refused(quota_problems.from_rejection(admission, model.id))
    return model, quota


async def _serve(
    simulation: Simulation,
    request: Request,
    call: Call,
    model: ImageModel,
    quota: ModelQuota,
    headline: Headline,
    verdict: Verdict,
) -> Settled:
    settled: Settled | None = None
    try:
        ask = await accept(request.order(), model, simulation.models, simulation.painter)
        settled = await _work(simulation, request, call, ask, verdict)
        settled = replace(settled, parameters=ask.parameters)
    except Refused as refused:
        settled = _failed(request, refused.problem)
    finally:
        quota.leave(simulation.moment(), spent_micros=settled.cost_micros if settled is not None else 0)
    return settled


async def _work(simulation: Simulation, request: Request, call: Call, ask: Ask, verdict: Verdict) -> Settled:
    fault = verdict.fault
    at_once = fault is not None and fault.kind in ("overload", "shed", "internal", "reset", "hang")
    seconds = verdict.extra_seconds + (0.0 if at_once else simulation.latency.draw(ask.model.id, simulation.chance))
    if seconds > 0:
        await simulation.sleep(seconds)
    if fault is not None and fault.kind in SICK_KINDS:
        return _sick(simulation, request, ask, fault)
    made, outcome = await make(simulation, call, ask, fault)
    if made.no_image is not None and made.no_image.form == "http_400":
        return _failed(request, Problem(made.no_image.code, made.no_image.message, status=400))
    answer = request.made_answer(made)
    if ask.store and request.api == "interactions":
        simulation.store(made.id, Stored(ask.prompt, answer.body))
    answered = made.usage is not None or simulation.tariff is not None  # a gateway charges each answer
    charged = answered and (fault is None or fault.charged is not False)
    usage = made.usage if made.usage is not None else NOTHING
    return Settled(
        reply=fault_replies.bend(answer, fault),
        outcome=outcome,
        usage=usage,
        charged=charged,
        served_model=made.model.id,
        tier=made.tier,
        cost_micros=_price(simulation, made.model, made.tier, usage) if charged else 0,
    )


def _price(simulation: Simulation, model: ImageModel, tier: Tier, usage: Usage) -> int:
    """Google's by the token, a gateway's by the call."""
    if simulation.tariff is None:
        return cost_micros(model, tier, usage)
    price = simulation.tariff.price(model.id)
    simulation.tariff.pay(price)
    return price


async def make(simulation: Simulation, call: Call, ask: Ask, fault: Fault | None) -> tuple[Made, str]:
    """What the model makes of the ask, and the name of how it ended."""
    kind = fault.kind if fault is not None else None
    model, tier, size = _served(simulation, ask, fault)
    identity = simulation.call_id(call.number)
    made = Made(
        id=f"v1_{identity}",
        ask=ask,
        model=model,
        tier=tier,
        usage=None,
        created=call.received_at,
        updated=simulation.now(),
    )
    usage = input_usage(model, ask)
    match fault:
        case Fault(kind="refusal" | "no_image"):
            no_image, text = fault_replies.no_image(fault), ""
            if no_image.form == "text_only":
                text = no_image.message
                usage = replace(usage, text_out=tokens.of_text(text))
            return replace(made, usage=usage if fault.usage else None, no_image=no_image, text=text), fault.kind
        case Fault(kind="requires_continuation"):
            return replace(made, usage=usage, continuation_token=f"continue-{identity}"), fault.kind
        case _:
            pass
    text = f"Here is your image: {' '.join(ask.prompt.split()[:12])}" if ask.writes else ""
    usage = replace(
        usage,
        text_out=tokens.of_text(text),
        image_out=_image_tokens(model, size, fault),
        searches=_searches(ask),
    )
    picture = await simulation.painter.paint(_scene(simulation, ask, model, size, fault))
    if kind == "corrupt_image":
        picture = b"\x00" * 64 + picture[64:]
    return replace(made, usage=usage, picture=picture, text=text), kind or "image"


def _searches(ask: Ask) -> int:
    if not ask.grounded:
        return 0
    images = tokens.of_image_searches(ask.prompt) if ask.parameters.image_search else 0
    return tokens.of_searches(ask.prompt) + images


def input_usage(model: ImageModel, ask: Ask) -> Usage:
    text_in, image_in = tokens.of_input(model, ask.prompt, len(ask.references), ask.parameters.instruction)
    level = ask.parameters.thinking if model is ask.model else model.default_thinking
    return Usage(text_in=text_in, image_in=image_in, thoughts=tokens.of_thinking(model, ask.prompt, level))


def _served(simulation: Simulation, ask: Ask, fault: Fault | None) -> tuple[ImageModel, Tier, str]:
    """Model, tier and size that answer; those asked for unless a fault says otherwise."""
    model, tier, size = ask.model, ask.tier, ask.size
    match fault:
        case Fault(kind="wrong_size"):
            size = DEFAULT_SIZE
        case Fault(kind="tier_downgraded"):
            tier = "standard"
        case Fault(kind="served_by", served_by=str(other)):
            model = simulation.models.served(other) or model
            tier = tier if tier in model.rates else "standard"
            size = size if size in model.image_tokens else DEFAULT_SIZE
        case _:
            pass
    return model, tier, size


def _image_tokens(model: ImageModel, size: str, fault: Fault | None) -> int:
    """Of the size; with the fault `other_tokens` those of another, or twice as many."""
    usual = model.image_tokens[size]
    if fault is None or fault.kind != "other_tokens":
        return usual
    return next((each for each in model.image_tokens.values() if each != usual), 2 * usual)


def _scene(simulation: Simulation, ask: Ask, model: ImageModel, size: str, fault: Fault | None) -> Scene:
    ratio = ask.ratio if ask.ratio in model.ratios else "1:1"
    if fault is not None and fault.kind == "wrong_ratio":
        ratio = "1:1" if ratio != "1:1" else "3:2"
    width, height = simulation.models.pixels(size, ratio)
    caption = f"{model.id}  {size} {ratio}  SIMULATED"
    reference = ask.references[-1] if ask.references else None
    return Scene(ask.prompt, caption, width, height, seed=ask.seed or simulation.seed, reference=reference)


def _sick(simulation: Simulation, request: Request, ask: Ask, fault: Fault) -> Settled:
    if fault.kind not in ("hang", "reset", "proxy_timeout"):
        return _failed(request, fault_replies.problem(fault))
    reply: Reply = fault_replies.without_answer(fault)
    if not fault.charged:
        return Settled(reply, fault.kind)
    usage = replace(input_usage(ask.model, ask), image_out=ask.model.image_tokens[ask.size])
    return Settled(
        reply=reply,
        outcome=fault.kind,
        usage=usage,
        charged=True,
        served_model=ask.model.id,
        tier=ask.tier,
        cost_micros=_price(simulation, ask.model, ask.tier, usage),
    )


def _failed(request: Request, problem: Problem) -> Settled:
    return Settled(request.problem_answer(problem), problem.code)


def _status(reply: Reply) -> int | None:
    match reply:
        case Answer():
            return reply.status
        case Cut(answer):
            return answer.status
        case Hang() | Reset():
            return None
