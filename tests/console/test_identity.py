"""Who may use the console: this machine, or whom Identity-Aware Proxy vouches for."""

from __future__ import annotations

import base64
import getpass
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth import jwt
from google.auth.crypt import es256
from msgspec.structs import replace

from functions.console.desk import ConsoleContext
from functions.proxy_headers import PROXIES
from shared import wiring
from shared.adapters.identity import iap
from shared.adapters.identity.iap import IapIdentities
from shared.adapters.identity.loopback import LoopbackIdentities
from shared.config import InvalidSetting, Settings
from shared.ports.identity import CallerInfo, NotIdentified
from tests.console.conftest import Browser, client_of, settings_of

AUDIENCE = "/projects/4711/locations/europe-west1/services/console"
HERE = CallerInfo(peer="127.0.0.1", host="localhost:8080", proxied=False, assertion=None)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST:1"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.2", "::1"])
async def test_this_machine_is_its_account(peer: str, host: str) -> None:
    assert await LoopbackIdentities().actor(replace(HERE, peer=peer, host=host)) == getpass.getuser()


@pytest.mark.parametrize(
    ("caller", "message"),
    [
        (replace(HERE, peer="10.0.0.7"), "10.0.0.7"),
        (replace(HERE, peer=""), "unknown address"),
        (replace(HERE, peer="testclient"), "testclient"),
        (replace(HERE, host="evil.example:8080"), "evil.example"),
        (replace(HERE, host="localhost.evil.example"), "localhost.evil.example"),
        (replace(HERE, host=""), "''"),
        (replace(HERE, host="[::1"), "the host"),
        (replace(HERE, proxied=True), "a proxy"),
    ],
)
async def test_nobody_else_is_known_here(caller: CallerInfo, message: str) -> None:
    with pytest.raises(NotIdentified, match="allowed") as exception_info:
        await LoopbackIdentities().actor(caller)
    assert message in str(exception_info.value)
    assert "RENDERLANE_CONSOLE_AUDIENCE" in str(exception_info.value)


async def test_every_address_of_the_console_is_closed_to_other_machines_and_to_rebound_names(
    desk: ConsoleContext,
) -> None:
    for peer, base_url in (("10.0.0.7", "http://localhost:8080"), ("127.0.0.1", "http://evil.example:8080")):
        async with client_of(desk, peer, base_url) as client:
            browser = Browser(client)
            for path in ("/", "/live", "/flags", "/requests/r-1", "/static/console.css", "/nothing"):
                answer = await browser.look(path)
                assert answer.status_code == 403, path
                assert "Not signed in" in answer.text
            assert (await browser.post("/flags/trip", name="pause")).status_code == 403


async def test_every_answer_carries_the_headers_that_keep_others_out(browser: Browser) -> None:
    for path in ("/", "/nothing", "/static/console.css", "/requests/none"):
        headers = (await browser.look(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


@dataclass
class Proxy:
    """Identity-Aware Proxy's part: its key, and the address where its public half is published."""

    key: ec.EllipticCurvePrivateKey
    url: str
    published: dict[str, str]
    fetched: list[str]

    def assertion(self, key_id: str = "k1", key: ec.EllipticCurvePrivateKey | None = None, **claims: Any) -> str:
        pem = (key or self.key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        signer = es256.EsSigner.from_string(pem, key_id)  # type: ignore[attr-defined,unused-ignore]
        now = int(time.time())
        given = {
            "iss": iap.ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 600,
            "email": "ann@example.com",
        }
        kept = {name: value for name, value in {**given, **claims}.items() if value is not None}
        return bytes(jwt.encode(signer, kept)).decode()  # type: ignore[no-untyped-call]


def public(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    key = ec.generate_private_key(ec.SECP256R1())
    published, fetched = {"k1": public(key)}, []

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            body = json.dumps(published).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Keys) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Proxy(key, f"http://127.0.0.1:{server.server_port}/keys", published, fetched)
        server.shutdown()
        thread.join()


def by(assertion: str | None) -> CallerInfo:
    return CallerInfo("10.0.0.7", "console.example.com", proxied=True, assertion=assertion)


async def test_the_proxys_assertion_says_who_it_is_and_its_keys_are_fetched_once(proxy: Proxy) -> None:
    identities = IapIdentities(AUDIENCE, proxy.url)
    assert await identities.actor(by(proxy.assertion())) == "ann@example.com"
    assert await identities.actor(by(proxy.assertion(email="bob@example.com"))) == "bob@example.com"
    assert proxy.fetched == ["/keys"]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "/projects/4711/locations/europe-west1/services/another"},
        {"iss": "https://accounts.google.com"},
        {"email": None},
        {"email": ""},
        {"iat": 1_700_000_000, "exp": 1_700_000_600},
        {"iat": int(time.time()) + 3_600, "exp": int(time.time()) + 7_200},
    ],
    ids=["audience", "issuer", "no e-mail", "empty e-mail", "expired", "of the future"],
)
async def test_an_assertion_for_another_service_time_or_issuer_does_not_hold(
    proxy: Proxy, claims: dict[str, Any]
) -> None:
    with pytest.raises(NotIdentified, match="allowed"):
        await IapIdentities(AUDIENCE, proxy.url).actor(by(proxy.assertion(**claims)))


async def test_a_forged_a_broken_and_a_missing_assertion_do_not_hold(proxy: Proxy) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    head, _, rest = proxy.assertion().partition(".")
    unsigned = f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{rest.partition('.')[0]}."
    for assertion in (proxy.assertion(key=other), f"{head}.{rest[:-4]}AAAA", unsigned, "nonsense", "", None):
        with pytest.raises(NotIdentified):
            await IapIdentities(AUDIENCE, proxy.url).actor(by(assertion))


def _segment(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    ("head", "claims"),
    [
        (b"[" * 60_000, b"{}"),
        (b'{"alg": "ES256", "kid": "k1"}', b"[" * 60_000),
        (b"[]", b"{}"),
        (b"7", b"{}"),
        (b"null", b"null"),
        (b'{"alg": ["ES256"], "kid": "k1"}', b"{}"),
        (b'{"alg": "ES256", "kid": {}}', b"{}"),
        (b'{"alg": "ES256", "kid": "k1"}', b'{"iat": {}, "exp": []}'),
        (b'{"alg": "ES256", "kid": "k1"}', b'{"iat": 1e400, "exp": 1e400}'),
        (b"\xff", b"\xff"),
    ],
)
async def test_a_malformed_assertion_is_nobodys_and_no_crash(proxy: Proxy, head: bytes, claims: bytes) -> None:
    assertion = f"{_segment(head)}.{_segment(claims)}.{_segment(b'x' * 64)}"
    with pytest.raises(NotIdentified, match="allowed"):
        await IapIdentities(AUDIENCE, proxy.url).actor(by(assertion))


@pytest.mark.parametrize("claims", [{"iat": {}}, {"exp": []}, {"iat": "x"}, {"aud": {"a": 1}}, {"aud": 7}])
async def test_signed_claims_of_other_types_are_nobodys(proxy: Proxy, claims: dict[str, Any]) -> None:
    with pytest.raises(NotIdentified, match="allowed"):
        await IapIdentities(AUDIENCE, proxy.url).actor(by(proxy.assertion(**claims)))


async def test_an_address_that_would_break_a_line_of_the_audit_is_nobodys(proxy: Proxy) -> None:
    with pytest.raises(NotIdentified, match="allowed"):
        await IapIdentities(AUDIENCE, proxy.url).actor(by(proxy.assertion(email="ann@example.com\nbob")))


@pytest.mark.parametrize("header", PROXIES)
async def test_any_header_of_a_proxy_closes_the_console_of_one_machine(desk: ConsoleContext, header: str) -> None:
    async with client_of(desk, "127.0.0.1", "http://localhost:8080") as client:
        assert (await client.get("/console/", headers={header: "1"})).status_code == 403


async def test_a_new_key_of_the_proxy_is_found_without_a_restart(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iap, "ANEW_AFTER", 0.0)
    identities = IapIdentities(AUDIENCE, proxy.url)
    await identities.actor(by(proxy.assertion()))
    new = ec.generate_private_key(ec.SECP256R1())
    proxy.published["k2"] = public(new)
    assert await identities.actor(by(proxy.assertion("k2", new))) == "ann@example.com"
    assert len(proxy.fetched) == 2


async def test_strange_assertions_do_not_have_the_keys_fetched_again_and_again(proxy: Proxy) -> None:
    identities = IapIdentities(AUDIENCE, proxy.url)
    for _ in range(5):
        with pytest.raises(NotIdentified):
            await identities.actor(by("nonsense"))
    assert len(proxy.fetched) == 1


async def test_behind_the_proxy_the_console_knows_nobody_without_an_assertion_and_changes_name_the_address(
    desk: ConsoleContext, proxy: Proxy
) -> None:
    desk.settings = replace(desk.settings, console_audience=AUDIENCE)
    desk.identities = IapIdentities(AUDIENCE, proxy.url)
    async with client_of(desk, "10.0.0.7", "https://console.example.com") as client:
        browser = Browser(client)
        assert (await browser.look()).status_code == 403
        client.headers["x-goog-iap-jwt-assertion"] = proxy.assertion()
        page = await browser.look("/flags")
        assert "ann@example.com" in page.text
        assert "__Host-renderlane=" in page.headers["set-cookie"]
        assert "secure" in page.headers["set-cookie"].lower()


def test_the_setting_decides_who_is_known_and_a_wrong_one_is_refused(tmp_path: Any) -> None:
    assert isinstance(wiring.identities(settings_of(tmp_path)), LoopbackIdentities)
    behind = settings_of(tmp_path, RENDERLANE_CONSOLE_AUDIENCE=AUDIENCE)
    assert isinstance(wiring.identities(behind), IapIdentities)
    for wrong in ("console", "/projects/my-project/x", "https://console.example.com"):
        with pytest.raises(InvalidSetting, match=r"RENDERLANE_CONSOLE_AUDIENCE: found .*; allowed: /projects/NUMBER"):
            Settings.read({"RENDERLANE_CONSOLE_AUDIENCE": wrong}, tmp_path)
