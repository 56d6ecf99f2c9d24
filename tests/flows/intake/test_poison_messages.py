"""Every message is accepted or rejected on record; one that keeps crashing is given up, and its publisher
is told.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.adapters.sqlite.store import SqliteStore
from shared.core.messages.pubsub_messages import ReleaseMessage
from shared.core.messages.render_request import InvalidRequest, parse_message
from shared.core.messages.request_key import key_of
from shared.core.messages.topics import DEAD_LETTER_SOURCE, MOST_DELIVERIES
from shared.core.observability import events
from shared.core.values.documents import Create, Document, InvalidDocument, Update
from shared.flows.intake import intake as intake_flow
from shared.flows.intake.intake import accept_message
from shared.flows.requests.message import Message
from shared.flows.upkeep import dead_letters as bury_flow
from shared.flows.upkeep.dead_letters import MOST_DEAD_LETTERS, bury
from shared.ports import Ports
from shared.ports.store import StoreUnavailable
from tests.builders import a_payload
from tests.core.messages.test_render_request import RESERVED_KEYS
from tests.core.messages.test_render_request_schema import mutated
from tests.world import World

POISON_LABELS = [a_payload(labels={key: "x"}) for key in RESERVED_KEYS]
POISON_REVIVES = [".", "..", "__all__", "__", "a/b", "", " ", "a\nb", "ä", "\ud800", "x" * 2_000, "../requests/a"]


class NoKicks:
    async def after_queueing(self, model: str, priority: str) -> None: ...

    async def is_worth_an_open_slot(self, model: str, priority: str) -> bool:
        return False


class Intake:
    """The function on the one-machine home's real store."""

    def __init__(self, file: Path) -> None:
        world = World()
        self.store = SqliteStore(file, world.clock)
        self.ports: Ports = replace(world.ports, store=self.store)
        self.tags = world.tags
        self.numbers = itertools.count()

    async def answer(self, data: bytes, attributes: dict[str, str]) -> str:
        """What is on record afterwards: `requests`, `cancels` or `rejected`."""
        message = Message(f"m-{next(self.numbers)}", data, attributes)
        await accept_message(self.ports, NoKicks(), self.tags, message)  # type: ignore[arg-type]
        if isinstance(await self.store.get(f"rejected/{message.id}"), Document):
            return "rejected"
        meaning = parse_message(data)
        where = "requests" if hasattr(meaning, "prompt") else "cancels"
        assert isinstance(await self.store.get(f"{where}/{key_of(meaning.tenant, meaning.request_id)}"), Document)
        return where


@pytest.fixture(scope="module")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    one = Intake(tmp_path_factory.mktemp("poison") / "state.db")
    yield one
    asyncio.run(one.store.close())


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.text(st.sampled_from("_a$.`/\\\n\u0000é"), max_size=8)
requests = st.builds(
    lambda number, fields: a_payload(request_id=f"f-{number}") | fields,
    st.integers(0, 10**9),
    st.fixed_dictionaries(
        {},
        optional={
            "labels": st.dictionaries(keys, st.text(max_size=5), max_size=4),
            "group": st.text(st.characters(), max_size=8),
            "tenant": st.text(st.sampled_from("._-:a"), max_size=6),
            "deadline": st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
            "prompt": st.text(st.characters(), max_size=8),
            "escalates": st.text(st.sampled_from("._a"), max_size=6),
            "extra": anything,
        },
    ),
)
attributes = st.dictionaries(
    st.sampled_from(["revives", "traceparent", "googclient_traceparent", "x"]),
    st.sampled_from(POISON_REVIVES) | st.text(max_size=60),
    max_size=3,
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests | mutated() | anything, attributes)
@example(POISON_LABELS[0], {})
@example(POISON_LABELS[5], {})
@example(a_payload(request_id="p-1"), {"revives": "."})
@example(a_payload(request_id="p-2"), {"revives": "__all__"})
@example(a_payload(request_id="p-3", deadline="0002-01-01T00:00:00Z"), {})
def test_any_json_is_accepted_or_rejected_on_record(
    intake: Intake, payload: object, attributes: dict[str, str]
) -> None:
    data = json.dumps(payload).encode()
    assert asyncio.run(intake.answer(data, attributes)) in ("requests", "cancels", "rejected")


@given(st.binary(max_size=200), attributes)
def test_any_bytes_are_accepted_or_rejected_on_record(intake: Intake, data: bytes, attributes: dict[str, str]) -> None:
    assert asyncio.run(intake.answer(data, attributes)) in ("requests", "cancels", "rejected")


@pytest.mark.parametrize("payload", POISON_LABELS, ids=lambda payload: repr(next(iter(payload["labels"]))))
async def test_a_label_that_no_store_takes_is_rejected_and_its_publisher_hears(payload: dict[str, Any]) -> None:
    world = World()
    await world.publish(payload)
    await world.run_until_quiet()
    assert world.crashes == []
    assert [event["status"] for event in world.results()] == ["rejected"]
    (rejected,) = world.store.all("rejected")
    assert rejected.data["problems"][0]["field"].startswith("labels.__")


@pytest.mark.parametrize("revives", POISON_REVIVES)
async def test_a_word_of_the_callers_that_names_no_request_revives_nothing(revives: str) -> None:
    world = World()
    await world.publish(a_payload(), revives=revives)
    await world.run_until_quiet()
    assert world.crashes == []
    assert world.status("spring-hero-001")["status"] == "succeeded"
    assert world.status("spring-hero-001")["revives"] is None


@pytest.mark.parametrize("refusal", [InvalidDocument("no store takes it"), ValueError("no store takes it")])
async def test_what_a_store_refuses_is_rejected_at_the_first_delivery(refusal: Exception) -> None:
    world = World()
    real = world.store.commit

    async def commit(*writes: Any) -> Any:
        if any(isinstance(write, Create) and write.path.startswith("requests/") for write in writes):
            raise refusal
        return await real(*writes)

    world.store.commit = commit  # type: ignore[method-assign]
    await world.submit()
    await world.run_until_quiet()
    assert world.crashes == []
    (event,) = world.results("r-1")
    assert event["status"] == "rejected"
    assert "no store takes it" in event["outcome"]["message"]
    assert world.signals.of(events.ESCALATION) == []


# -- dead letters -----------------------------------------------------------------------------------------------------


async def test_a_message_that_keeps_crashing_intake_is_rejected_once_and_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = itertools.count()

    async def crash(*_: Any) -> None:
        next(calls)
        raise RuntimeError("a prompt that nobody may see")

    monkeypatch.setattr(intake_flow, "_queue", crash)
    world = World()
    await world.submit()
    await world.run_for(timedelta(hours=2))
    assert next(calls) == MOST_DELIVERIES + 1, "the deliveries, and one look by bury"
    assert [event["status"] for event in world.results("r-1")] == ["rejected"]
    (escalation,) = world.signals.of(events.ESCALATION)
    assert escalation["runbook"] == "dead-letter"
    (rejected,) = world.store.all("rejected")
    assert "RuntimeError" in rejected.data["reason"]
    assert "nobody may see" not in rejected.data["reason"]


async def test_a_dead_letter_whose_cause_is_gone_is_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    await bury(
        world.ports, world.kicks, world.tags, world.evidence, world.room, _dead(b'{"request_id": "r-1", "prompt": "x"}')
    )
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    assert len(world.signals.of(events.ESCALATION)) == 1


async def test_a_request_that_is_on_record_is_not_called_rejected_by_its_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What crashed came after its commit."""

    async def crash(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(intake_flow, "_continue_request", crash)
    world = World()
    await bury(
        world.ports, world.kicks, world.tags, world.evidence, world.room, _dead(b'{"request_id": "r-1", "prompt": "x"}')
    )
    assert world.results() == []
    assert world.status()["status"] == "queued"


async def test_a_dead_letter_waits_for_a_store_that_is_away_and_escalates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    away = [True, True, False]

    async def take(*_: Any) -> None:
        if away.pop(0):
            raise StoreUnavailable("away")

    monkeypatch.setattr(bury_flow, "accept_message", take)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await bury(world.ports, world.kicks, world.tags, world.evidence, world.room, _dead(b"{}"))
    await bury(world.ports, world.kicks, world.tags, world.evidence, world.room, _dead(b"{}"))
    assert len(world.signals.of(events.ESCALATION)) == 1


async def test_a_request_whose_releases_keep_crashing_ends_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.flows.render import render as render_flow

    async def crash(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(render_flow, "_attempt", crash)
    world = World()
    await world.submit()
    await world.run_until_quiet(timedelta(hours=2))
    assert world.status()["status"] == "failed"
    assert world.status()["outcome"]["code"] == "crashed"
    assert world.status()["cost_micros"] == 0
    assert [event["status"] for event in world.results("r-1")] == ["failed"]
    assert 1 <= len(world.signals.of(events.ESCALATION)) <= MOST_DEAD_LETTERS


async def test_dead_letters_of_releases_that_found_no_instance_do_not_end_the_request() -> None:
    """An outage of the fleet makes a dead letter of each release that the pump has long taken back."""
    world = World()
    await world.submit()
    await world.run_for(timedelta(seconds=0.5))
    request = world.request()
    changes = {"status": "released", "release": 9}
    await world.store.commit(Update(request.path, changes, request.version))
    for number in range(1, 9):
        dead = _dead(ReleaseMessage("r-1", number).to_bytes(), source="render-releases-render")
        await bury(world.ports, world.kicks, world.tags, world.evidence, world.room, dead)
    assert world.status()["status"] == "released"
    assert world.status().get("dead_letters", 0) == 0
    assert world.signals.of(events.ESCALATION) == []


@pytest.mark.parametrize("request_id", ["../x", "", ".", "a/b", "__x__", "x" * 2_000])
async def test_a_dead_release_of_no_request_is_no_crash(request_id: str) -> None:
    from shared.core.messages.pubsub_messages import BadMessage

    world = World()
    dead = _dead(ReleaseMessage(request_id, 1).to_bytes(), source="render-releases-render")
    with pytest.raises(BadMessage):
        await bury(world.ports, world.kicks, world.tags, world.evidence, world.room, dead)


def _dead(data: bytes, source: str = "render-requests-intake") -> Message:
    return Message("m-dead", data, {DEAD_LETTER_SOURCE: source})


def test_no_rule_of_the_rejection_itself_can_crash_it() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_message(json.dumps({"\ud800": 1}).encode())
    assert refused.value.request_id is None
