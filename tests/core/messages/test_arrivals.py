"""Arrivals: what a webhook, the pump and `watch` publish on `render-arrivals`."""

from __future__ import annotations

import json

import pytest

from shared.core.messages.pubsub_messages import Arrival, BadMessage, BatchArrival, parse_arrival


@pytest.mark.parametrize(
    "arrival",
    [
        Arrival("v1_abc-DEF_123", "spring:hero-001", 2),
        Arrival("v1_ChdpbnRlcmFjdGlvbg=="),
        BatchArrival("batches/abc-123"),
    ],
)
def test_an_arrival_comes_back_as_it_was(arrival: Arrival | BatchArrival) -> None:
    assert parse_arrival(arrival.to_bytes()) == arrival


def test_an_arrival_has_the_form_of_the_contract() -> None:
    written = json.loads(Arrival("v1_a", "r-1", 1).to_bytes())
    assert written == {"interaction_id": "v1_a", "request_id": "r-1", "attempt": 1}


def test_a_webhook_knows_the_id_alone() -> None:
    assert parse_arrival(b'{"interaction_id": "v1_a", "request_id": null, "attempt": null}') == Arrival("v1_a")
    assert parse_arrival(b'{"interaction_id": "v1_a", "request_id": "r-1"}') == Arrival("v1_a")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"interaction_id": 7}',
        b'{"interaction_id": "../v1"}',
        b'{"interaction_id": "v1 a"}',
        b'{"interaction_id": "v1_a?key=b"}',
        b'{"interaction_id": ""}',
        b'{"interaction_id": "v1_a", "request_id": "a/b", "attempt": 1}',
        b'{"interaction_id": "v1_a", "request_id": 3, "attempt": 1}',
        b'{"interaction_id": "v1_a", "request_id": "r-1", "attempt": -1}',
        b'{"interaction_id": "v1_a", "request_id": "r-1", "attempt": true}',
        b'{"batch": null}',
        b"[" * 100_000,
        json.dumps({"interaction_id": "v" * 300}).encode(),
    ],
)
def test_what_none_of_our_functions_wrote_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_arrival(data)
