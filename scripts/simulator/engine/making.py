"""What the model makes of a request that it accepts, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from scripts.simulator.formats import fault_replies
from scripts.simulator.provider import tokens
from scripts.simulator.provider.accepted_request import OUTPUT_TYPES, AcceptedRequest
from scripts.simulator.provider.bill import RecordedCall, cost_micros
from scripts.simulator.provider.drawing import PictureContent
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.models import DEFAULT_SIZE, ImageModel, Tier
from scripts.simulator.provider.rendered import RenderedImage
from scripts.simulator.provider.tokens import TokenUsage

if TYPE_CHECKING:
    from scripts.simulator.engine.simulation import Simulation


async def make(
    simulation: Simulation, call: RecordedCall, ask: AcceptedRequest, fault: Fault | None
) -> tuple[RenderedImage, str]:
    """What the model makes of the ask, and the name of how it ended."""
    kind = fault.kind if fault is not None else None
    model, tier, size = _served(simulation, ask, fault)
    identity = simulation.call_id(call.number)
    made = RenderedImage(
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
    if ask.output_type != OUTPUT_TYPES[0] or ask.output_quality is not None:
        picture = await simulation.painter.encoded(picture, ask.output_type, ask.output_quality)
    if kind == "corrupt_image":
        picture = b"\x00" * 64 + picture[64:]
    return replace(made, usage=usage, picture=picture, text=text), kind or "image"


def _searches(ask: AcceptedRequest) -> int:
    if not ask.grounded:
        return 0
    images = tokens.of_image_searches(ask.prompt) if ask.parameters.image_search else 0
    return tokens.of_searches(ask.prompt) + images


def input_usage(model: ImageModel, ask: AcceptedRequest) -> TokenUsage:
    text_in, image_in = tokens.of_input(model, ask.prompt, len(ask.references), ask.parameters.instruction)
    level = ask.parameters.thinking if model is ask.model else model.default_thinking
    return TokenUsage(text_in=text_in, image_in=image_in, thoughts=tokens.of_thinking(model, ask.prompt, level))


def _served(simulation: Simulation, ask: AcceptedRequest, fault: Fault | None) -> tuple[ImageModel, Tier, str]:
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
    return next((count for count in model.image_tokens.values() if count != usual), 2 * usual)


def _scene(
    simulation: Simulation, ask: AcceptedRequest, model: ImageModel, size: str, fault: Fault | None
) -> PictureContent:
    ratio = ask.ratio if ask.ratio in model.ratios else "1:1"
    if fault is not None and fault.kind == "wrong_ratio":
        ratio = "1:1" if ratio != "1:1" else "3:2"
    width, height = simulation.models.pixels(size, ratio)
    caption = f"{model.id}  {size} {ratio}  SIMULATED"
    reference = ask.references[-1] if ask.references else None
    return PictureContent(ask.prompt, caption, width, height, seed=ask.seed or simulation.seed, reference=reference)


def price(simulation: Simulation, model: ImageModel, tier: Tier, usage: TokenUsage) -> int:
    """Google's by the token, a gateway's by the call."""
    if simulation.tariff is None:
        return cost_micros(model, tier, usage)
    micros = simulation.tariff.price(model.id)
    simulation.tariff.pay(micros)
    return micros
