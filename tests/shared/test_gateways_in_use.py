"""Which gateways a process plans for: those that have a key here, and those that it is told of."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from shared import wiring
from shared.config import InvalidSetting, Settings
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from tests.builders import a_catalogue
from tests.fakes.slots import at_once

SOON = timedelta(seconds=5)


def settings(tmp_path: Path, **environment: str) -> Settings:
    return Settings.read(environment, tmp_path)


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, set()),
        ({"RENDERLANE_GATEWAY_KEY_LAOZHANG": "sk-a-key"}, {"laozhang"}),
        ({"RENDERLANE_GATEWAYS": "laozhang"}, {"laozhang"}),
        ({"RENDERLANE_GATEWAYS": " LAOZHANG , "}, {"laozhang"}),
        ({"RENDERLANE_GATEWAYS": "laozhang", "RENDERLANE_GATEWAY_KEY_LAOZHANG": "sk-a-key"}, {"laozhang"}),
    ],
)
def test_a_key_or_a_name_puts_a_gateway_in_use(tmp_path: Path, environment: dict[str, str], names: set[str]) -> None:
    assert wiring.gateways_in_use(settings(tmp_path, **environment), a_catalogue()) == names


@pytest.mark.parametrize("variable", ["RENDERLANE_GATEWAYS", "RENDERLANE_GATEWAY_KEY_ACME"])
def test_a_gateway_that_the_catalogue_does_not_have_is_refused_by_its_variable(tmp_path: Path, variable: str) -> None:
    given = settings(tmp_path, **{variable: "acme"})
    with pytest.raises(InvalidSetting, match=rf"{variable}: found a gateway .* \(acme\); allowed: laozhang"):
        wiring.gateways_in_use(given, a_catalogue())


async def test_a_process_that_is_told_of_a_gateway_and_has_no_key_calls_nobody(tmp_path: Path) -> None:
    lane = wiring.gateway_lane(settings(tmp_path, RENDERLANE_GATEWAYS="laozhang"), a_catalogue())
    order = Order("r-1", "gemini-3-pro-image", "gateway", "a lighthouse", "1K", None, gateway="laozhang")
    answer = await lane.generate(order, SOON, at_once)
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.CREDENTIAL
