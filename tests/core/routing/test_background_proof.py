"""What is learned of background calls: one canary at a time, proven by an image, refused with a date."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.catalogue.capabilities import Background
from shared.core.routing.background_proof import PROBE_AFTER, UNPROVEN, BackgroundProof, Proofs, Setting, Way
from tests.builders import NOW

HOUR, DAY, TOOK = timedelta(hours=1), timedelta(days=1), timedelta(seconds=20)
PROVEN = UNPROVEN.proven("an image", TOOK, NOW)
REFUSED = UNPROVEN.refused("a 400", NOW)


@pytest.mark.parametrize(
    ("proof", "hint", "setting", "way"),
    [
        (UNPROVEN, "unknown", "auto", "canary"),
        (UNPROVEN, "yes", "auto", "background"),
        (UNPROVEN, "no", "auto", "foreground"),
        (UNPROVEN, "unknown", "on", "background"),
        (UNPROVEN, "no", "on", "foreground"),
        (PROVEN, "unknown", "auto", "background"),
        (PROVEN, "no", "auto", "foreground"),
        (PROVEN, "unknown", "off", "foreground"),
        (REFUSED, "unknown", "auto", "foreground"),
        (REFUSED, "yes", "auto", "foreground"),
        (REFUSED, "unknown", "on", "foreground"),
        (UNPROVEN.with_canary("r-1", NOW + HOUR), "unknown", "auto", "foreground"),
    ],
)
def test_the_way_of_the_next_call(proof: BackgroundProof, hint: Background, setting: Setting, way: Way) -> None:
    assert proof.way(hint, setting, NOW + timedelta(minutes=1)) == way


def test_a_refusal_is_probed_after_a_day_then_three_then_every_week() -> None:
    proof, waits = UNPROVEN, []
    for _ in range(4):
        proof = proof.refused("a 400", NOW)
        assert proof.probe_at is not None
        waits.append(proof.probe_at - NOW)
    assert waits == [DAY, 3 * DAY, 7 * DAY, 7 * DAY]
    assert proof.way("unknown", "auto", NOW + 7 * DAY) == "canary"
    assert proof.proven("an image", TOOK, NOW).refusals == 0


def test_a_canary_that_was_not_heard_of_keeps_others_back_until_its_time_is_over() -> None:
    proof = UNPROVEN.with_canary("r-1", NOW + HOUR)
    assert proof.way("unknown", "auto", NOW + HOUR) == "canary"
    assert proof.inconclusive("another") == proof
    assert proof.inconclusive("r-1") == UNPROVEN


def test_by_hand_everything_but_the_usual_time_is_forgotten() -> None:
    again = PROVEN.refused("a 400", NOW).reset(NOW)
    assert (again.state, again.refusals, again.probe_at) == ("unproven", 0, None)
    assert again.usual == TOOK
    assert again.way("unknown", "auto", NOW) == "canary"


def test_the_usual_time_follows_slowly_and_a_proven_circuit_keeps_its_day() -> None:
    later = PROVEN.proven("another image", 2 * TOOK, NOW + DAY)
    assert later.since == NOW
    assert later.usual is not None
    assert TOOK < later.usual < 1.5 * TOOK


@given(st.lists(st.sampled_from(["image", "refusal", "canary", "nothing", "reset"])), st.sampled_from(["auto", "on"]))
def test_a_document_comes_back_as_it_was_and_never_has_two_canaries(steps: list[str], setting: Setting) -> None:
    proof, now, canaries = UNPROVEN, NOW, 0
    for number, step in enumerate(steps):
        now += HOUR
        match step:
            case "image":
                proof, canaries = proof.proven("an image", TOOK, now), 0
            case "refusal":
                proof, canaries = proof.refused("a 400", now), 0
            case "reset":
                proof, canaries = proof.reset(now), 0
            case "nothing" if proof.canary is not None:
                proof, canaries = proof.inconclusive(proof.canary), 0
            case _ if proof.way("unknown", setting, now) == "canary":
                proof, canaries = proof.with_canary(f"r-{number}", now + DAY * 30), canaries + 1
        assert canaries <= 1
        assert Proofs.from_json(Proofs({"a/b": proof}).to_json()).of("a/b") == proof
    assert Proofs.from_json({}).of("a/b") == UNPROVEN, "an older document knows nothing"
    assert max(PROBE_AFTER) == 7 * DAY
