"""Every stored form is read and written back as it is: `tests/golden` holds documents of all collections.

The documents are as earlier releases wrote them (`tests/golden/write.py`): they pin names, types and text of keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import ValidationError

from shared.adapters.sqlite.store import _decode_map, encoded
from shared.core.accounting.budget import Budget, BudgetAccount, Reservation
from shared.core.admission.fleet_pace import FleetPace
from shared.core.admission.model_state import ModelState
from shared.core.admission.route_memory import Effect, Routing
from shared.core.admission.slot_calendar import Calendar
from shared.core.admission.spend_window import Spend
from shared.core.catalogue.gateway_proof import GatewayProof
from shared.core.conclusions.evidence import Heard
from shared.core.limits.effective import Learned
from shared.core.limits.live_quota import LiveLimits, LiveQuota
from shared.core.limits.observations import ModelObservations
from shared.core.observability.status_summary import Summary
from shared.core.provider.circuit_health import Health
from shared.core.records.attempt import AttemptRecord
from shared.core.records.batch import BatchRecord
from shared.core.records.note import RejectedRecord
from shared.core.records.pump import PumpRecord
from shared.core.records.request import RequestRecord, UnusedSlot
from shared.core.routing.flag import Flag
from shared.core.routing.flag_board import Board
from shared.core.routing.flag_history import HistoryLine
from shared.core.routing.requirements import Requirements
from shared.core.values.documents import UnreadableDocument, UnreadableFields
from shared.core.values.route import Route
from shared.core.webhooks.delivery import WebhookDelivery
from shared.core.webhooks.endpoint import Endpoint

GOLDEN = Path("tests/golden")
Read = Callable[[Any], Any]


def reads(*path: str, by: Any) -> tuple[tuple[str, ...], Read]:
    """The part of a document at `path` (`*` = each of a map), read and written again."""
    return path, lambda data: by.from_json(data).to_json()


FORMS: dict[str, list[tuple[tuple[str, ...], Read]]] = {
    "requests": [
        reads(by=RequestRecord),
        reads("ask", by=Requirements),
        reads("route", by=Route),
        reads("budget", by=Reservation),
    ],
    "attempts": [
        reads(by=AttemptRecord),
        reads("route", by=Route),
        reads("budget", by=Reservation),
    ],
    "calendars": [reads(by=ModelState)],
    "pump": [reads("spend", by=Spend), reads("fleet", by=FleetPace), reads("routing", by=Routing)],
    "evidence": [
        reads("models", "*", by=ModelObservations),
        reads("routes", "*", by=Health),
        reads("heard", "*", by=Heard),
    ],
    "budgets": [reads(by=BudgetAccount)],
    "flags": [reads(by=Board)],
    "flag_history": [reads(by=HistoryLine), reads("flag", by=Flag)],
    "gateways": [reads(by=GatewayProof)],
    "batches": [reads(by=BatchRecord)],
    "rejected": [reads(by=RejectedRecord)],
    "summary": [reads(by=Summary)],
    "quota": [reads(by=LiveQuota)],
    "webhook_endpoints": [reads(by=Endpoint)],
    "webhook_deliveries": [reads(by=WebhookDelivery)],
    "tenants": [reads("budget", by=Budget)],
}
NOT_TYPED = {"budget_shards", "cancels", "ledger"}
"""Plain fields, no value of ours in them."""
WRITTEN_BESIDE = {"updated_at"}
"""Set by the flow, not part of the value."""
WHOLE = {"requests", "attempts", "batches"}
"""Their records have every field, that one too."""


def documents(collection: str) -> list[dict[str, Any]]:
    text = (GOLDEN / f"{collection}.json").read_text("utf-8")
    payload: list[dict[str, Any]] = json.loads(text, object_hook=_decode_map)
    return payload


def parts(data: Any, path: tuple[str, ...]) -> list[Any]:
    """What stands at that path; nothing where a step is missing or null."""
    for place, step in enumerate(path):
        if step == "*":
            inner = data.values() if isinstance(data, dict) else data
            return [part for item in inner for part in parts(item, path[place + 1 :])]
        data = data.get(step)
        if data is None:
            return []
    return [data]


AT = datetime(2026, 11, 22, 18, 0, 1, 500_000, UTC)
RARE = [
    (UnusedSlot, {"model": "gateway:laozhang", "slot_at": AT, "release": 3, "tokens": 120}),
    (
        ModelObservations,
        {
            "counts": {"delivered_late": {"1795370400": 2}, "tight": {}},
            "closing": {"until": AT, "why": "quota_minute"},
            "named": {"rpm": {"value": 20, "at": AT}},
            "drift": {"3590740801": -340},
        },
    ),
    (Learned, {"value": 20, "at": AT, "live": -1, "configured": None}),
    (LiveLimits, {"dims": {"rpm": 60, "rpd": -1}, "read_at": AT}),
    (
        Calendar,
        {
            "buckets": {"3590740801": [1, 2, 300]},
            "days": {"2026-11-22": 4},
            "closed_until": AT,
            "closed_why": "quota_day",
            "refunded": {"r-1/2": 3590740801},
            "last_patient": 3590740801,
        },
    ),
    (Health, {"sick": {"1795370400": 1}, "well": {"1795370401": 2}, "last": "overload", "requests": {"ab": 1}}),
]
"""What the golden worlds meet too seldom."""


def in_bytes(data: Any) -> str:
    """As the store writes it; 2.0 and 2 are one number."""
    return json.dumps(json.loads(json.dumps(encoded(data)), parse_float=_number), sort_keys=True)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def test_every_collection_has_a_golden_file_and_its_forms() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*FORMS, *NOT_TYPED}


@pytest.mark.parametrize(
    ("collection", "path", "rewritten"),
    [
        pytest.param(collection, path, read, id=".".join((collection, *path)))
        for collection, forms in FORMS.items()
        for path, read in forms
    ],
)
def test_a_stored_form_is_written_as_it_was_read(collection: str, path: tuple[str, ...], rewritten: Read) -> None:
    stored_parts = [part for document in documents(collection) for part in parts(document, path)]
    assert stored_parts
    for part in stored_parts:
        stored = (
            part
            if path or collection in WHOLE
            else {name: item for name, item in part.items() if name not in WRITTEN_BESIDE}
        )
        assert in_bytes(rewritten(stored)) == in_bytes(stored)


def test_the_pump_is_read_as_it_was_written() -> None:
    for document in documents("pump"):
        record = PumpRecord.from_json(document)
        assert (record.lead_holder, record.lead_until, list(record.waiting), record.blocked, record.routing) == tuple(
            document[name] for name in ("lead_holder", "lead_until", "waiting", "held", "routing")
        )


@pytest.mark.parametrize(("kind", "stored"), RARE, ids=lambda one: one.__name__ if isinstance(one, type) else "")
def test_a_rare_form_is_written_as_it_was_read(kind: Any, stored: dict[str, Any]) -> None:
    assert in_bytes(kind.from_json(stored).to_json()) == in_bytes(stored)


def test_a_document_that_cannot_be_read_is_no_empty_one() -> None:
    with pytest.raises(UnreadableDocument):
        Board.from_json(UnreadableFields("flags/board", "damaged"))


def test_a_field_of_the_wrong_kind_is_named_and_its_value_not_shown() -> None:
    with pytest.raises(ValidationError, match=r"Expected `str`, got `int` - at `\$\.model`"):
        Route.from_json({"lane": "standard", "model": 4711, "image_size": "1K"})


def test_an_older_document_reads_through_defaults_and_a_newer_one_loses_what_is_unknown_here() -> None:
    assert Board.from_json({"flags": {}, "overruled": {}, "later": 1}) == Board()
    assert Effect.from_json({"requests": 2}) == Effect(2)


def test_a_flag_that_only_a_newer_release_knows_leaves_the_others_in_force() -> None:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    flag = Flag("pause-1a2b", "pause", "ann", "a test", now, now + timedelta(hours=1))
    stored = Board({flag.id: flag}).to_json()
    stored["flags"] = {**stored["flags"], "new-3c4d": {**stored["flags"][flag.id], "name": "use-a-lane-to-come"}}
    assert list(Board.from_json(stored).flags) == [flag.id]
