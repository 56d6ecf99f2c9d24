"""What a failed call may claim about something that requests share, and what it takes to believe the claim. Pure data.

One table, so that no rule is hidden in code: docs/conclusions.md is tested against it. Some choices, and why:

- A claim that only strikes a route (a model, a lane) is never believed from one request, however plainly it is stated:
  the affected request takes its next route anyway, and the call cost nothing.
- A claim that closes a pool may be believed from one plain statement while nothing else succeeds there: otherwise a
  lone request would retry a used-up day or an empty account all day long.
- A key and an account are the same on all of Google's routes, so an affected request waits. A bare 403 may be about the
  call itself: it strikes the route for that request alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.provider.failure import RULES, FailureKind
from shared.core.values.lanes import is_apart
from shared.core.values.route import Route, circuit


class Claim(StrEnum):
    MODEL_GONE = "model_gone"
    LANE_UNSUPPORTED = "lane_unsupported"
    PAID_NOTHING = "paid_nothing"
    """Answers in a row that were charged for and hold no picture."""
    CREDENTIAL = "credential"
    PERMISSION = "permission"
    BALANCE = "balance"
    QUOTA_DAY = "quota_day"


Effect: TypeAlias = Literal["strikes", "closes"]
"""strikes: the route, so that requests take their next one; closes: the pool, so that its queue waits."""
About: TypeAlias = Literal["model", "route", "pool"]


class Policy(Struct, frozen=True):
    answers: str
    """The failures that make the claim."""
    about: About
    effect: Effect
    requests: int = 3
    """Distinct requests that must fail this way, without a success that began since the first of them."""
    statement: bool = False
    """One request's plain statement (`Failure.explicit`) is enough while nothing else succeeds there."""
    share: float = 0.6
    """Share of the calls begun since the first of them that must have failed this way: others may be about to
    succeed."""
    counts_once: bool = False
    """A retried request counts once in that share: its repetitions are not counted as starts either."""
    first: timedelta = timedelta(seconds=5)
    """From the conclusion to its first probe; doubled with each probe that fails."""
    longest: timedelta = timedelta(minutes=5)
    runbook: str = ""
    """The RUNBOOK heading of the escalation; empty = a warning is enough."""
    means: str = ""


POLICIES: Mapping[Claim, Policy] = {
    Claim.MODEL_GONE: Policy(
        "404 for the model", "model", "strikes",
        means="is gone (404): correct its status and successor in the catalogue",
    ),
    Claim.LANE_UNSUPPORTED: Policy(
        "400 for the lane", "route", "strikes",
        means="does not take this lane (400): remove it from the catalogue",
    ),
    Claim.PAID_NOTHING: Policy(
        "200 without a picture that can be read", "route", "strikes", requests=4, share=0.4, counts_once=True,
        runbook="paid-and-nothing-came", means="was paid for and sent no picture",
    ),
    Claim.CREDENTIAL: Policy(
        "401, or a key that is called invalid", "pool", "closes", statement=True,
        runbook="credential", means="rejects the key",
    ),
    Claim.PERMISSION: Policy(
        "403", "pool", "closes", statement=True,
        runbook="permission", means="does not let the project make this call",
    ),
    Claim.BALANCE: Policy(
        "402, or no balance, no billing, a limit of 0", "pool", "closes", statement=True,
        runbook="no-balance", means="has no balance, no billing or a limit of 0",
    ),
    Claim.QUOTA_DAY: Policy(
        "429 for the day", "pool", "closes", statement=True, longest=timedelta(minutes=30),
        means="has used up its day",
    ),
}  # fmt: skip

CLAIM_OF: Mapping[FailureKind, Claim] = {
    FailureKind.MODEL_GONE: Claim.MODEL_GONE,
    FailureKind.LANE_UNSUPPORTED: Claim.LANE_UNSUPPORTED,
    FailureKind.MALFORMED_ANSWER: Claim.PAID_NOTHING,
    FailureKind.NO_IMAGE: Claim.PAID_NOTHING,
    FailureKind.CREDENTIAL: Claim.CREDENTIAL,
    FailureKind.PERMISSION: Claim.PERMISSION,
    FailureKind.BALANCE: Claim.BALANCE,
    FailureKind.QUOTA_DAY: Claim.QUOTA_DAY,
}


def subject(claim: Claim, route: Route) -> str:
    """What a claim made on `route` is about. A statement from a separate lane counts for that lane alone."""
    match POLICIES[claim].about:
        case "model" if not is_apart(route.lane):
            return circuit("*", route.model)
        case "model" | "route":
            return route.circuit
        case "pool":
            return route.pool


def conclusion_id(claim: Claim, about: str) -> str:
    return f"{claim.value}:{about}"


def parted(conclusion: str) -> tuple[Claim, str]:
    """The claim and the subject of an id."""
    claim, _, about = conclusion.partition(":")
    return Claim(claim), about


def claim_id(failure_kind: FailureKind, route: Route) -> str | None:
    """The conclusion that a failure on this route would support."""
    claim = CLAIM_OF.get(failure_kind)
    return None if claim is None else conclusion_id(claim, subject(claim, route))


def contradicted_by(route: Route, failure_kind: FailureKind | None = None) -> tuple[str, ...]:
    """Every conclusion that an answer from this route contradicts; `failure_kind` None = it brought a picture."""
    if failure_kind is not None and not RULES[failure_kind].model_answered:
        return ()
    claims = [claim for claim in Claim if failure_kind is None or claim is not Claim.PAID_NOTHING]
    return tuple(conclusion_id(claim, subject(claim, route)) for claim in claims)
