"""What a caller sets beside prompt, model and size, from the message to the receipt, on the simulator."""

from __future__ import annotations

import io
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image

from scripts.simulator.provider.bill import RecordedCall
from scripts.simulator.provider.faults import Fault
from shared.adapters.payloads import image_header
from shared.core.accounting.cost_report import bills
from shared.core.accounting.ledger import LedgerRow
from shared.core.provider.call import Picture
from shared.core.provider.output_format import ConvertedPicture
from shared.core.provider.stored_image import Delivered
from shared.flows.pump.loop import Pump
from shared.flows.pump_status import PumpView
from shared.flows.render.limit_reports import Evidence
from shared.ports.images import ConversionFailed
from tests.fakes.simulated_batches import SimulatedBatches
from tests.fakes.simulated_lane import SimulatedLane
from tests.world import World

NB21, LITE, PRO = "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image", "gemini-3-pro-image"
INSTRUCTION = "Flat colours only, no outlines."
_WORLDS: list[SimulatedWorld] = []


@pytest.fixture(autouse=True)
def _worlds_end() -> Iterator[None]:
    yield
    while _WORLDS:
        _WORLDS.pop().google.simulation.close()


class SimulatedWorld(World):
    """The whole worker, with the simulator for Google's lanes and batches, in virtual time."""

    def __init__(self) -> None:
        _WORLDS.append(self)
        super().__init__()
        self.google = SimulatedLane(self.clock)
        self.lane = self.google  # type: ignore[assignment]
        self.batches = SimulatedBatches(self.clock, self.google.simulation)  # type: ignore[assignment]
        self.boot()

    @property
    def calls(self) -> list[RecordedCall]:
        return self.google.simulation.ledger.since()


async def rendered(**fields: Any) -> tuple[SimulatedWorld, dict[str, Any], RecordedCall]:
    """One request, its document and the provider's line for it."""
    world = SimulatedWorld()
    await world.submit("r-1", **fields)
    await world.run_until_quiet()
    status = dict(world.status("r-1"))
    assert status["status"] == "succeeded", status["outcome"]
    (call,) = world.calls
    assert status["cost_micros"] == call.cost_micros == bills(
        [LedgerRow.from_json(row.data) for row in world.store.all("ledger")], "day"
    ).google.total.micros  # fmt: skip
    return world, status, call


@pytest.mark.parametrize("purpose", ["draft", "default", "final"])
async def test_a_plain_request_is_delivered_as_asked_and_its_receipt_explains_nothing(purpose: str) -> None:
    _, status, call = await rendered(purpose=purpose)
    receipt = status["receipt"]
    assert receipt["reasons"] == []
    assert receipt["mismatches"] == []
    assert receipt["requested"]["thinking"] is None
    assert receipt["delivered"]["thinking"] == {"draft": "minimal", "default": "medium", "final": None}[purpose]
    assert receipt["delivered"]["thought_tokens"] == call.usage.thoughts > 0
    assert receipt["cost_micros"] <= receipt["estimate_micros"]


@pytest.mark.parametrize(
    ("fields", "level", "reasons"),
    [
        ({"thinking": "minimal"}, "minimal", []),
        ({"thinking": "high"}, "high", []),
        ({"thinking": "low"}, "minimal", [f"thinking low -> minimal: {NB21} has minimal, medium, high"]),
        (
            {"purpose": "draft", "thinking": "medium"},
            "high",
            [f"thinking medium -> high: {LITE} has minimal, high"],
        ),
        (
            {"purpose": "final", "thinking": "high"},
            None,
            [f"thinking high was not sent: {PRO} has no levels, it thinks as it does"],
        ),
        ({"purpose": "draft", "model": NB21}, "minimal", []),
    ],
)
async def test_a_level_is_taken_billed_and_told(fields: dict[str, Any], level: str | None, reasons: list[str]) -> None:
    _, status, call = await rendered(**fields)
    receipt = status["receipt"]
    assert receipt["requested"]["thinking"] == fields.get("thinking")
    assert receipt["delivered"]["thinking"] == call.parameters.thinking == level
    assert receipt["delivered"]["thought_tokens"] == call.usage.thoughts
    assert receipt["reasons"] == reasons
    assert receipt["cost_micros"] <= receipt["estimate_micros"]


async def test_a_higher_level_costs_more_and_was_estimated_so() -> None:
    receipts = {level: (await rendered(thinking=level))[1]["receipt"] for level in ("minimal", "medium", "high")}
    for name in ("cost_micros", "estimate_micros"):
        least, usual, most = (receipts[level][name] for level in ("minimal", "medium", "high"))
        assert least < usual < most


async def test_thresholds_and_a_system_instruction_arrive_word_for_word() -> None:
    safety = {"image_hate": "block_only_high", "sexually_explicit": "block_low_and_above"}
    world, status, call = await rendered(safety=safety, system_instruction=INSTRUCTION)
    assert call.parameters.safety == safety
    assert call.parameters.instruction == INSTRUCTION
    assert call.usage.text_in > len(INSTRUCTION) // 4
    assert status["receipt"]["reasons"] == []
    assert sha256(INSTRUCTION.encode()).hexdigest() == call.parameters.to_json()["instruction_sha256"]
    assert INSTRUCTION not in str(world.signals.emitted)


async def test_a_search_for_images_is_made_by_a_model_that_has_it_and_each_search_is_charged() -> None:
    _, status, call = await rendered(purpose="draft", grounding="image")
    assert call.parameters.image_search
    assert call.served_model == NB21
    assert status["receipt"]["reasons"][0] == f"{LITE} cannot do it (grounding): {NB21}"
    assert call.usage.searches >= 2
    _, _, web = await rendered(grounding=True)
    assert not web.parameters.image_search


async def test_all_of_them_go_by_batch_too() -> None:
    _, status, call = await rendered(
        model=NB21, lane="batch", allow={"batch": True}, thinking="high", grounding="image",
        safety={"harassment": "off"}, system_instruction=INSTRUCTION,
    )  # fmt: skip
    assert (call.api, call.parameters.thinking, call.parameters.image_search) == ("batch", "high", True)
    assert (call.parameters.safety, call.parameters.instruction) == ({"harassment": "off"}, INSTRUCTION)
    assert status["receipt"]["delivered"]["thinking"] == "high"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"purpose": "final", "grounding": "image"}, "grounding"),
        ({"lane": "batch", "model": PRO, "safety": {"image_hate": "off"}}, "safety"),
        ({"output_quality": 80}, "output_quality"),
        ({"output_format": "png", "output_quality": 80}, "output_quality"),
    ],
)
async def test_what_cannot_be_done_is_rejected_unpaid_with_its_field(fields: dict[str, Any], field: str) -> None:
    world = SimulatedWorld()
    await world.submit("r-1", **fields)
    await world.run_until_quiet()
    assert world.calls == []
    (rejected,) = world.store.all("rejected")
    assert [problem["field"] for problem in rejected.data["problems"]] == [field]


@pytest.mark.parametrize(
    ("fields", "delivered", "reasons"),
    [
        ({}, "jpeg", []),
        ({"output_format": "jpeg"}, "jpeg", []),
        ({"output_format": "png"}, "png", ["output format jpeg -> png: converted by the worker"]),
        (
            {"output_format": "webp", "output_quality": 40},
            "webp",
            ["output format jpeg -> webp at quality 40: converted by the worker"],
        ),
        (
            {"output_format": "jpeg", "output_quality": 20},
            "jpeg",
            ["output format jpeg encoded again at quality 20: converted by the worker"],
        ),
        (
            {"output_format": "webp", "lane": "batch", "allow": {"batch": True}, "model": PRO},
            "webp",
            ["output format jpeg -> webp: converted by the worker"],
        ),
    ],
)
async def test_the_image_lies_in_the_store_in_the_format_that_was_asked_for(
    fields: dict[str, Any], delivered: str, reasons: list[str]
) -> None:
    world, status, _ = await rendered(**fields)
    receipt = status["receipt"]
    assert receipt["requested"]["output_format"] == fields.get("output_format")
    assert receipt["delivered"]["output_format"] == delivered
    assert receipt["reasons"] == reasons
    assert receipt["mismatches"] == []
    ((key, (data, facts)),) = world.images.stored.items()
    assert key.endswith({"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[delivered])
    assert image_header.content_type(data) == f"image/{delivered}"
    assert facts["format"] == delivered
    picture = image_header.picture(data)
    assert picture is not None
    assert (picture.width, picture.height) == (receipt["delivered"]["width"], receipt["delivered"]["height"])


async def test_a_format_that_came_as_it_was_asked_for_keeps_every_byte() -> None:
    plain, *_ = await rendered()
    named, *_ = await rendered(output_format="jpeg")
    assert [data for data, _ in plain.images.stored.values()] == [data for data, _ in named.images.stored.values()]


async def test_a_paid_image_that_cannot_be_converted_is_delivered_as_it_came_and_says_so() -> None:
    class Broken:
        async def convert(self, picture: Picture, to: str, quality: int | None) -> ConvertedPicture:
            raise ConversionFailed("it cannot be decoded or encoded (OSError)")

    world = SimulatedWorld()
    world.ports = replace(world.ports, formats=Broken())
    world.evidence, world.pump = Evidence(world.ports, PumpView(world.ports)), Pump(world.ports, world.kicks)
    await world.submit("r-1", output_format="png")
    await world.run_until_quiet()
    receipt = world.status("r-1")["receipt"]
    assert receipt["delivered"]["output_format"] == "jpeg"
    assert receipt["mismatches"] == ["output_format"]
    assert receipt["reasons"] == [
        "output format png was ordered; jpeg is delivered",
        "output format png: not converted, it cannot be decoded or encoded (OSError); delivered as jpeg",
    ]


async def test_a_converted_image_whose_worker_died_is_settled_with_all_that_its_receipt_needs() -> None:
    _, status, _ = await rendered(output_format="webp")
    facts = dict((await _stored_facts(output_format="webp")).items())
    again = Delivered.from_facts("memory://x.webp", facts)
    assert (again.format, again.format_note) == ("webp", status["receipt"]["reasons"][0])
    older = {name: value for name, value in facts.items() if not name.startswith("format")}
    assert (Delivered.from_facts("x", older).format, Delivered.from_facts("x", older).format_note) == ("", "")


async def _stored_facts(**fields: Any) -> dict[str, str]:
    world, *_ = await rendered(**fields)
    ((_, facts),) = world.images.stored.values()
    return facts


SHELL = "https://cdn.example.com/shell.png?signature=s3cret"


def a_reference() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (30, 20), (1, 2, 3)).save(data, "PNG")
    return data.getvalue()


class ReferenceWorld(SimulatedWorld):
    """A world that may read SHELL; the provider can fetch it where `is_public`."""

    def __init__(self, *, is_public: bool) -> None:
        super().__init__()
        self.references.images[SHELL] = a_reference()
        self.references.allowed = ("gs://", "https://")
        if is_public:
            self.google.simulation.web[SHELL] = a_reference()

    async def render(self, **fields: Any) -> dict[str, Any]:
        await self.submit("r-1", **({"references": [{"uri": SHELL, "mime_type": "image/png"}]} | fields))
        await self.run_until_quiet()
        return dict(self.status("r-1"))


async def test_an_address_that_the_provider_takes_is_passed_on_without_its_bytes() -> None:
    world = ReferenceWorld(is_public=True)
    status = await world.render()
    assert status["status"] == "succeeded"
    assert world.references.fetched == []
    (call,) = world.calls
    assert call.usage.image_in == 1120
    assert status["receipt"]["reasons"] == []


async def test_an_address_that_the_provider_cannot_fetch_is_sent_as_bytes_at_no_cost() -> None:
    world = ReferenceWorld(is_public=False)
    status = await world.render()
    assert status["status"] == "succeeded"
    assert [(call.status, call.charged) for call in world.calls] == [(400, False), (200, True)]
    assert world.references.fetched == [SHELL]
    assert status["cost_micros"] == world.calls[1].cost_micros
    first, second = world.attempts("r-1")
    assert (first["outcome"]["code"], second["outcome"]["code"]) == ("invalid_request", "succeeded")
    assert "s3cret" not in str(first["outcome"])


async def test_a_request_that_is_wrong_with_bytes_too_ends_after_them() -> None:
    world = ReferenceWorld(is_public=True)
    world.google.script(Fault(kind="rejected"))
    status = await world.render()
    assert (status["status"], status["outcome"]["code"]) == ("failed", "invalid_request")
    assert len(world.calls) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"references": [{"uri": SHELL}]},
        {"references": [{"uri": uri, "mime_type": "image/png"} for uri in (SHELL, "gs://refs/a.png")]},
        {"model": PRO, "lane": "batch", "allow": {"batch": True}},
        {"references": [{"uri": "https://10.0.0.7/a.png", "mime_type": "image/png"}]},
        {"references": [{"uri": "https://intranet/a.png", "mime_type": "image/png"}]},
        {"references": [{"uri": "https://cdn.example.com:8443/a.png", "mime_type": "image/png"}]},
        {"model": "nano-banana"},
    ],
    ids=["no type", "a bucket among them", "batch", "an address", "a name of the house", "a port", "another model"],
)
async def test_all_other_references_are_sent_as_bytes(fields: dict[str, Any]) -> None:
    world = ReferenceWorld(is_public=True)
    for uri in ("gs://refs/a.png", *(row["uri"] for row in fields.get("references", ()))):
        world.references.images[uri] = a_reference()
    status = await world.render(**fields)
    assert status["status"] == "succeeded", status["outcome"]
    assert world.references.fetched
    assert [call.outcome for call in world.calls] == ["image"]


async def test_an_address_that_this_worker_may_not_read_is_not_passed_on_either() -> None:
    world = ReferenceWorld(is_public=True)
    other = "https://cdn.example.com/other.png"
    world.google.simulation.web[other] = a_reference()
    world.references.allowed = ("gs://allowed/",)
    await world.submit("r-1", references=[{"uri": other, "mime_type": "image/png"}])
    await world.run_until_quiet()
    assert world.calls == []
    (rejected,) = world.store.all("rejected")
    assert [problem["field"] for problem in rejected.data["problems"]] == ["references[0].uri"]
