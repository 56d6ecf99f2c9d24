"""No secret and no prompt is in anything that comes out of a home in which everything has gone wrong once."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from shared.config import InvalidSetting, Settings
from shared.core.observability.otel_values import wrong_value
from tests.security import canaries, leaky_home
from tests.security.canaries import MISPLACED, PROMPT, PROMPTS, SECRETS, SETTINGS, found_in
from tests.security.leaky_home import Outputs

NOT_RUN = {"up", "simulator", "drill"}
"""The first two are processes of the story; a drill has a home and a provider of its own, and no key."""
LOGS = ("file events", "file traces", "collector", "GET /metrics", "up", "GET /console")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    with leaky_home.running(tmp_path_factory.mktemp("leaky")) as outputs:
        yield outputs


@pytest.mark.slow
@pytest.mark.parametrize("where", SECRETS)
def test_no_output_holds_a_secret(outputs: Outputs, where: str) -> None:
    assert found_in(outputs.everything, SECRETS[where]) == []


@pytest.mark.slow
@pytest.mark.parametrize("where", SETTINGS)
def test_no_secret_of_a_setting_is_stored(outputs: Outputs, where: str) -> None:
    assert found_in(outputs.store, SECRETS[where]) == []


@pytest.mark.slow
@pytest.mark.parametrize("what", PROMPTS)
def test_a_prompt_is_shown_only_to_who_asked_for_it(outputs: Outputs, what: str) -> None:
    assert found_in(outputs.shown, PROMPTS[what]) == []
    assert found_in(outputs.with_prompt, PROMPTS[what])
    assert found_in(outputs.store, PROMPTS[what]), "the search finds what is there"


@pytest.mark.slow
def test_what_a_publisher_wrote_in_a_wrong_field_reaches_no_log(outputs: Outputs) -> None:
    """It may be a prompt. The publisher sees it, and an operator who lists rejected messages."""
    places = found_in(outputs.shown, MISPLACED)
    assert [place for place in places if place.startswith(LOGS)] == []
    assert any(place.startswith("result ") for place in places)


@pytest.mark.slow
def test_a_signing_secret_of_a_receiver_is_shown_once(outputs: Outputs) -> None:
    assert len(set(outputs.secrets_shown_once)) == 2
    for secret in outputs.secrets_shown_once:
        (place,) = found_in(outputs.everything, secret)
        assert " webhook add " in place or " webhook rotate " in place


@pytest.mark.slow
def test_every_verb_was_run_in_it(outputs: Outputs) -> None:
    ran = [name.removeprefix("renderlane ").split() for name in outputs.everything if name.startswith("renderlane ")]
    ran = [words for words in ran if "--help" not in words]

    def was_run(verb: tuple[str, ...]) -> bool:
        return any([word for word in words if word != "web"][: len(verb)] == list(verb) for words in ran)

    assert {" ".join(verb) for verb in leaky_home.leaves() if not was_run(verb)} == NOT_RUN


@pytest.mark.slow
def test_everything_was_in_use_and_went_wrong(outputs: Outputs) -> None:
    statuses = {line["request_id"]: line for line in map(json.loads, outputs.sent["statuses"].splitlines())}
    assert statuses["ok"]["status"] == "succeeded", "so the key was sent"
    ended = {
        name: statuses[f"bad-{name}"]["outcome"]["code"] for name in ("rejected", "no_image", "permission", "gone")
    }
    assert len(set(ended.values())) == 4
    assert statuses["signed"]["outcome"]["code"] == "reference"
    proved = next(text for name, text in outputs.shown.items() if name.startswith("renderlane gateway prove"))
    assert json.loads(proved.splitlines()[-1])["passed"] is True, "so the gateway's key was sent"
    assert not found_in(outputs.shown, "Using GOOGLE_API_KEY")
    assert canaries.COLLECTOR_TOKEN.encode() in outputs.sent["collector's headers"]
    assert sum(name.startswith("GET /console/") for name in outputs.shown) > 60
    assert sum(name.startswith("webhook ") for name in outputs.shown) > 20
    assert sum(name.startswith("result ") for name in outputs.shown) > 20
    assert b"not a database" in outputs.shown["up on a damaged database"]
    assert b"stopped" in outputs.shown["up: standard error"]
    assert not [name for name, text in outputs.shown.items() if b"Traceback (most recent call last)" in text]


@pytest.mark.parametrize("secret", SECRETS.values())
def test_the_search_sees_through_disguises(secret: str) -> None:
    bare = secret.removeprefix("whsec_")
    texts = [f"x{secret}y", json.dumps({"a": secret}), quote(secret, safe=""), bare, f"X {secret.upper()}"]
    texts += [base64.b64encode(b"." * before + bare.encode() + b"!").decode() for before in range(3)]
    for number, text in enumerate(texts):
        assert found_in({"a": text.encode(), "b": b"nothing of it"}, secret) == ["a"], number


VARIABLES = sorted(
    {
        name
        for line in Path("docs/configuration.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
        for name in line.split("|")[1].replace("`", "").replace("NAME", "NOBODY").replace(" ", "").split(",")
        if name.isupper() and name != "RENDERLANE_QUOTA"  # its grammar has no address
    }
)
WRONG = (
    f"ftp://ann:{canaries.URL_PASSWORD}@host.example/a?key={canaries.URL_SIGNATURE}#{canaries.URL_SIGNATURE}",
    f"https://ann:{canaries.URL_PASSWORD}@host.example:port/a?key={canaries.URL_SIGNATURE}",
    f"pubsub://ann:{canaries.URL_PASSWORD}@x/y/z?{canaries.URL_SIGNATURE}",
)


@pytest.mark.parametrize("value", WRONG, ids=["ftp", "https", "pubsub"])
@pytest.mark.parametrize("name", VARIABLES)
def test_a_wrong_setting_is_told_without_what_it_may_hide(name: str, value: str, tmp_path: Path) -> None:
    try:
        Settings.read({name: value, "RENDERLANE_HOME": str(tmp_path)}, tmp_path)
    except InvalidSetting as error:
        message = str(error)
        assert name.removesuffix("NOBODY") in message
        assert found_in({name: message.encode()}, canaries.URL_PASSWORD) == []
        assert found_in({name: message.encode()}, canaries.URL_SIGNATURE) == []


def test_every_documented_variable_is_tried() -> None:
    assert len(VARIABLES) >= 38


@pytest.mark.parametrize(
    "value", [canaries.COLLECTOR_TOKEN, f"=={canaries.COLLECTOR_TOKEN}", f"authorization {canaries.COLLECTOR_TOKEN}"]
)
def test_a_wrong_header_for_the_collector_is_not_repeated(value: str) -> None:
    wrong = wrong_value({"OTEL_EXPORTER_OTLP_HEADERS": value, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert canaries.COLLECTOR_TOKEN not in str(wrong)


@pytest.mark.slow
def test_no_prompt_is_in_what_was_drawn_of_the_store(outputs: Outputs) -> None:
    """Images carry no prompt in their metadata."""
    images = {name: data for name, data in outputs.store.items() if "images" in name}
    assert images
    assert found_in(images, PROMPT) == []
