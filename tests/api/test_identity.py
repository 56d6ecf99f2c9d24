"""Who calls the API: the account in the token that Cloud Run has checked, and that account's tenants only."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from functions.api.app import app
from shared.adapters.identity.cloud_run import CloudRunCallers
from shared.adapters.identity.loopback import LoopbackCallers
from shared.config import InvalidSetting, Settings
from shared.ports.identity import Caller, CallerInfo, NotIdentified
from shared.wiring import Worker, callers
from tests.api.callers import ACCOUNTS, AUDIENCE, NOW, bearer, client, encoded, token
from tests.world import World

WEB = "web@p.iam.gserviceaccount.com"
CALLERS = CloudRunCallers(AUDIENCE, ACCOUNTS, lambda: NOW)


def call_with(assertion: str | None) -> CallerInfo:
    return CallerInfo(peer="169.254.1.1", host="renderlane.example.com", proxied=True, assertion=assertion)


async def test_the_account_of_the_token_has_its_tenants() -> None:
    assert await CALLERS.caller(call_with(f"Bearer {token(WEB)}")) == Caller(WEB, ("web",))
    assert (await CALLERS.caller(call_with(f"bearer {token(WEB.upper())}"))).tenants == ("web",)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "Bearer x", "Bearer a.b", "Basic d2ViOndlYg==", f"Token {token(WEB)}",
        f"Bearer {token(WEB, 'c2lnbmF0dXJl')}",  # a token that Cloud Run has not looked at
        f"Bearer {token(WEB, '')}",
        f"Bearer {token(WEB)}.more",
        f"Bearer {token('nobody@p.iam.gserviceaccount.com')}",
        f"Bearer {token(WEB, aud='https://other.example.com')}",
        f"Bearer {token(WEB, aud=[AUDIENCE])}",
        f"Bearer {token(WEB, aud=None)}",
        f"Bearer {token(WEB, iss='https://evil.example.com')}",
        f"Bearer {token(WEB, exp=int(NOW.timestamp()) - 60)}",
        f"Bearer {token(WEB, exp='soon')}",
        f"Bearer {token(WEB, email_verified=False)}",
        f"Bearer {token(WEB, email_verified='true')}",
        f"Bearer {token(WEB, email=None)}",
        f"Bearer {token(WEB, email=['web@p.iam.gserviceaccount.com'])}",
        f"Bearer {token(WEB, email=WEB + chr(10))}",
        f"Bearer {encoded({})}.{encoded([1])}.SIGNATURE_REMOVED_BY_GOOGLE",
        f"Bearer {encoded({})}.%%%.SIGNATURE_REMOVED_BY_GOOGLE",
        f"Bearer {encoded({})}.{'A' * 20_000}.SIGNATURE_REMOVED_BY_GOOGLE",
    ],
)  # fmt: skip
async def test_what_identifies_nobody(header: str | None) -> None:
    with pytest.raises(NotIdentified, match=r"found .*allowed: "):
        await CALLERS.caller(call_with(header))


async def answered(path: str, account: str | None, **headers: str) -> httpx2.Response:
    async with client(Worker.of(World().ports), account) as calling:
        answer: httpx2.Response = await calling.get(path, headers=headers)
        return answer


async def test_without_a_caller_nothing_is_answered_but_the_description() -> None:
    for path in ("/v1/requests", "/v1/requests/hero", "/v1/requests/hero/image", "/v1/requests/hero/events", "/x"):
        answer = await answered(path, None)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
    for path in ("/v1/openapi.json", "/healthz"):
        assert (await answered(path, None)).status_code == 200


async def test_the_header_that_cloud_run_checks_counts_and_not_the_one_that_it_passes_on() -> None:
    """With both, Cloud Run reads `X-Serverless-Authorization`, and hands `Authorization` on as it came."""
    forged = bearer("ops@example.com")["authorization"]
    checked = bearer("evil@p.iam.gserviceaccount.com")["authorization"]
    headers = {"authorization": forged, "x-serverless-authorization": checked}
    assert (await answered("/v1/requests?tenant=web", None, **headers)).status_code == 403
    assert (await answered("/v1/requests?tenant=evil", None, **headers)).status_code == 200


@pytest.mark.parametrize(
    ("call", "let_in"),
    [
        (CallerInfo("127.0.0.1", "localhost:8080", proxied=False, assertion=None), True),
        (CallerInfo("10.0.0.7", "localhost:8080", proxied=False, assertion=None), False),
        (CallerInfo("127.0.0.1", "evil.example:8080", proxied=False, assertion=None), False),
        (CallerInfo("127.0.0.1", "localhost:8080", proxied=True, assertion=None), False),
    ],
)
async def test_on_one_machine_its_programs_call_for_every_tenant(call: CallerInfo, let_in: bool) -> None:
    if not let_in:
        with pytest.raises(NotIdentified):
            await LoopbackCallers().caller(call)
        return
    caller = await LoopbackCallers().caller(call)
    assert caller.default_tenant == "default"
    assert caller.may_use("web")


async def test_an_api_without_an_audience_serves_this_machine_only(tmp_path: Any) -> None:
    """A function that was deployed without its settings lets nobody in."""
    application = app(Worker.of(World().ports), callers(Settings.read({}, tmp_path)))
    transport = httpx2.ASGITransport(app=application, client=("169.254.1.1", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="https://renderlane-api-x.a.run.app") as calling:
        answer = await calling.get("/v1/requests", headers=bearer("ops@example.com"))
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"RENDERLANE_API_AUDIENCE": "https://a"}, "RENDERLANE_API_CALLERS"),
        ({"RENDERLANE_API_CALLERS": "{}"}, "RENDERLANE_API_AUDIENCE"),
        ({"RENDERLANE_API_AUDIENCE": "a b", "RENDERLANE_API_CALLERS": "{}"}, "RENDERLANE_API_AUDIENCE"),
        *(
            ({"RENDERLANE_API_AUDIENCE": "https://a", "RENDERLANE_API_CALLERS": text}, "RENDERLANE_API_CALLERS")
            for text in (
                "[]",
                "{",
                '{"a@b": "web"}',
                '{"a@b": []}',
                '{"web": ["web"]}',
                '{"a@b": ["a/b"]}',
                '{"a@b": [1]}',
            )
        ),
    ],
)
def test_a_wrong_setting_is_refused_at_start(environment: dict[str, str], wrong: str, tmp_path: Any) -> None:
    with pytest.raises(InvalidSetting, match=f"{wrong}: found .*allowed: "):
        Settings.read(environment, tmp_path)


def test_the_setting_names_the_tenants_of_each_account(tmp_path: Any) -> None:
    read = Settings.read(
        {"RENDERLANE_API_AUDIENCE": "https://a", "RENDERLANE_API_CALLERS": '{"a@b": ["web", "shop"], "c@d": ["*"]}'},
        tmp_path,
    )
    assert read.api_callers == {"a@b": ("web", "shop"), "c@d": ("*",)}
