"""The environment: what it means, and what a wrong value is told."""

from __future__ import annotations

import io
import os
import re
from decimal import Decimal
from pathlib import Path

import pytest

from shared import wiring
from shared.adapters.google_cloud.cloud_quotas import CloudQuotas
from shared.adapters.google_cloud.emulator_host import settled
from shared.adapters.google_cloud.no_live_quota import NoLiveQuota
from shared.config import (
    FirestoreSettings,
    InvalidSetting,
    LiveQuotaOff,
    LiveQuotaOn,
    LocalTopicsSettings,
    PubsubSettings,
    Settings,
    SqliteSettings,
    Vertex,
)
from shared.core.limits.quota import Limits
from shared.core.values import lanes


def test_without_any_variable_everything_lies_in_the_home_of_this_folder(tmp_path: Path) -> None:
    settings = Settings.read({}, tmp_path)
    assert settings.one_machine
    assert settings.store == SqliteSettings(tmp_path / ".renderlane" / "state.db")
    assert settings.images == (tmp_path / ".renderlane" / "images").as_uri()
    assert settings.references == (f"{tmp_path.as_uri()}/",)
    assert settings.project == "local"


def test_a_folder_with_spaces_and_accents_is_a_folder(tmp_path: Path) -> None:
    here = tmp_path / "mein Büro #1"
    here.mkdir()
    ports = wiring.build(Settings.read({}, here), io.StringIO())
    ports.references.check((here / "a.png").as_uri(), "web")


def test_the_cloud_is_named_by_its_stores() -> None:
    settings = Settings.read(
        {
            "RENDERLANE_STORE": "firestore://shop/render",
            "RENDERLANE_TOPICS": "pubsub://shop",
            "RENDERLANE_IMAGES": "gs://shop-images/web",
            "RENDERLANE_QUOTA": "*=rpm:60",
        },
        Path("/"),
    )
    assert settings.store == FirestoreSettings("shop", "render")
    assert settings.topics == PubsubSettings("shop")
    assert settings.project == "shop"
    assert settings.references == ()
    assert not settings.one_machine
    assert settings.quota.limits("any") == Limits(rpm=60)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("RENDERLANE_STORE", "mysql://x", "sqlite:///path or firestore://PROJECT"),
        ("RENDERLANE_STORE", "sqlite:///", "sqlite:///path"),
        ("RENDERLANE_STORE", "firestore://", "firestore://PROJECT"),
        ("RENDERLANE_TOPICS", "kafka", "local or pubsub://PROJECT"),
        ("RENDERLANE_TOPICS", "pubsub://", "pubsub://PROJECT"),
        ("RENDERLANE_IMAGES", "/tmp", "file:///path or gs://BUCKET"),
        ("RENDERLANE_IMAGES", "file:///", "file:///path"),
        ("RENDERLANE_IMAGES", "gs://", "gs://BUCKET"),
        ("RENDERLANE_REFERENCES", "http://host/", "https://"),
        ("RENDERLANE_CATALOGUE", "nowhere.toml", "a readable TOML file"),
        ("RENDERLANE_QUOTA", "pro=rpm:many", "a number"),
        ("RENDERLANE_CAPACITY", "none", "a whole number"),
        ("RENDERLANE_BACKGROUND", "yes", "auto, on or off"),
        ("RENDERLANE_WEBHOOK_URL", "http://shop.example/arrive", "https:// address"),
        ("RENDERLANE_WEBHOOK_URL", "https://user:word@shop.example/arrive", "without credentials"),
        ("RENDERLANE_WEBHOOK_URL", "https://[shop/arrive", "https:// address"),
        ("RENDERLANE_WEBHOOK_SECRET", "secret", "whsec_ and base64"),
        ("RENDERLANE_WEBHOOK_SECRET", "whsec_short", "found 11 characters"),
        ("RENDERLANE_KEEP_PAID_HOURS", "0", "a whole number of hours from 1 to 720"),
        ("RENDERLANE_KEEP_PAID_HOURS", "721", "a whole number of hours from 1 to 720"),
        ("RENDERLANE_KEEP_PAID_HOURS", "a day", "a whole number of hours from 1 to 720"),
        ("RENDERLANE_LIVE_QUOTA", "on", "off, limits or limits,usage"),
        ("RENDERLANE_LIVE_QUOTA", "usage", "off, limits or limits,usage"),
        ("RENDERLANE_LIVE_QUOTA", "usage,limits", "off, limits or limits,usage"),
        ("RENDERLANE_LIVE_QUOTA", "limits,", "off, limits or limits,usage"),
        ("RENDERLANE_LIVE_QUOTA", "off@http://127.0.0.1:9", "@http://HOST:PORT"),
        ("RENDERLANE_LIVE_QUOTA", "limits@", "@http://HOST:PORT"),
        ("RENDERLANE_LIVE_QUOTA", "limits@127.0.0.1:9", "@http://HOST:PORT"),
        ("RENDERLANE_LIVE_QUOTA", "limits@http://127.0.0.1", "@http://HOST:PORT"),
        ("RENDERLANE_LIVE_QUOTA", "limits@https://127.0.0.1:9", "@http://HOST:PORT"),
        ("RENDERLANE_LIVE_QUOTA", "limits@http://key@127.0.0.1:9", "@http://HOST:PORT"),
        ("RENDERLANE_LIVE_QUOTA", "limits@http://127.0.0.1:9/v1", "@http://HOST:PORT"),
        ("RENDERLANE_LIVE_QUOTA", "limits@http://127.0.0.1:99999", "@http://HOST:PORT"),
        ("RENDERLANE_LIVE_QUOTA", "limits", "GOOGLE_CLOUD_PROJECT"),
        ("GOOGLE_GEMINI_BASE_URL", "ftp://x", "http:// or https://"),
        ("GOOGLE_CLOUD_PROJECT", "bad project/x", "a project id"),
        ("RENDERLANE_VERTEX", "shop/europe-west4/x", "PROJECT or PROJECT/LOCATION"),
        ("RENDERLANE_VERTEX", "shop/", "PROJECT or PROJECT/LOCATION"),
        ("RENDERLANE_VERTEX", "Shop/global", "PROJECT or PROJECT/LOCATION"),
        ("RENDERLANE_VERTEX_ROUTE", "always", "fallback, first, named, only"),
        ("RENDERLANE_VERTEX_ROUTE", "first", "nothing where RENDERLANE_VERTEX is not set"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_what_was_found_and_what_is_allowed(
    name: str, value: str, allowed: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        Settings.read({name: value}, tmp_path)
    assert str(refused.value).startswith(f"{name}: ")
    assert allowed in str(refused.value)


CLOUD = {"RENDERLANE_STORE": "firestore://shop", "RENDERLANE_TOPICS": "pubsub://shop"}


@pytest.mark.parametrize(
    ("given", "live"),
    [
        ({}, LiveQuotaOff("default")),
        (CLOUD, LiveQuotaOn("limits", None)),
        (CLOUD | {"FIRESTORE_EMULATOR_HOST": "127.0.0.1:8086"}, LiveQuotaOff("default")),
        (CLOUD | {"RENDERLANE_LIVE_QUOTA": "off"}, LiveQuotaOff("setting")),
        (CLOUD | {"RENDERLANE_LIVE_QUOTA": "limits,usage"}, LiveQuotaOn("limits and usage", None)),
        ({"RENDERLANE_LIVE_QUOTA": " limits , usage "} | CLOUD, LiveQuotaOn("limits and usage", None)),
        ({"RENDERLANE_LIVE_QUOTA": "limits", "GOOGLE_CLOUD_PROJECT": "shop"}, LiveQuotaOn("limits", None)),
        ({"RENDERLANE_LIVE_QUOTA": "limits@http://quota:80"}, LiveQuotaOn("limits", "http://quota:80")),
        ({"RENDERLANE_LIVE_QUOTA": "limits,usage@http://[::1]:9/"}, LiveQuotaOn("limits and usage", "http://[::1]:9")),
    ],
)
def test_live_quota_is_read_in_the_cloud_and_where_it_is_asked_for(
    given: dict[str, str], live: LiveQuotaOff | LiveQuotaOn, tmp_path: Path
) -> None:
    assert Settings.read(given, tmp_path).live_quota == live


def test_whoever_reads_limits_is_built_by_the_setting(tmp_path: Path) -> None:
    for text, adapter in (("off", NoLiveQuota), ("limits,usage@http://127.0.0.1:9", CloudQuotas)):
        settings = Settings.read({"RENDERLANE_LIVE_QUOTA": text}, tmp_path)
        assert isinstance(wiring.build(settings, io.StringIO()).live_quota, adapter)


def test_local_topics_need_the_sqlite_store_that_they_live_in(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="RENDERLANE_TOPICS"):
        Settings.read({"RENDERLANE_STORE": "firestore://shop"}, tmp_path)
    assert isinstance(Settings.read({}, tmp_path).topics, LocalTopicsSettings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GEMINI_API_KEY", "a b"),
        ("GEMINI_API_KEY", "ключ"),
        ("GOOGLE_GEMINI_BASE_URL", "http://host:99999"),
        ("RENDERLANE_REFERENCES", "https://*"),
        ("RENDERLANE_QUOTA", "nano-banana-9=rpm:5"),
    ],
)
def test_a_value_that_only_its_adapter_can_judge_is_refused_under_its_name_too(
    name: str, value: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match=name):
        wiring.build(Settings.read({name: value}, tmp_path), io.StringIO())


def test_a_key_of_another_google_product_is_not_read(tmp_path: Path) -> None:
    """Report: https://github.com/google-gemini/gemini-cli/issues/9958"""
    assert Settings.read({"GOOGLE_API_KEY": "AIza-of-another-product"}, tmp_path).api_key is None
    both = Settings.read({"GOOGLE_API_KEY": "AIza-of-another-product", "GEMINI_API_KEY": "AQ.ours"}, tmp_path)
    assert both.api_key == "AQ.ours"


def test_a_home_below_the_accounts_own_folder_may_be_written_with_a_tilde(tmp_path: Path) -> None:
    given = {"HOME": "/home/ann"}
    assert Settings.read({"RENDERLANE_HOME": "~/rl", **given}, tmp_path).home == Path("/home/ann/rl")
    assert Settings.read({"RENDERLANE_HOME": "~", **given}, tmp_path).home == Path("/home/ann")
    assert Settings.read({"RENDERLANE_HOME": "a~/b", **given}, tmp_path).home == tmp_path / "a~" / "b"
    with pytest.raises(InvalidSetting, match="RENDERLANE_HOME: found '~/rl'; allowed: "):
        Settings.read({"RENDERLANE_HOME": "~/rl"}, tmp_path)


@pytest.mark.parametrize("name", ["FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"])
@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("", None),
        ("  ", None),
        ("127.0.0.1:8085", "127.0.0.1:8085"),
        ("http://127.0.0.1:8085", "127.0.0.1:8085"),
        ("http://127.0.0.1:8085/", "127.0.0.1:8085"),
        ("localhost:8085/", "localhost:8085"),
        ("[::1]:8085", "[::1]:8085"),
        ("pubsub_emulator:8085", "pubsub_emulator:8085"),
    ],
)
def test_an_emulator_may_be_named_by_its_address(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, host: str | None
) -> None:
    """Report: https://github.com/abdolence/firestore-rs/pull/61. Google's clients read the variable themselves."""
    monkeypatch.setenv(name, text)
    monkeypatch.setenv("no_grpc_proxy", "")
    assert settled(name) == host
    assert os.environ.get(name) == host


@pytest.mark.parametrize("text", ["8085", "127.0.0.1", "https://127.0.0.1:8085", "h:99999", "a b:1", "host:1/x"])
def test_an_emulator_without_host_and_port_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"FIRESTORE_EMULATOR_HOST: found .*; allowed: HOST:PORT"):
        Settings.read({"FIRESTORE_EMULATOR_HOST": text}, tmp_path)


@pytest.mark.parametrize(
    "url", ["http://vertex.example:80", "ftp://x", "https://user@vertex.example", "http://10.0.0.1:9"]
)
def test_credentials_of_google_cloud_go_to_https_alone(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="GOOGLE_VERTEX_BASE_URL"):
        Settings.read({"RENDERLANE_VERTEX": "shop", "GOOGLE_VERTEX_BASE_URL": url}, tmp_path)


def test_the_vertex_lane_is_there_where_its_project_is_named(tmp_path: Path) -> None:
    assert "vertex" not in wiring.build(Settings.read({}, tmp_path), io.StringIO()).lanes
    settings = Settings.read({"RENDERLANE_VERTEX": "shop/eu", "GEMINI_API_KEY": "AQ.x"}, tmp_path)
    assert settings.vertex == Vertex("shop", "eu", "fallback", None)
    assert settings.pays
    ports = wiring.build(settings, io.StringIO())
    assert set(ports.lanes) == {*lanes.AT_ONCE, lanes.VERTEX}
    assert (ports.vertex_in_use, ports.vertex_project) == ("fallback", "shop")


def test_with_vertex_alone_there_is_no_other_lane_and_no_simulator(tmp_path: Path) -> None:
    settings = Settings.read({"RENDERLANE_VERTEX": "shop", "RENDERLANE_VERTEX_ROUTE": "only"}, tmp_path)
    assert settings.calls_google
    assert settings.pays
    ports = wiring.build(settings, io.StringIO())
    assert tuple(ports.lanes) == ports.open_lanes == ("vertex",)
    beside = Settings.read({"RENDERLANE_VERTEX": "shop"}, tmp_path)
    assert not beside.calls_google, "without a key the simulator answers, on Vertex's paths too"
    assert not beside.pays


@pytest.mark.parametrize(
    ("location", "image_output", "listed"), [("global", "120.00", 134_000), ("eu", "132.0000", 147_400)]
)
def test_a_location_has_its_own_prices(location: str, image_output: str, listed: int, tmp_path: Path) -> None:
    settings = Settings.read({"RENDERLANE_VERTEX": f"shop/{location}"}, tmp_path)
    lanes = wiring.catalogue(settings).models["gemini-3-pro-image"].lanes
    assert lanes["vertex"].image_output == Decimal(image_output)
    assert lanes["vertex"].listed["2K"] == listed
    assert lanes["vertex"].api == "vertex"
    assert lanes["standard"].image_output == Decimal(120)


def test_background_calls_prove_themselves_and_are_polled_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    settings = Settings.read({}, tmp_path)
    assert (settings.background, settings.webhook_url, settings.webhook_secret) == ("auto", None, None)
    secret = "whsec_bm90IGEgc2VjcmV0IGF0IGFsbA=="
    chosen = {
        "RENDERLANE_BACKGROUND": "off",
        "RENDERLANE_WEBHOOK_URL": "https://arrive.example/",
        "RENDERLANE_WEBHOOK_SECRET": secret,
    }
    settings = Settings.read(chosen, tmp_path)
    assert (settings.background, settings.webhook_url) == ("off", "https://arrive.example/")
    assert settings.webhook_secret == secret
    assert secret not in repr(settings)


def test_the_webhook_of_a_stand_in_on_this_machine_needs_no_tls(tmp_path: Path) -> None:
    url = "http://127.0.0.1:8123/functions/arrive"
    assert Settings.read({"RENDERLANE_WEBHOOK_URL": url}, tmp_path).webhook_url == url


def test_a_wrong_webhook_secret_is_never_repeated(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting) as error:
        Settings.read({"RENDERLANE_WEBHOOK_SECRET": "whsec_mine only"}, tmp_path)
    assert "mine" not in str(error.value)


def test_the_tier_of_the_billing_account_sets_its_window_its_cap_and_whether_there_is_priority(tmp_path: Path) -> None:
    settings = Settings.read({"RENDERLANE_TIER": "1", "GEMINI_API_KEY": "AQ.x"}, tmp_path)
    ports = wiring.build(settings, io.StringIO())
    assert ports.account.monthly_cap_micros == 250_000_000
    assert ports.quota.limits("gemini-3-pro-image").spend10m_micros == 10_000_000
    assert set(ports.catalogue.barred) == {"priority"}
    own = Settings.read({"RENDERLANE_TIER": "3", "RENDERLANE_MONTHLY_CAP": "45000"}, tmp_path)
    assert wiring.account(own, wiring.catalogue(own)).monthly_cap_micros == 45_000_000_000
    assert wiring.catalogue(own).barred == {}


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("RENDERLANE_TIER", "4", "1, 2, 3"), ("RENDERLANE_MONTHLY_CAP", "0", "dollars above zero"),
     ("RENDERLANE_MONTHLY_CAP", "much", "dollars above zero")],
)  # fmt: skip
def test_a_wrong_tier_or_cap_is_refused(name: str, value: str, allowed: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=rf"{name}: found.*{re.escape(allowed)}"):
        wiring.build(Settings.read({name: value}, tmp_path), io.StringIO())


@pytest.mark.parametrize(
    ("given", "live"),
    [
        ({}, False),
        ({"GEMINI_API_KEY": "AQ.x"}, True),
        ({"GEMINI_API_KEY": "AQ.x", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}, False),
        ({"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9", "RENDERLANE_VERTEX": "shop"}, True),
    ],
)
def test_calls_are_live_as_soon_as_one_of_the_providers_is_real(
    tmp_path: Path, given: dict[str, str], *, live: bool
) -> None:
    assert Settings.read(given, tmp_path).is_live is live


@pytest.mark.parametrize("name", ["RENDERLANE_CAPACITY", "RENDERLANE_PROBE_MINUTES", "RENDERLANE_KEEP_PAID_HOURS"])
def test_a_number_of_more_digits_than_python_reads_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=name):
        Settings.read({name: "9" * 5_000}, tmp_path)
