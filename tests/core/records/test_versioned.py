"""Records over stored documents: what an update writes, what it leaves alone, and what older documents read as."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import fields, replace

from shared.core.records.attempt import AttemptRecord
from shared.core.records.request import Leftover, RequestRecord, Stopping
from shared.core.records.versioned import changes, committed, request_in, update
from shared.core.values.codec import stored_value
from shared.core.values.documents import Committed, Document, UnreadableDocument, UnreadableFields
from shared.core.values.status import FINAL
from tests.builders import NOW, a_record

OPTIONAL = {"references_as_bytes", "dead_letters", "open_slot"}
"""Written only where they say something."""


def stored(**more: Any) -> Document:
    return Document("requests/r-1", a_record() | more, "v1", NOW)


def test_the_record_has_exactly_the_fields_that_intake_writes() -> None:
    assert {field.name for field in fields(RequestRecord)} == a_record().keys() | OPTIONAL


def test_a_new_request_reads_and_writes_as_it_is() -> None:
    assert request_in(stored()).record.to_json() == stored_value(a_record())


def test_an_update_writes_only_what_differs() -> None:
    before = request_in(stored())
    after = replace(before.record, status="released", release=1, slot_at=NOW, flags=("pause-1",))
    write = update(before, after)
    assert (write.path, write.version) == ("requests/r-1", "v1")
    assert write.changes == {"status": "released", "release": 1, "slot_at": NOW, "flags": ["pause-1"]}


def test_values_inside_a_field_are_written_whole_and_as_stored() -> None:
    before = request_in(stored())
    after = replace(
        before.record, leftovers=(Leftover("i-1", 2),), stopping=Stopping(NOW, "caller"), sick_on={"standard/m": 1}
    )
    assert changes(before.record, after) == {
        "leftovers": [{"id": "i-1", "attempt": 2}],
        "stopping": {"at": NOW, "why": "caller"},
        "sick_on": {"standard/m": 1},
    }


def test_a_field_of_a_later_release_is_neither_read_nor_written_nor_lost() -> None:
    before = request_in(stored(later={"a": 1}))
    after = replace(before.record, reason="again after overload")
    write = update(before, after)
    assert write.changes == {"reason": "again after overload"}
    answer = committed(before, after, write, Committed(("v2",), NOW + timedelta(seconds=1)))
    assert answer.data["later"] == {"a": 1}
    assert answer.data["reason"] == "again after overload"
    assert (answer.record, answer.version) == (after, "v2")


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("way", "foreground"), ("leftovers", ()), ("denied_at", {}), ("probe_count", 0), ("thinking", None),
        ("collect_at", None), ("unclaimed_count", 0), ("revived_as", None), ("gateway", None), ("paid_at", None),
    ],
)  # fmt: skip
def test_what_an_older_document_lacks_takes_its_default_and_is_not_written(name: str, default: object) -> None:
    data = {key: value for key, value in a_record().items() if key != name}
    before = request_in(Document("requests/r-1", data, "v1", NOW))
    assert getattr(before.record, name) == default
    assert update(before, replace(before.record, release=1)).changes == {"release": 1}


@pytest.mark.parametrize(("stored_probe", "is_probe"), [(True, True), (False, False), (None, False), ("x", True)])
def test_a_probe_of_the_first_releases_is_one_of_nothing_in_particular(stored_probe: object, is_probe: bool) -> None:
    assert bool(request_in(stored(probe=stored_probe)).record.probe) == is_probe


def test_what_is_refused_names_the_document_and_the_field_and_shows_no_value() -> None:
    with pytest.raises(UnreadableDocument, match=r"requests/r-1 cannot be read: .* at `\$\.cost_micros`") as error:
        request_in(stored(cost_micros="a lighthouse"))
    assert "lighthouse" not in str(error.value)


def test_a_damaged_document_stays_one() -> None:
    with pytest.raises(UnreadableDocument):
        request_in(Document("requests/r-1", UnreadableFields("requests/r-1", "damaged"), "v1", NOW))


def test_states_that_are_asked_for_often_are_properties() -> None:
    record = request_in(stored()).record
    assert not record.is_final
    assert not record.has_begun
    rendering = replace(record, status="rendering", collect_at=NOW)
    assert rendering.has_begun
    assert rendering.is_awaiting
    assert not replace(record, status="batched").has_begun
    assert replace(record, status="batched", batch="b").has_begun
    assert replace(record, status="cancelled").is_final
    assert replace(record, cost_micros=3, unknown_estimate_micros=4).spent_micros == 7
    assert FINAL == ("succeeded", "refused", "failed", "expired", "cancelled")


def test_an_attempt_is_open_until_it_has_an_outcome() -> None:
    attempt = AttemptRecord.from_json(
        {"number": 1, "route": {"lane": "standard", "model": "m", "image_size": "1K"}, "started_at": NOW,
         "estimate_micros": 5}
    )  # fmt: skip
    assert attempt.outcome is None
    assert attempt.contract == "google"
