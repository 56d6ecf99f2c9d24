"""Which release runs: one name for logs, spans, labels, the console and the summary."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from shared.config import InvalidSetting, Settings
from shared.core.observability.status_summary import PATH
from shared.core.values.release import VERSION, Release
from tests.world import World

BUILD = "9f8e7d6c5b4a-0123456789ab"


def test_the_version_is_the_projects_own() -> None:
    assert tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["version"] == VERSION


def test_its_name_is_version_commit_and_image() -> None:
    assert Release(BUILD).name == f"{VERSION}+{BUILD}"
    assert Release().name == VERSION


def test_two_settings_of_one_build_differ_where_cloud_run_names_them() -> None:
    assert Release(BUILD, "pump-00007").identity != Release(BUILD, "pump-00008").identity
    assert Release(BUILD).identity == BUILD
    assert Release().identity == "", "two processes of one machine cannot be distinguished"


def test_it_comes_from_the_environment(tmp_path: Path) -> None:
    read = Settings.read({"RENDERLANE_RELEASE": BUILD, "K_REVISION": "pump-00007"}, tmp_path)
    assert read.release == Release(BUILD, "pump-00007")


def test_a_name_that_no_label_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="RENDERLANE_RELEASE: found 'a b'"):
        Settings.read({"RENDERLANE_RELEASE": "a b"}, tmp_path)


async def test_the_summary_says_which_release_wrote_it() -> None:
    world = World("*=rpm:60")
    await world.submit()
    await world.run_until_quiet()
    (document,) = [stored for stored in world.store.all("summary") if stored.path == PATH]
    assert document.data["panels"]["release"] == VERSION
