"""What every verb has in common: help, version, and known errors as a message with an exit code."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path

import pytest

from scripts.cli.main import GROUPS, VERBS
from tests.cli.conftest import renderlane


def test_the_help_names_every_verb() -> None:
    result = renderlane("--help")
    assert result.exit_code == 0
    assert all(f"\n  {verb} " in result.stdout for verb in VERBS)


def test_the_help_groups_the_verbs_by_what_one_wants_to_do() -> None:
    lines = renderlane("--help").stdout.splitlines()
    for group, verbs in GROUPS.items():
        start = lines.index(f"{group.capitalize()}:")
        assert [line.split()[0] for line in lines[start + 1 : start + 1 + len(verbs)]] == list(verbs)


def test_no_summary_in_the_help_is_cut_off() -> None:
    assert not any(line.endswith("...") for line in renderlane("--help").stdout.partition("Options:")[2].splitlines())


COMMANDS = Path("scripts/cli/commands")
SUBCOMMANDS = {"webhook": "tenant"}
"""Modules of commands that stand below a verb, and that verb."""


def _module(verb: str) -> str:
    (path,) = COMMANDS.rglob(f"{verb}.py")
    return ".".join(path.with_suffix("").parts)


def test_a_verb_lies_in_the_package_of_its_heading() -> None:
    for group, verbs in GROUPS.items():
        assert {_module(verb) for verb in verbs} == {f"scripts.cli.commands.{group}.{verb}" for verb in verbs}


def test_each_module_of_a_command_is_a_verb_or_stands_below_one() -> None:
    modules = {path.stem for path in COMMANDS.rglob("*.py")} - {
        "__init__",
        "demo",
        "revival",
        "cancellation",
        "situation",
    }
    assert modules == {*VERBS, *SUBCOMMANDS}
    assert not {*VERBS} & {*SUBCOMMANDS}


@pytest.mark.parametrize(("name", "verb"), SUBCOMMANDS.items())
def test_a_command_below_a_verb_is_reached_through_it(name: str, verb: str) -> None:
    below, above = (importlib.import_module(_module(verb)).command for verb in (name, verb))
    assert above.commands[name] is below


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help(verb: str) -> None:
    result = renderlane(verb, "-h")
    assert result.exit_code == 0
    assert "Usage: renderlane" in result.stdout


def test_the_version_is_the_package_s() -> None:
    assert metadata.version("renderlane-worker") in renderlane("--version").stdout


def test_an_unknown_verb_is_wrong_usage() -> None:
    assert renderlane("paint").exit_code == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RENDERLANE_QUOTA", "gemini-3-pro-image=speed:9"),
        ("RENDERLANE_STORE", "mysql://somewhere"),
        ("RENDERLANE_TOPICS", "kafka"),
        ("RENDERLANE_CATALOGUE", "nowhere.toml"),
        ("GOOGLE_GEMINI_BASE_URL", "localhost"),
    ],
)
@pytest.mark.parametrize("arguments", [("up", "--port", "0"), ("list",), ("status", "a"), ("submit", "a red cube")])
def test_a_wrong_setting_is_named_with_what_is_allowed(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv(name, value)
    result = renderlane(*arguments)
    assert result.exit_code == 2
    assert name in result.stderr
    assert "allowed" in result.stderr
    assert result.stdout == ""


def test_a_broken_catalogue_is_refused_at_start(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "catalogue.toml"
    broken.write_text("[catalogue]\nversion = 7\n")
    monkeypatch.setenv("RENDERLANE_CATALOGUE", str(broken))
    result = renderlane("up", "--port", "0")
    assert result.exit_code == 2
    assert "catalogue.toml" in result.stderr


def test_a_store_that_cannot_be_read_is_told_with_a_remedy(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state.db").write_text("this is no database, and it is long enough to be looked at " * 20)
    monkeypatch.setenv("RENDERLANE_STORE", f"sqlite://{tmp_path}/state.db")
    for arguments in (("list",), ("submit", "a red cube")):
        result = renderlane(*arguments)
        assert result.exit_code == 1
        assert "Check RENDERLANE_" in result.stderr


@pytest.mark.parametrize("arguments", [("list",), ("status", "a")])
def test_looking_at_no_home_makes_none(home: Path, arguments: tuple[str, ...]) -> None:
    result = renderlane(*arguments)
    assert result.exit_code == 2
    assert "renderlane up" in result.stderr
    assert not home.exists()
