"""Functions that call no model need no key; one that would call without a key says what is missing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from shared import wiring
from shared.config import InvalidSetting, Settings


async def test_ports_are_built_without_a_key_and_the_lane_names_the_variable(tmp_path: Path) -> None:
    ports = wiring.build(Settings.read({"RENDERLANE_HOME": str(tmp_path)}, tmp_path), io.StringIO())
    assert ports.key_kind == "none"
    with pytest.raises(InvalidSetting, match="GEMINI_API_KEY"):
        await ports.lanes["standard"].prepare()
    await ports.store.close()


async def test_behind_an_address_of_its_own_no_key_is_needed(tmp_path: Path) -> None:
    given = {"RENDERLANE_HOME": str(tmp_path), "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}
    settings = Settings.read(given, tmp_path)
    lane = wiring.google_lane(settings, wiring.catalogue(settings))
    await lane.prepare()
    await lane.close()
