"""A proof is complete when six items stand, are fresh, and are about the row that is called."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.catalogue.gateway_proof import (
    ITEMS,
    LONGEST_EVIDENCE,
    TEST,
    GatewayProof,
    Lack,
    ProofEvidence,
    ProofRefused,
)
from tests.builders import NOW

DAY = timedelta(days=1)


def evidence(text: str = "seen in the console", by: str = "ann", at: datetime = NOW, **facts: object) -> ProofEvidence:
    return ProofEvidence(text, by, at, "row-1", facts)


def a_proof(**changes: ProofEvidence) -> GatewayProof:
    items = {item: evidence(passed=True) if item == TEST else evidence() for item in ITEMS}
    return GatewayProof(items | {name.replace("_", "-"): change for name, change in changes.items()})


def test_the_items_are_the_six_that_a_gateway_must_prove() -> None:
    assert list(ITEMS) == ["endpoint", "price", "failed-calls", "status-route", "data-boundary", "logged-test"]


def test_a_complete_proof_lacks_nothing() -> None:
    assert a_proof().lacks("row-1", NOW + 30 * DAY) == ()
    assert a_proof().off("g", "row-1", NOW) is None


@given(st.sets(st.sampled_from(list(ITEMS)), min_size=1))
def test_whatever_is_missing_is_named(missing: set[str]) -> None:
    proof = GatewayProof({item: element for item, element in a_proof().items.items() if item not in missing})
    assert {item.item for item in proof.lacks("row-1", NOW)} == missing
    text = proof.off("g", "row-1", NOW)
    assert text is not None
    assert all(item in text for item in missing)


@pytest.mark.parametrize(
    ("proof", "lack"),
    [
        (a_proof(price=evidence(at=NOW - 31 * DAY)), Lack("price", "of 2026-10-22 is older than 30 days")),
        (
            a_proof(endpoint=replace(evidence(), about="row-0")),
            Lack("endpoint", "of 2026-11-22 is void: the catalogue's row is another one since"),
        ),
        (
            a_proof(logged_test=evidence(passed=False, outcome="credential: no")),
            Lack(TEST, "of 2026-11-22 failed: credential: no"),
        ),
    ],
)
def test_an_item_that_does_not_count_says_why(proof: GatewayProof, lack: Lack) -> None:
    assert proof.lacks("row-1", NOW) == (lack,)


def test_evidence_is_fresh_to_the_end_of_its_time_and_no_longer() -> None:
    assert a_proof().lacks("row-1", NOW + 7 * DAY, 7 * DAY) == ()
    assert len(a_proof().lacks("row-1", NOW + 7 * DAY + timedelta(seconds=1), 7 * DAY)) == len(ITEMS)


@pytest.mark.parametrize(
    ("item", "given_evidence"),
    [
        ("uptime", evidence()),
        ("price", evidence(text=" ")),
        ("price", evidence(by="")),
        ("price", evidence(text="x" * (LONGEST_EVIDENCE + 1))),
    ],
)
def test_evidence_that_is_none_is_refused(item: str, given_evidence: ProofEvidence) -> None:
    with pytest.raises(ProofRefused):
        GatewayProof().with_item(item, given_evidence)


def test_newer_evidence_stands_in_place_of_the_older() -> None:
    proof = a_proof(price=evidence(at=NOW - 31 * DAY)).with_item("price", evidence())
    assert proof.lacks("row-1", NOW) == ()


def test_a_proof_comes_back_from_the_store_as_it_went() -> None:
    assert GatewayProof.from_json(a_proof().to_json()) == a_proof()
