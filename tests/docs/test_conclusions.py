"""The table of docs/conclusions.md is the one that the code goes by."""

from __future__ import annotations

from pathlib import Path

from shared.core.conclusions.claims import CLAIM_OF, POLICIES, Claim, Policy, contradicted_by, subject
from shared.core.provider.failure import RULES, FailureKind
from shared.core.values.route import Route

TEXT = Path("docs/conclusions.md").read_text("utf-8")
ABOUT = {"model": "*/MODEL", "route": "LANE/MODEL", "pool": "POOL"}
EFFECT = {"strikes": "strikes the route", "closes": "closes the pool"}
FROM = {"model": "the model, in any lane", "route": "the route", "pool": "the pool"}


def row(claim: Claim, policy: Policy) -> str:
    statement = ", or 1 plain statement in a lull" if policy.statement else ""
    against = "a picture or a refusal" if claim is not Claim.PAID_NOTHING else "a picture"
    minutes = int(policy.longest.total_seconds() // 60)
    cells = (
        policy.answers,
        f"`{claim.value}:{ABOUT[policy.about]}`: {EFFECT[policy.effect]}",
        f"{policy.requests} requests{statement}",
        f"{against} from {FROM[policy.about]}",
        f"{policy.first.total_seconds():.0f} s, doubling to {minutes} min",
    )
    return f"| {' | '.join(cells)} |"


def test_the_table_is_the_codes() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and "`" in line]
    assert rows == [row(claim, policy) for claim, policy in POLICIES.items()]


def test_every_claim_has_a_row_and_a_failure_that_makes_it() -> None:
    assert set(POLICIES) == set(Claim) == set(CLAIM_OF.values())


def test_what_contradicts_is_what_the_code_goes_by() -> None:
    route = Route("standard", "gemini-3-pro-image", "1K")
    for claim in Claim:
        name = f"{claim.value}:{subject(claim, route)}"
        assert name in contradicted_by(route)
        assert (name in contradicted_by(route, FailureKind.REFUSED)) == (claim is not Claim.PAID_NOTHING)
    assert RULES[FailureKind.REFUSED].model_answered
