"""A team's own flag system through the OpenFeature SDK and its in-memory provider."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from shared import wiring
from shared.adapters.flag_sources import openfeature
from shared.adapters.flag_sources.openfeature import OpenFeatureFlags
from shared.config import InvalidSetting, Settings
from shared.core.routing.flag import Flag, Scope
from shared.core.routing.flag_board import Board
from shared.core.routing.flag_kinds import NAMES
from shared.flows.operations.flags import read_board
from shared.wiring import Worker
from tests.builders import a_catalogue

NOW = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)
MODULE = "a_team_s_flags"
LIVE_IDS = {name: a_catalogue().live(name).id for name in a_catalogue().names}
OWN = Flag("use-flex-1a2b", "use-flex", "ann", "cheaper", NOW, NOW + timedelta(hours=1))

Values = Mapping[str, Any]


class TheirFlags:
    """What their flag system says at the moment: the SDK's own provider asks it each time."""

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, Any] = {name.replace("_", "-"): value for name, value in values.items()}

    def provider(self) -> InMemoryProvider:
        return InMemoryProvider(
            {
                f"renderlane-{name}": InMemoryFlag("on", {"on": {}}, context_evaluator=self._reader(name))
                for name in NAMES
            }
        )

    def _reader(self, name: str) -> Any:
        def read(_flag: object, _context: object) -> FlagResolutionDetails[Any]:
            exception = self.values.get(name, {})
            if isinstance(exception, Exception):
                raise exception
            return FlagResolutionDetails(value=exception)

        return read


class SlowProvider(InMemoryProvider):
    """Answers when it is allowed to."""

    def __init__(self, values: Values) -> None:
        super().__init__({})
        self.values = values
        self.may_answer = threading.Event()

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        self.may_answer.wait(10)
        return FlagResolutionDetails(value=self.values.get(flag_key, {}))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of the team's own, which RENDERLANE_FLAG_PROVIDER can name."""
    module = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    yield module
    api.clear_providers()


def source(module: ModuleType, provider: object) -> OpenFeatureFlags:
    vars(module)["FLAGS"] = provider
    return OpenFeatureFlags.of(f"{MODULE}:FLAGS", LIVE_IDS)


async def flags_of(flags: OpenFeatureFlags, now: datetime = NOW) -> dict[str, Flag]:
    """By name; ours left out."""
    return {flag.name: flag for flag in (await flags.beside(Board(), now)).flags.values()}


async def test_what_is_on_stands_beside_our_own_flags_under_the_provider_s_name(module: ModuleType) -> None:
    theirs = TheirFlags(lower_resolution={"to": "2K", "tenant": "web", "share": 20, "reason": "sale day"})
    board = await source(module, theirs.provider()).beside(Board({OWN.id: OWN}), NOW)
    assert board.flags[OWN.id] == OWN
    (flag,) = (item for item in board.flags.values() if item != OWN)
    assert (flag.name, flag.to, flag.scope) == ("lower-resolution", "2K", Scope(tenant="web", share=20))
    assert (flag.actor, flag.reason, flag.shadow) == ("In-Memory Provider", "sale day", False)
    assert flag.id == "lower-resolution@In-Memory-Provider"


async def test_a_flag_that_is_not_there_and_an_empty_one_are_off(module: ModuleType) -> None:
    provider = InMemoryProvider({"renderlane-pause": InMemoryFlag("off", {"off": {}})})
    assert await flags_of(source(module, provider)) == {}


async def test_it_follows_their_system_on_and_off_again(module: ModuleType) -> None:
    theirs = TheirFlags()
    flags = source(module, theirs.provider())
    assert await flags_of(flags) == {}
    theirs.values["pause"] = {"tenant": "web", "shadow": True}
    on = (await flags_of(flags))["pause"]
    assert on.shadow
    theirs.values["pause"] = {"tenant": "app"}
    assert (await flags_of(flags, NOW + timedelta(minutes=1)))["pause"].scope == Scope(tenant="app")
    theirs.values["pause"] = {}
    assert await flags_of(flags) == {}


async def test_a_flag_that_stays_on_is_the_same_flag_for_half_an_hour(module: ModuleType) -> None:
    """One that changed at each look would wake every sleeper and have every plan made again."""
    flags = source(module, TheirFlags(use_flex={"reason": "r"}).provider())
    first = (await flags_of(flags))["use-flex"]
    assert first == (await flags_of(flags, NOW + timedelta(minutes=28)))["use-flex"]
    later = (await flags_of(flags, NOW + timedelta(hours=5)))["use-flex"]
    assert later.tripped_at == first.tripped_at == NOW
    for flag, now in ((first, NOW), (first, NOW + timedelta(minutes=28)), (later, NOW + timedelta(hours=5))):
        assert flag.expires_at - now >= timedelta(hours=2)


async def test_a_retired_model_s_id_means_its_successor(module: ModuleType) -> None:
    theirs = TheirFlags(pause={"model": "gemini-3-pro-image-preview"})
    assert (await flags_of(source(module, theirs.provider())))["pause"].scope.model == "gemini-3-pro-image"


@pytest.mark.parametrize(
    "wrong",
    [
        {"tennant": "web"},
        {"tenant": 7},
        {"model": "dall-e"},
        {"lane": "express"},
        {"purpose": "fun"},
        {"share": 101},
        {"share": True},
        {"share": "20"},
        {"shadow": "false"},
        {"reason": ["why"]},
        {"to": "8K"},
        {"to": None},
        ["on"],
        RuntimeError("their server is down"),
    ],
    ids=str,
)
async def test_what_is_not_well_formed_or_cannot_be_read_keeps_what_it_said_last(
    module: ModuleType, wrong: Any
) -> None:
    details = {"to": "2K", "tenant": "web"}
    theirs = TheirFlags(lower_resolution=details)
    flags = source(module, theirs.provider())
    before = await flags_of(flags)
    assert before["lower-resolution"].scope == Scope(tenant="web")
    theirs.values["lower-resolution"] = details | wrong if isinstance(wrong, dict) else wrong
    theirs.values["use-flex"] = {"lane": "standard"}
    after = await flags_of(flags)
    assert after["lower-resolution"] == before["lower-resolution"]
    assert after["use-flex"].scope == Scope(lane="standard"), "one that is wrong does not hide the others"


async def test_what_was_never_well_formed_bends_nobody(module: ModuleType) -> None:
    assert await flags_of(source(module, TheirFlags(use_flex={"tennant": "web"}).provider())) == {}


async def test_a_provider_that_takes_its_time_holds_nobody_up_and_is_heard_later(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openfeature, "PATIENCE", 0.01)
    provider = SlowProvider({"renderlane-pause": {"tenant": "web"}})
    flags = source(module, provider)
    assert await flags_of(flags) == {}
    provider.may_answer.set()
    monkeypatch.setattr(openfeature, "PATIENCE", 10.0)
    assert (await flags_of(flags))["pause"].scope == Scope(tenant="web")


async def test_a_provider_may_be_a_class_or_a_function_that_makes_one(module: ModuleType) -> None:
    class Made(InMemoryProvider):
        def __init__(self) -> None:
            super().__init__({"renderlane-pause": InMemoryFlag("on", {"on": {"tenant": "web"}})})

    assert set(await flags_of(source(module, Made))) == {"pause"}
    assert set(await flags_of(source(module, lambda: Made()))) == {"pause"}


async def test_a_provider_that_fails_to_get_ready_does_not_stop_the_worker(module: ModuleType) -> None:
    class Failing(InMemoryProvider):
        def initialize(self, evaluation_context: EvaluationContext) -> None:
            raise RuntimeError("their server is down")

    assert await flags_of(source(module, Failing({}))) == {}


def settings(folder: Path, provider: str | None) -> Settings:
    given = {"RENDERLANE_HOME": str(folder), "GEMINI_API_KEY": "k"}
    return Settings.read(given | ({"RENDERLANE_FLAG_PROVIDER": provider} if provider else {}), folder)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("no_such_module:FLAGS", "ModuleNotFoundError"),
        (f"{MODULE}:NOTHING", "AttributeError"),
        (f"{MODULE}:broken", "ZeroDivisionError"),
        (f"{MODULE}:number", "TypeError"),
        (f"{MODULE}:dict", "is no OpenFeature provider"),
    ],
)
def test_a_provider_that_cannot_be_made_is_a_wrong_setting_by_its_name(
    module: ModuleType, tmp_path: Path, named: str, message: str
) -> None:
    vars(module).update(broken=lambda: 1 / 0, number=7, dict=dict)
    with pytest.raises(InvalidSetting, match=f"RENDERLANE_FLAG_PROVIDER: .*{message}.*allowed"):
        wiring.build(settings(tmp_path, named), io.StringIO())


@pytest.mark.parametrize("text", ["flags", "flags:", ":x", "a b:c", "flags.py:x:y"])
def test_a_provider_s_name_of_another_form_is_a_wrong_setting(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"RENDERLANE_FLAG_PROVIDER: found .*; allowed: module:attribute"):
        settings(tmp_path, text)


async def test_the_worker_reads_it_beside_the_store(module: ModuleType, tmp_path: Path) -> None:
    vars(module)["FLAGS"] = TheirFlags(pause={"model": "nano-banana-pro"}).provider()
    worker = Worker.of(wiring.build(settings(tmp_path, f"{MODULE}:FLAGS"), io.StringIO()))
    try:
        board = await read_board(worker.ports)
        assert [flag.scope.model for flag in board.flags.values()] == ["gemini-3-pro-image"]
    finally:
        await worker.close()


@pytest.mark.parametrize("share", [50, 50.0, 0.0, 100.0])
async def test_a_whole_number_may_come_as_a_float(module: ModuleType, share: float) -> None:
    """Report: https://github.com/influxdata/flux/pull/4441"""
    flag = (await flags_of(source(module, TheirFlags(pause={"share": share}).provider())))["pause"]
    assert flag.scope == Scope(share=int(share))
    assert type(flag.scope.share) is int


@pytest.mark.parametrize("share", [50.5, -1.0, 100.5, float("nan"), float("inf"), True, "50", [50]])
async def test_no_other_number_is_a_share(module: ModuleType, share: object) -> None:
    assert await flags_of(source(module, TheirFlags(pause={"share": share}).provider())) == {}


async def test_an_ill_formed_flag_is_an_event_once_until_it_changes(module: ModuleType, tmp_path: Path) -> None:
    theirs, events = TheirFlags(pause={"tennant": "web"}), io.StringIO()
    vars(module)["FLAGS"] = theirs.provider()
    settings = Settings.read({"RENDERLANE_FLAG_PROVIDER": f"{MODULE}:FLAGS"}, tmp_path)
    ports = wiring.build(settings, events)
    for _ in range(3):
        await ports.flag_source.beside(Board(), NOW)
    lines = [json.loads(line) for line in events.getvalue().splitlines()]
    assert [(line["message"], line["severity"], line["flag"]) for line in lines] == [
        ("flag_ill_formed", "WARNING", "pause")
    ]
    assert "tennant" in lines[0]["found"]
    assert "share" in lines[0]["allowed"]
    theirs.values["pause"] = {"share": 0.5}
    await ports.flag_source.beside(Board(), NOW)
    theirs.values["pause"] = {}
    await ports.flag_source.beside(Board(), NOW)
    theirs.values["pause"] = {"share": 0.5}
    await ports.flag_source.beside(Board(), NOW)
    assert len(events.getvalue().splitlines()) == 3
