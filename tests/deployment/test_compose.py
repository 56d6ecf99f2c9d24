"""docker-compose.yml by the compose specification's schema, and beside the topology and settings of the code.

No container runtime is needed: GitHub's CI builds and runs it (.github/workflows/ci.yml, job `compose`).
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft7Validator, ValidationError

from scripts.deployment import image_by_hand
from shared.config import Settings
from shared.core.messages.topics import SUBSCRIPTIONS, TOPICS

SCHEMA = Path("tests/deployment/data/compose-spec.json")
"""https://github.com/compose-spec/compose-spec, schema/compose-spec.json, Apache-2.0."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path("docker-compose.yml").read_text("utf-8"))
    return loaded


def test_it_is_what_the_specification_allows(compose: dict[str, Any]) -> None:
    Draft7Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(compose)


def test_a_misspelt_key_would_be_seen(compose: dict[str, Any]) -> None:
    wrong = {**compose, "services": {"intake": {"imagee": "x"}}}
    with pytest.raises(ValidationError):
        Draft7Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(wrong)


def test_every_function_of_the_topology_is_a_service(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for function in {subscription.function for subscription in SUBSCRIPTIONS} | {"watch", "console"}:
        assert services[function]["image"] == "renderlane:local"
        if function == "render":
            assert services[function]["entrypoint"] == ["python", "-m", "functions.pull", "render"]
        else:
            assert services[function]["environment"]["FUNCTION_TARGET"] == function


def test_the_worker_accepts_the_environment_it_is_given(compose: dict[str, Any], tmp_path: Path) -> None:
    for service in compose["services"].values():
        environment = service.get("environment")
        if environment:
            given = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in environment.items()}
            assert Settings.read(given, tmp_path).project == "demo"


def test_what_depends_on_something_names_a_service(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            assert other in services, f"{name} depends on {other}"
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or Path(source).exists(), volume


def test_topics_and_subscriptions_are_the_codes() -> None:
    script = Path("compose/topology.sh").read_text("utf-8")
    topics = re.search(r"for topic in (.*); do", script)
    assert topics is not None
    assert set(topics[1].split()) == set(TOPICS)
    rows = re.findall(r"^(\S+) (\S+) (\w+) (\d+) (push|pull)$", script, re.MULTILINE)
    assert {(name, topic, function, int(seconds)) for name, topic, function, seconds, _ in rows} == {
        (one.name, one.topic, one.function, int(one.ack_deadline.total_seconds())) for one in SUBSCRIPTIONS
    }
    assert [function for _, _, function, _, how in rows if how == "pull"] == ["render"]


@pytest.mark.parametrize("script", sorted(Path("compose").glob("*.sh")), ids=str)
def test_each_script_is_one_that_bash_reads(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_simulators_image_copies_what_exists() -> None:
    steps = image_by_hand.instructions(Path("compose/simulator.Dockerfile").read_text("utf-8"))
    copied = [name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]]
    assert [name for name in copied if not Path(name).exists()] == []
    assert [rest for word, rest in steps if word == "ENTRYPOINT"] == [
        '["renderlane", "simulator", "--host", "0.0.0.0", "--port", "8099"]'
    ]
