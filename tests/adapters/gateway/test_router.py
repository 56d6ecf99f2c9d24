"""A provider gateway in each form that it may speak: against the stand-in on a socket, and against odd bytes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from scripts.simulator.api.server import serve
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.tariff import Tariff
from shared.adapters.gateway.openai_lane import OpenAiLane
from shared.adapters.gateway.router import GatewayLane, lane_of
from shared.adapters.gemini.paid_images import PaidImages
from shared.core.catalogue.catalogue import Form, Gateway
from shared.core.provider.call import Made, Order, Reference
from shared.core.provider.failure import Failure, FailureKind
from shared.core.routing import gateway
from tests.adapters.gemini.test_interactions_lane import an_order
from tests.builders import a_catalogue
from tests.fakes.scripted_gemini import Reply, ScriptedGemini, a_png, scripted
from tests.fakes.slots import at_once, too_late

KEY = "sk-test-key-of-nobody-0123456789"
PRO = "gemini-3-pro-image"
SOON = timedelta(seconds=20)
FORMS: tuple[Form, ...] = ("native", "chat", "images")
K = FailureKind
pytestmark = pytest.mark.asyncio(loop_scope="module")


def a_gateway(url: str, form: Form, **changes: Any) -> Gateway:
    sizes = ("512", "1K", "2K", "4K") if form == "native" else ("1K",)
    return replace(a_catalogue().gateways["laozhang"], base_url=url, form=form, sizes=sizes, **changes)


def a_lane(provider: Gateway, key: str = KEY) -> GatewayLane:
    return GatewayLane({"g": provider}, {"g": lane_of(provider, key, sleep=no_wait)})


async def no_wait(seconds: float) -> None:
    """Between the tries at an address."""


def plain(**more: Any) -> Order:
    return an_order(**({"lane": "gateway", "gateway": "g", "image_size": None, "aspect_ratio": None} | more))


class House:
    """The stand-in with a lane in each form."""

    def __init__(self, simulation: Simulation, tariff: Tariff, url: str) -> None:
        self.simulation, self.tariff, self.url = simulation, tariff, url
        self.lanes = {form: a_lane(a_gateway(url, form)) for form in FORMS}

    async def answer(
        self, form: Form, *faults: Fault, order: Order | None = None, timeout: timedelta = SOON
    ) -> Made | Failure:
        """After exactly one call."""
        self.simulation.set_faults(faults)
        before = len(self.simulation.ledger.since())
        answer = await self.lanes[form].generate(order or plain(), timeout, at_once)
        assert len(self.simulation.ledger.since()) == before + 1, "no hidden second send"
        return answer

    @property
    def charged(self) -> int:
        return self.simulation.ledger.since()[-1].cost_micros


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[House]:
    tariff = Tariff()
    simulation = Simulation(pictures="cached", tariff=tariff)
    server = await serve(simulation)
    house = House(simulation, tariff, server.url)
    yield house
    for lane in house.lanes.values():
        await lane.close()
    await server.stop()
    simulation.close()


@pytest.fixture
def house(running: House) -> House:
    running.tariff.balance_micros, running.tariff.by_url = None, False
    return running


@pytest.mark.parametrize("form", FORMS)
async def test_an_image_is_made_and_charged_by_the_call(house: House, form: Form) -> None:
    answer = await house.answer(form)
    assert isinstance(answer, Made), answer
    assert (answer.picture.width, answer.picture.height) == (1024, 1024)
    assert (answer.model, answer.lane) == (PRO, "gateway")
    assert answer.provider_request_id or form == "images", "the images form names no call"
    provider = a_gateway(house.url, form)
    assert house.charged == gateway.price(provider, PRO, 0) == 90_000


async def test_the_native_form_keeps_size_and_ratio(house: House) -> None:
    answer = await house.answer("native", order=plain(image_size="4K", aspect_ratio="16:9"))
    assert isinstance(answer, Made)
    assert (answer.picture.width, answer.picture.height) == (5504, 3072)
    assert house.charged == 90_000, "any size"


@pytest.mark.parametrize("form", ["native", "chat"])
async def test_references_go_along_where_the_form_takes_them(house: House, form: Form) -> None:
    order = plain(references=[Reference("image/png", a_png(64, 64)), Reference("image/png", a_png(32, 64))])
    assert isinstance(await house.answer(form, order=order), Made)
    ((_, references),) = [(call.number, call.usage.image_in) for call in house.simulation.ledger.since()[-1:]]
    assert references == 1120


@pytest.mark.parametrize("form", ["chat", "images"])
async def test_an_image_at_an_address_is_fetched(house: House, form: Form) -> None:
    house.tariff.by_url = True
    assert isinstance(await house.answer(form), Made)


@pytest.mark.parametrize("form", ["chat", "images"])
async def test_an_address_that_holds_nothing_is_a_charged_answer_without_an_image(house: House, form: Form) -> None:
    house.tariff.by_url = True
    kept, house.tariff.files = house.tariff.files, Nothing()
    answer = await house.answer(form)
    house.tariff.files = kept
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.MALFORMED_ANSWER, 200)
    assert gateway.of_failed(a_gateway(house.url, form), answer, 90_000).micros == house.charged


class Nothing(dict[str, bytes]):
    """Forgets what it is given."""

    def __setitem__(self, name: str, picture: bytes) -> None:
        pass


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind="refusal"), K.REFUSED),
        (Fault(kind="no_image", form="text_only"), K.NO_IMAGE),
        (Fault(kind="no_image", form="empty_steps"), K.NO_IMAGE),
        (Fault(kind="corrupt_image"), K.MALFORMED_ANSWER),
        (Fault(kind="malformed"), K.MALFORMED_ANSWER),
        (Fault(kind="other_shape"), K.MALFORMED_ANSWER),
        (Fault(kind="requires_continuation"), K.NO_IMAGE),
    ],
    ids=lambda value: f"{value.kind}-{value.form}" if isinstance(value, Fault) else value.value,
)
async def test_an_answer_without_an_image_is_charged_and_booked_so(
    house: House, form: Form, fault: Fault, kind: FailureKind
) -> None:
    answer = await house.answer(form, fault)
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (kind, 200)
    booked = gateway.of_failed(a_gateway(house.url, form), answer, 90_000)
    assert (booked.micros, booked.basis) == (house.charged, "listed") == (90_000, "listed")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("fault", "kind", "basis"),
    [
        (Fault(kind="credential"), K.CREDENTIAL, "listed"),
        (Fault(kind="permission"), K.PERMISSION, "listed"),
        (Fault(kind="gone"), K.MODEL_GONE, "listed"),
        (Fault(kind="rejected"), K.INVALID_REQUEST, "listed"),
        (Fault(kind="overload"), K.OVERLOAD, "listed"),
        (Fault(kind="internal"), K.SERVER_ERROR, "listed"),
        (Fault(kind="reset"), K.CONNECTION_LOST, "unknown"),
        (Fault(kind="cut"), K.CONNECTION_LOST, "unknown"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else str(value),
)
async def test_a_failure_is_named_as_googles_are_and_costs_what_the_provider_says(
    house: House, form: Form, fault: Fault, kind: FailureKind, basis: str
) -> None:
    answer = await house.answer(form, fault)
    assert isinstance(answer, Failure)
    assert answer.kind is kind
    booked = gateway.of_failed(a_gateway(house.url, form), answer, 90_000)
    assert (booked.micros, booked.basis) == (0, basis)


@pytest.mark.parametrize("form", FORMS)
async def test_a_used_up_balance_is_no_balance_and_not_charged(house: House, form: Form) -> None:
    house.tariff.balance_micros = 100_000
    assert isinstance(await house.answer(form), Made)
    answer = await house.answer(form)
    assert isinstance(answer, Failure)
    assert answer.kind is K.BALANCE
    assert house.tariff.balance_micros == 10_000


@pytest.mark.parametrize("form", FORMS)
async def test_silence_ends_after_the_time_out_and_may_be_billed(house: House, form: Form) -> None:
    answer = await house.answer(form, Fault(kind="hang", charged=True), timeout=timedelta(seconds=0.3))
    assert isinstance(answer, Failure)
    assert answer.kind is K.TIMEOUT
    assert gateway.of_failed(a_gateway(house.url, form), answer, 90_000).basis == "unknown"


@pytest.mark.parametrize("form", FORMS)
async def test_a_model_goes_out_under_the_providers_name_and_comes_back_under_ours(form: Form) -> None:
    bodies: dict[Form, Any] = {
        "native": {
            "candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}}],
            "modelVersion": "nano-banana-pro",
        },
        "chat": {"model": "nano-banana-pro", "choices": [{"message": {"content": f"data:image/png;base64,{PNG}"}}]},
        "images": {"model": "nano-banana-pro", "data": [{"b64_json": PNG}]},
    }
    async with scripted(Reply(bodies[form])) as server:
        lane = a_lane(a_gateway(server.url, form, aliases={PRO: "nano-banana-pro"}))
        answer = await lane.generate(plain(), SOON, at_once)
        await lane.close()
        (post,) = server.posts
    assert isinstance(answer, Made), answer
    assert answer.model == PRO
    assert "nano-banana-pro" in (post.path if form == "native" else post.body["model"])
    assert post.headers["authorization"] == f"Bearer {KEY}"
    assert "x-goog-api-key" not in post.headers, "no header of Google's"
    assert "labels" not in post.body


PNG = base64.b64encode(a_png()).decode()


@pytest.mark.parametrize("form", FORMS)
async def test_a_call_that_cannot_leave_in_time_is_not_made(form: Form) -> None:
    async with scripted(Reply({})) as server:
        lane = a_lane(a_gateway(server.url, form))
        answer = await lane.generate(plain(), SOON, too_late)
        await lane.close()
        assert server.posts == []
    assert isinstance(answer, Failure)
    assert answer.kind is K.LATE


@pytest.mark.parametrize("form", FORMS)
async def test_neither_prompt_nor_key_is_in_a_failure(form: Form) -> None:
    body = {"error": {"message": f"no: {plain().prompt} for {KEY}", "type": "x"}}
    async with scripted(Reply(body, 400)) as server:
        lane = a_lane(a_gateway(server.url, form))
        answer = await lane.generate(plain(), SOON, at_once)
        await lane.close()
    assert isinstance(answer, Failure)
    assert KEY not in answer.message
    assert "harbour" not in answer.message


CHAT: list[tuple[str, dict[str, Any], FailureKind | None]] = [
    ("a data URL alone", {"content": f"data:image/png;base64,{PNG}"}, None),
    ("in markdown", {"content": f"Here:\n![x](data:image/png;base64,{PNG})\nbye"}, None),
    ("in a list of parts", {"content": [{"image_url": {"url": f"data:image/png;base64,{PNG}"}}]}, None),
    ("a refusal", {"content": None, "refusal": "I will not."}, K.REFUSED),
    ("text", {"content": "I would rather not."}, K.NO_IMAGE),
    ("nothing", {"content": None}, K.NO_IMAGE),
    ("broken base64", {"content": "data:image/png;base64,AAAAA"}, K.MALFORMED_ANSWER),
    ("an address that is not safe", {"content": "![x](http://10.0.0.1/a.png)"}, K.MALFORMED_ANSWER),
]


@pytest.mark.parametrize(("message", "kind"), [row[1:] for row in CHAT], ids=[row[0] for row in CHAT])
async def test_a_chat_message_is_read_however_it_holds_the_image(
    chat: tuple[ScriptedGemini, OpenAiLane], message: dict[str, Any], kind: FailureKind | None
) -> None:
    server, lane = chat
    server.script(Reply({"id": "c1", "model": PRO, "choices": [{"message": message, "finish_reason": "stop"}]}))
    answer = await lane.generate(plain(), SOON, at_once)
    assert (answer.kind if isinstance(answer, Failure) else None) is kind
    assert answer.provider_request_id == "c1"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":3}', b"<html>ok</html>", b"\xff"])
async def test_any_other_body_is_malformed(chat: tuple[ScriptedGemini, OpenAiLane], body: bytes) -> None:
    server, lane = chat
    server.script(Reply(body))
    answer = await lane.generate(plain(), SOON, at_once)
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.MALFORMED_ANSWER, 200)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chat() -> AsyncIterator[tuple[ScriptedGemini, OpenAiLane]]:
    async with scripted() as server:
        lane = OpenAiLane(KEY, server.url, "chat", paid=PaidImages(server.url, sleep=no_wait))
        yield server, lane
        await lane.close()


async def test_without_the_gateways_key_nothing_is_called_and_it_is_no_fault_of_the_model() -> None:
    lane = GatewayLane({}, {})
    answer = await lane.generate(plain(), SOON, at_once)
    assert isinstance(answer, Failure)
    assert answer.kind is K.CREDENTIAL


@pytest.mark.parametrize("form", FORMS)
async def test_a_key_or_an_address_that_can_never_work_is_refused_without_repeating_the_key(form: Form) -> None:
    with pytest.raises(ValueError, match="as the provider gave it") as refused:
        lane_of(a_gateway("http://127.0.0.1:1", form), "two words")
    assert "two words" not in str(refused.value)


@pytest.mark.parametrize(("row", "sent"), [({}, ["image", "text"]), ({"modalities": ()}, None)])
async def test_the_chat_form_asks_for_pictures_unless_the_row_says_that_it_must_not(
    row: dict[str, Any], sent: list[str] | None
) -> None:
    async with scripted(Reply({"choices": [{"message": {"images": [f"data:image/png;base64,{PNG}"]}}]})) as server:
        lane = a_lane(a_gateway(server.url, "chat", **row))
        assert isinstance(await lane.generate(plain(), SOON, at_once), Made)
        await lane.close()
        (post,) = server.posts
    assert post.body.get("modalities") == sent
