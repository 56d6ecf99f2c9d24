"""The Vertex lane through the unmodified SDK: on the simulator's Vertex paths, with google-auth's own credentials."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from scripts.simulator.api.server import serve
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.parameters import Parameters
from shared.adapters.gemini.vertex_lane import VertexLane, of_credentials
from shared.core.provider.call import Made, Order, Reference
from shared.core.provider.failure import Failure, FailureKind
from tests.adapters.gemini.test_interactions_lane import an_order
from tests.fakes.scripted_gemini import Reply, ScriptedGemini, a_png, scripted
from tests.fakes.slots import at_once, too_late

PROJECT = "shop-images"
SOON = timedelta(seconds=20)
K = FailureKind
pytestmark = pytest.mark.asyncio(loop_scope="module")


def vertex_order(**given: Any) -> Order:
    return an_order(**{"lane": "vertex", **given})


class Simulated:
    def __init__(self, simulation: Simulation, lane: VertexLane, url: str) -> None:
        self.simulation, self.lane, self.url = simulation, lane, url

    async def answer(self, *faults: Fault, order: Order | None = None) -> Made | Failure:
        """After exactly one call."""
        self.simulation.set_faults(faults)
        before = len(self.simulation.ledger.since())
        answer = await self.lane.generate(order or vertex_order(), SOON, at_once)
        assert len(self.simulation.ledger.since()) == before + 1, "no hidden second send"
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulated() -> AsyncIterator[Simulated]:
    simulation = Simulation(pictures="cached")
    server = await serve(simulation)
    lane = VertexLane(PROJECT, base_url=server.url)
    yield Simulated(simulation, lane, server.url)
    await lane.close()
    await server.stop()
    simulation.close()


async def test_an_image_is_made_without_a_key_and_costs_what_the_provider_bills(simulated: Simulated) -> None:
    order = vertex_order(grounding=True, references=[Reference("image/png", a_png(64, 64))])
    answer = await simulated.answer(order=order)
    assert isinstance(answer, Made), answer
    assert (answer.picture.width, answer.picture.height, answer.picture.content_type) == (2752, 1536, "image/png")
    assert (answer.model, answer.lane) == ("gemini-3-pro-image", "vertex")
    call = simulated.simulation.ledger.since()[-1]
    assert (call.api, call.tier, call.size, call.marker) == ("vertex", "vertex", "2K", "spring-hero-001")
    assert answer.usage is not None
    assert (answer.usage.image_out, answer.usage.thought) == (call.usage.image_out, call.usage.thoughts)
    assert call.charged


async def test_each_parameter_arrives_thresholds_of_images_and_a_chosen_format_among_them(
    simulated: Simulated,
) -> None:
    reference = Reference("image/png", b"", "gs://shop-refs/a.png")
    simulated.simulation.web[reference.uri] = a_png(64, 64)
    order = vertex_order(
        model="gemini-nano-banana-2.1", grounding="image", thinking="high", system_instruction="Flat colours only.",
        safety=(("image_hate", "block_none"),), references=[reference], output_format="jpeg", output_quality=40,
    )  # fmt: skip
    answer = await simulated.answer(order=order)
    assert isinstance(answer, Made), answer
    call = simulated.simulation.ledger.since()[-1]
    assert call.parameters == Parameters("high", True, {"image_hate": "block_none"}, "Flat colours only.")
    assert answer.picture.content_type == "image/jpeg"
    assert answer.usage is not None
    assert (answer.usage.thought, answer.usage.image_in) == (call.usage.thoughts, 1120)
    assert answer.usage.grounding_searches == call.usage.searches >= 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind="credential"), K.CREDENTIAL),
        (Fault(kind="permission"), K.PERMISSION),
        (Fault(kind="gone"), K.MODEL_GONE),
        (Fault(kind="rejected"), K.INVALID_REQUEST),
        (Fault(kind="overload"), K.OVERLOAD),
        (Fault(kind="internal"), K.SERVER_ERROR),
        (Fault(kind="deadline"), K.TIMEOUT),
        (Fault(kind="reset"), K.CONNECTION_LOST),
        (Fault(kind="refusal", form="finish_reason"), K.REFUSED),
        (Fault(kind="refusal", form="prompt_blocked", code="blocklist"), K.REFUSED),
        (Fault(kind="no_image", form="text_only"), K.NO_IMAGE),
        (Fault(kind="malformed"), K.MALFORMED_ANSWER),
    ],
    ids=lambda one: one.kind if isinstance(one, Fault) else "",
)
async def test_every_error_of_vertex_has_its_meaning(simulated: Simulated, fault: Fault, kind: FailureKind) -> None:
    answer = await simulated.answer(fault)
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.lane) == (kind, "vertex")


async def test_a_model_that_vertex_does_not_have_is_its_own_statement_and_a_missing_grant_too(
    simulated: Simulated,
) -> None:
    gone = await simulated.answer(Fault(kind="gone"))
    assert isinstance(gone, Failure)
    assert gone.explicit
    assert gone.message.startswith("Publisher Model `[data]` was not found"), "a long path is taken for data"
    denied = await simulated.answer(Fault(kind="permission"))
    assert isinstance(denied, Failure)
    assert denied.explicit, "google.rpc.ErrorInfo names what is missing"


@pytest.mark.parametrize("variant", ["minute", "day", "day_short_delay", "bare", "valueless", "several"])
async def test_a_429_says_that_vertex_is_busy_and_never_names_a_limit_or_a_day(
    simulated: Simulated, variant: Any
) -> None:
    answer = await simulated.answer(Fault(kind="quota", variant=variant))
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.QUOTA_UNKNOWN, 429)
    assert (answer.quota_id, answer.quota_value, answer.explicit) == (None, None, False)


@pytest.mark.parametrize(
    ("metric", "quota_id"),
    [
        ("generate_content_requests_per_minute_per_project_per_base_model", "GenerateContentRequestsPerMinute"),
        ("generate_requests_per_model_per_day", "GenerateRequestsPerDayPerProjectPerModel"),
    ],
)
async def test_a_quota_that_vertex_does_name_closes_no_day_either(metric: str, quota_id: str) -> None:
    violation = {"quotaMetric": f"aiplatform.googleapis.com/{metric}", "quotaId": quota_id, "quotaValue": "5"}
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "6776s"},
    ]
    error = {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": details}
    async with scripted() as vertex:
        answer = await _one_call(vertex, 429, {"error": error})
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.quota_value) == (K.QUOTA_UNKNOWN, None)
    assert answer.retry_after is None or answer.retry_after <= timedelta(seconds=60)


async def _one_call(vertex: ScriptedGemini, status: int, body: Any) -> Made | Failure:
    vertex.script(Reply(body, status))
    lane = VertexLane(PROJECT, base_url=vertex.url)
    try:
        return await lane.generate(vertex_order(), SOON, at_once)
    finally:
        await lane.close()


async def test_what_is_sent_names_project_location_and_model_and_neither_a_key_nor_a_tier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AQ.of-the-other-api")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1")
    async with scripted() as vertex:
        vertex.script(Reply(b"{}", 503))
        lane = VertexLane(PROJECT, "europe-west4", vertex.url)
        await lane.generate(vertex_order(), SOON, at_once)
        await lane.close()
        (sent,) = vertex.posts
    assert sent.path == (
        f"/v1beta1/projects/{PROJECT}/locations/europe-west4/publishers/google/models/"
        "gemini-3-pro-image:generateContent"
    )
    assert "x-goog-api-key" not in sent.headers
    assert sent.headers["authorization"] == "Bearer no-credentials"
    assert "serviceTier" not in sent.body
    assert sent.body["labels"]["request_id"] == "spring-hero-001"
    assert sent.body["generationConfig"]["imageConfig"] == {"aspectRatio": "16:9", "imageSize": "2K"}


async def test_a_call_that_is_late_does_not_leave(simulated: Simulated) -> None:
    before = len(simulated.simulation.ledger.since())
    answer = await simulated.lane.generate(vertex_order(), SOON, too_late)
    assert isinstance(answer, Failure)
    assert answer.kind is K.LATE
    assert len(simulated.simulation.ledger.since()) == before


# -- application default credentials, as google-auth itself finds and renews them -------------------------------------


class Issuer:
    """Google's token endpoint and metadata server, as far as google-auth asks them."""

    def __init__(self, status: int = 200, body: Any = None) -> None:
        self.status, self.calls = status, list[str]()
        self.body = {"access_token": "ya29.of-the-account", "expires_in": 3600, "token_type": "Bearer"}
        self.body = self.body if body is None else body
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        length = next(
            (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0
        )
        await reader.readexactly(length)
        self.calls.append(f"{method} {path.partition('?')[0]}")
        email = json.dumps({"email": "render@shop.example", "scopes": [], "aliases": ["default"]})
        text = email if "recursive" in path else "shop-images" if path.endswith("project-id") else json.dumps(self.body)
        content = text.encode() if path != "/" else b""
        kind = "text/plain" if path.endswith("project-id") else "application/json"
        writer.write(
            f"HTTP/1.1 {self.status} X\r\nmetadata-flavor: Google\r\ncontent-type: {kind}\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n".encode()
            + content
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def issuing(issuer: Issuer) -> AsyncIterator[Issuer]:
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield issuer


def an_account(tmp_path: Path, issuer: Issuer) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account", "project_id": PROJECT, "private_key_id": "1", "private_key": key.decode(),
        "client_email": "render@shop.example", "client_id": "1", "token_uri": f"{issuer.url}/token",
        "universe_domain": "googleapis.com",
    }  # fmt: skip
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account), encoding="utf-8")
    return str(path)


class OnAdc(VertexLane):
    """Real credentials on a stand-in without TLS, which the product itself never does."""

    def _account(self) -> dict[str, Any]:
        return super()._account() | {"credentials": None}


async def test_a_service_account_s_token_is_fetched_once_and_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, simulated: Simulated
) -> None:
    simulated.simulation.set_faults(())
    async with issuing(Issuer()) as issuer, scripted() as vertex:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", an_account(tmp_path, issuer))
        vertex.script(Reply(b"{}", 503), Reply(b"{}", 503))
        lane = OnAdc(PROJECT, base_url=vertex.url)
        for _ in range(2):
            await lane.generate(vertex_order(), SOON, at_once)
        await lane.close()
    assert issuer.calls == ["POST /token"]
    assert [post.headers["authorization"] for post in vertex.posts] == ["Bearer ya29.of-the-account"] * 2


async def test_on_google_cloud_the_metadata_server_names_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuing(Issuer()) as issuer, scripted() as vertex:
        host = issuer.url.removeprefix("http://")
        for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", "/nowhere")
        monkeypatch.setenv("GCE_METADATA_HOST", host)
        monkeypatch.setenv("GCE_METADATA_ROOT", host)
        monkeypatch.setenv("GCE_METADATA_IP", host)
        vertex.script(Reply(b"{}", 503))
        lane = OnAdc(PROJECT, base_url=vertex.url)
        await lane.generate(vertex_order(), SOON, at_once)
        await lane.close()
    assert vertex.posts[0].headers["authorization"] == "Bearer ya29.of-the-account"
    assert any(call.endswith("/token") for call in issuer.calls)


async def test_an_account_that_is_gone_is_a_credential_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusal = {"error": "invalid_grant", "error_description": "Account not found"}
    async with issuing(Issuer(400, refusal)) as issuer, scripted() as vertex:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", an_account(tmp_path, issuer))
        lane = OnAdc(PROJECT, base_url=vertex.url)
        answer = await lane.generate(vertex_order(), SOON, at_once)
        await lane.close()
        assert vertex.posts == []
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.explicit, answer.lane) == (K.CREDENTIAL, True, "vertex")
    assert "Account not found" in answer.message


async def test_without_any_credentials_the_lane_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    async with scripted() as vertex:
        lane = OnAdc(PROJECT, base_url=vertex.url)
        answer = await lane.generate(vertex_order(), SOON, at_once)
        await lane.close()
        assert vertex.posts == []
    assert isinstance(answer, Failure)
    assert answer.kind is K.CREDENTIAL
    assert "default credentials were not found" in answer.message


async def test_a_token_endpoint_that_cannot_be_reached_is_a_broken_connection() -> None:
    from google.auth.exceptions import RefreshError, TransportError

    assert of_credentials(TransportError("no route")).kind is K.CONNECTION  # type: ignore[no-untyped-call]
    assert of_credentials(RefreshError("try later", retryable=True)).kind is K.CONNECTION  # type: ignore[no-untyped-call]
    assert of_credentials(RefreshError("invalid_grant")).kind is K.CREDENTIAL  # type: ignore[no-untyped-call]


async def test_the_gemini_api_takes_no_credentials_from_this_sdk() -> None:
    """google-genai 3.6.1 documents `credentials=` and still wants a key for the Gemini API."""
    from google import genai
    from google.oauth2.credentials import Credentials

    with pytest.raises(ValueError, match="No API key was provided"):
        genai.Client(vertexai=False, credentials=Credentials(token="ya29"))  # type: ignore[no-untyped-call]
