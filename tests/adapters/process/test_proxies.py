"""Proxies of the environment: this machine is reached without one, and one that cannot be used is refused in words."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from shared import wiring
from shared.adapters.process import proxies
from shared.config import InvalidSetting, Settings

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
SPARED = "no_grpc_proxy"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, SPARED):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080", "http://127.1.2.3", "http://localhost:1/v1", "HTTP://LOCALHOST", "http://[::1]:80",
        "http://a.localhost", "127.0.0.1:8085", "localhost:8085", "http://[::ffff:127.0.0.1]", "http://0.0.0.0:9",
        "http://localhost.:1",
    ],
)  # fmt: skip
def test_this_machine_is_reached_without_a_proxy(url: str) -> None:
    assert proxies.is_loopback(url)
    assert not proxies.trusted(url)


@pytest.mark.parametrize(
    "url", ["https://generativelanguage.googleapis.com", "http://10.0.0.7", "http://localhost.evil.example", "http://a"]
)
def test_other_machines_are_reached_as_the_environment_says(url: str) -> None:
    assert proxies.trusted(url)
    assert proxies.trusted(None)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "socks5h://u:secret@p:1", "SOCKS4://p:1", "ftp://p:1"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "http_proxy"])
def test_a_proxy_that_no_client_speaks_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)
    with pytest.raises(InvalidSetting, match=f"{name}: found .*; allowed: http://HOST:PORT") as refused:
        wiring.build(Settings.read({"GEMINI_API_KEY": "AQ.test"}, tmp_path), io.StringIO())
    assert "secret" not in str(refused.value)
    wiring.build(
        Settings.read({"GEMINI_API_KEY": "AQ.t", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:1"}, tmp_path),
        io.StringIO(),
    )


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "proxy.corp:3128", "https://p:1"])
def test_other_proxies_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    wiring.build(Settings.read({"GEMINI_API_KEY": "AQ.test"}, tmp_path), io.StringIO())


@pytest.mark.parametrize("kept", ["", "10.0.0.1,example.com"])
def test_grpc_is_told_to_spare_an_emulator_on_this_machine(monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    monkeypatch.setenv("no_proxy", kept)
    for _ in range(2):
        proxies.spare("127.0.0.1:8085")
    proxies.spare("emulator.example.com:8085")
    assert os.environ[SPARED].split(",") == [*filter(None, kept.split(",")), "127.0.0.1"]
    monkeypatch.delenv(SPARED)
