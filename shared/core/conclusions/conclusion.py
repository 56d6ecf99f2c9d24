"""What the worker believes about something that requests share: how it is concluded, contradicted and probed. Pure.

One request never decides for all others. A conclusion is based on distinct requests that failed the same way
(`claims.POLICIES` says how many) without a success since the first of them; a success that began in the same second or
later contradicts it. It is half-open from the start: one request at a time probes, at growing intervals, and never one
that contributed to it if another one waits.

Rejections arrive sooner than pictures: calls that began after the first failure and have not failed yet are probably
about to succeed, and nothing is concluded. This is why starts are counted beside failures: it costs no write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.conclusions.claims import POLICIES, Claim, Policy, conclusion_id, parted
from shared.core.conclusions.evidence import NEVER, NOTHING_HEARD, VOICES_KEPT, Heard, Voice, merged
from shared.core.limits.observations import Closing
from shared.core.times.pacific import next_pacific_midnight
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields
from shared.core.values.lanes import is_apart
from shared.core.values.route import lane_apart

PROBE_ANSWERS_WITHIN = timedelta(seconds=60)
"""After this, the next probe may go: the first may have died with its worker."""
SETTLED = timedelta(seconds=3)
"""A rejection and its report take less than this: an older start that has not failed is a survivor."""
LULL = timedelta(seconds=30)
"""A lull: no call has survived for this long."""
A_DAY = timedelta(hours=25)
"""How long a daily limit that a successful call contradicts is remembered as refuted."""
NAMED_WITHIN = timedelta(minutes=1)
"""A 429 is answered and reported within this time of its start."""
SUSPECTED_AFTER = timedelta(seconds=15)
REPEATED = 3
"""How many requests fail, fewer than a conclusion needs, before on-call is told."""
SEEN_TO_FAIL = timedelta(seconds=2)
"""This long after the first failure, calls that began at the same time would have failed as well."""
Starts = Mapping[int, int]
"""Calls by the second in which they began."""


class Conclusion(Stored, frozen=True):
    claim: Claim
    subject: str
    """A circuit (`*/model` in every lane of Google's) or a pool."""
    since: datetime
    needs: int
    """Requests that it is based on: if a success contradicts them down to fewer than needed, it falls."""
    interval: timedelta
    """The interval until the probe after the next, if the next one fails."""
    next_probe_at: datetime
    probed_at: datetime | None = None
    """The slot of the current probe."""
    probes: int = 0
    """Probes that failed."""

    @property
    def id(self) -> str:
        return conclusion_id(self.claim, self.subject)

    @property
    def policy(self) -> Policy:
        return POLICIES[self.claim]

    @property
    def why(self) -> str:
        """The reason in words."""
        lane, slash, model = self.subject.partition("/")
        what = f"{model} in the lane {lane}" if slash and lane != "*" else model or self.subject
        return (
            f"{what} {self.policy.means}; since {_moment(self.since)}, {self.probes} probes failed, "
            f"next probe {_moment(self.next_probe_at)} ({self.id})"
        )

    def to_json(self) -> dict[str, Any]:
        """The interval in seconds: the store has no durations."""
        fields = super().to_json()
        del fields["interval"]
        return fields | {"interval_seconds": self.interval.total_seconds()}

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        return super().from_json({**data, "interval": timedelta(seconds=data["interval_seconds"])})


class Case(Struct, frozen=True):
    """All evidence for and against one conclusion, and the conclusion if it was reached."""

    voices: Mapping[str, Voice] = field(default_factory=dict)
    success: int = NEVER
    cleared: int = NEVER
    """Evidence up to and including this second is ignored: on-call has reset the conclusion."""
    conclusion: Conclusion | None = None

    @property
    def fresh(self) -> dict[str, Voice]:
        """Requests that failed and that no success contradicts."""
        after = max(self.success, self.cleared)
        return {request: voice for request, voice in self.voices.items() if voice.at > after}

    def to_json(self) -> dict[str, Any]:
        """With the empty fields of Heard, which earlier releases read."""
        return {
            **Heard(self.voices, success=self.success).to_json(),
            "cleared": self.cleared,
            "conclusion": self.conclusion.to_json() if self.conclusion else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Case:
        heard = Heard.from_json(data)
        conclusion = Conclusion.from_json(data["conclusion"]) if data["conclusion"] else None
        return cls(heard.voices, heard.success, data["cleared"], conclusion)


NO_CASE = Case()


class Conclusions(Struct, frozen=True):
    """All cases, by the id of their conclusion."""

    cases: Mapping[str, Case] = field(default_factory=dict)

    @property
    def reached(self) -> dict[str, Conclusion]:
        return {name: case.conclusion for name, case in self.cases.items() if case.conclusion is not None}

    @property
    def open(self) -> frozenset[str]:
        """Ids about which a success is worth reporting."""
        return frozenset(name for name, case in self.cases.items() if case.conclusion is not None or case.fresh)

    def suspected(self, heard: Mapping[str, Heard], starts: Mapping[str, Starts], now: datetime) -> tuple[str, ...]:
        """Not concluded, because too few requests failed, but nothing else is answered: on-call should look."""
        return tuple(
            name
            for name, case in self.cases.items()
            if case.conclusion is None
            and case.fresh
            and name in heard
            and POLICIES[parted(name)[0]].runbook
            and min(voice.at for voice in case.fresh.values()) <= (now - SUSPECTED_AFTER).timestamp()
            and sum(heard[name].calls.values()) >= REPEATED
            and _is_lull(heard[name].calls, _of_subject(starts, parted(name)[1]), now)
        )

    @property
    def unavailable_circuits(self) -> dict[str, str]:
        """Circuits that are unavailable for now, with the reason."""
        return {
            conclusion.subject: conclusion.why
            for conclusion in self.reached.values()
            if conclusion.policy.effect == "strikes"
        }

    def closings(self) -> dict[str, Closing]:
        """Pools that start nothing before their next probe."""
        by_subject: dict[str, Closing] = {}
        for conclusion in self.reached.values():
            if conclusion.policy.effect != "closes":
                continue
            closing = by_subject.get(conclusion.subject)
            if closing is None or closing.until < conclusion.next_probe_at:
                by_subject[conclusion.subject] = Closing(conclusion.next_probe_at, conclusion.claim.value)
        return by_subject

    @property
    def day_goes_on(self) -> dict[str, datetime]:
        """Until when daily limits that 429s named are refuted, by pool: calls succeeded that they would forbid."""
        return {
            parted(name)[1]: datetime.fromtimestamp(case.success, UTC) + NAMED_WITHIN
            for name, case in self.cases.items()
            if parted(name)[0] is Claim.QUOTA_DAY and case.success > case.cleared and not case.fresh
        }

    def due(self, now: datetime) -> tuple[Conclusion, ...]:
        """Conclusions that one request may probe now."""
        return tuple(conclusion for conclusion in self.reached.values() if conclusion.next_probe_at <= now)

    def probed(self, conclusion: str, slot_at: datetime) -> Conclusions:
        """With a probe under way."""
        case = self.cases.get(conclusion)
        if case is None or case.conclusion is None:
            return self
        current = case.conclusion
        until = slot_at + max(PROBE_ANSWERS_WITHIN, current.interval)
        return self._with(
            conclusion, replace(case, conclusion=replace(current, probed_at=slot_at, next_probe_at=until))
        )

    def _with(self, conclusion: str, case: Case) -> Conclusions:
        return Conclusions({**self.cases, conclusion: case})

    def to_json(self) -> dict[str, Any]:
        return {name: case.to_json() for name, case in self.cases.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conclusions:
        return cls({name: Case.from_json(case) for name, case in data.items()})


def judge(
    conclusions: Conclusions,
    heard: Mapping[str, Heard],
    starts: Mapping[str, Starts],
    now: datetime,
    *,
    resets: Mapping[str, datetime] | None = None,
    longest: Mapping[str, timedelta] | None = None,
) -> Conclusions:
    """What is concluded now. The same evidence again changes nothing. `starts` by circuit; `resets` by id, when on-call
    reset them; `longest` by subject: the longest interval between two probes, if the catalogue names a shorter one."""
    cases = {}
    for name in sorted({*conclusions.cases, *heard}):
        claim, subject = parted(name)
        case = _with_evidence(conclusions.cases.get(name, Case()), heard.get(name, NOTHING_HEARD), now)
        case = _cleared(case, (resets or {}).get(name))
        most = min(POLICIES[claim].longest, (longest or {}).get(subject, timedelta.max))
        if case.conclusion is not None:
            case = _after_probe(_if_it_stands(case, now), heard.get(name, NOTHING_HEARD), most, now)
        else:
            evidence = heard.get(name, NOTHING_HEARD)
            case = _concluded(case, claim, subject, evidence, _of_subject(starts, subject), now)
        if _is_worth_keeping(case, claim, now):
            cases[name] = case
    return Conclusions(cases)


def _is_worth_keeping(case: Case, claim: Claim, now: datetime) -> bool:
    if case.conclusion is not None or case.voices:
        return True
    kept_since = (now - (A_DAY if claim is Claim.QUOTA_DAY else VOICES_KEPT)).timestamp()
    return max(case.cleared, case.success) >= kept_since


def asks_best(voices: Mapping[str, Voice], request: str, tenant: str) -> int:
    """How suitable a request is for the probe: 0 is best. `request` and `tenant` as `evidence.short` makes them."""
    if request in voices:
        return 2
    return int(tenant in {item.tenant for item in voices.values()})


def _with_evidence(case: Case, heard: Heard, now: datetime) -> Case:
    voices = merged(case.voices, heard.voices, now) if case.conclusion is None else _kept(case.voices, heard, now)
    return replace(case, voices=voices, success=max(case.success, heard.success))


def _kept(voices: Mapping[str, Voice], heard: Heard, now: datetime) -> dict[str, Voice]:
    """Evidence that a conclusion is based on is kept as long as it stands."""
    return {**voices, **merged(voices, heard.voices, now)} if heard.voices else dict(voices)


def _cleared(case: Case, reset_at: datetime | None) -> Case:
    if reset_at is None or int(reset_at.timestamp()) <= case.cleared:
        return case
    return replace(case, cleared=int(reset_at.timestamp()), conclusion=None)


def _if_it_stands(case: Case, now: datetime) -> Case:
    conclusion = case.conclusion
    assert conclusion is not None, "there is one to look at"
    is_over = conclusion.claim is Claim.QUOTA_DAY and now >= next_pacific_midnight(conclusion.since)
    if is_over:
        return replace(case, conclusion=None, cleared=int(now.timestamp()))
    return case if len(case.fresh) >= conclusion.needs else replace(case, conclusion=None)


def _after_probe(case: Case, heard: Heard, most: timedelta, now: datetime) -> Case:
    """A failed probe lengthens the interval; after one whose answer is inconclusive, another may go."""
    conclusion = case.conclusion
    if conclusion is None or conclusion.probed_at is None:
        return case
    second = int(conclusion.probed_at.timestamp())
    if not any(call >= second for call in heard.calls):
        again = replace(conclusion, next_probe_at=now, probed_at=None)
        return replace(case, conclusion=again) if heard.vain >= second else case
    longer = replace(
        conclusion,
        next_probe_at=now + conclusion.interval,
        interval=min(2 * conclusion.interval, most),
        probed_at=None,
        probes=conclusion.probes + 1,
    )
    return replace(case, conclusion=longer)


def _concluded(case: Case, claim: Claim, subject: str, heard: Heard, starts: Starts, now: datetime) -> Case:
    fresh, policy, calls = case.fresh, POLICIES[claim], heard.calls
    if not fresh:
        return case
    is_enough = len(fresh) >= policy.requests and _most_fail(fresh, heard, starts, policy, now)
    lately = any(second >= (now - LULL).timestamp() for second in calls)
    is_stated = policy.statement and lately and any(item.explicit for item in fresh.values())
    is_stated = is_stated and _is_lull(calls, starts, now)
    if not is_enough and not is_stated:
        return case
    needs = policy.requests if is_enough else 1
    wait, then = (policy.first, 2 * policy.first) if is_enough else (timedelta(0), policy.first)
    return replace(case, conclusion=Conclusion(claim, subject, now, needs, then, now + wait))


def _most_fail(fresh: Mapping[str, Voice], heard: Heard, starts: Starts, policy: Policy, now: datetime) -> bool:
    """Share of the calls begun since the first failure."""
    failures = heard.requests if policy.counts_once else heard.calls
    first, until = min(item.at for item in fresh.values()), int((now - SEEN_TO_FAIL).timestamp())
    began = sum(count for second, count in starts.items() if first <= second <= until)
    failed = sum(count for second, count in failures.items() if second >= first)
    return first <= until and max(failed, len(fresh)) >= policy.share * began


def _is_lull(calls: Mapping[int, int], starts: Starts, now: datetime) -> bool:
    """No call of the recent past has survived."""
    first, last = int((now - LULL).timestamp()), int((now - SETTLED).timestamp())
    began = sum(count for second, count in starts.items() if first <= second <= last)
    return began <= sum(count for second, count in calls.items() if first <= second <= last)


def _of_subject(starts: Mapping[str, Starts], subject: str) -> Starts:
    """Starts on all circuits that a subject spans."""
    total: dict[int, int] = {}
    for name, seconds in starts.items():
        if _spans(subject, name):
            for second, count in seconds.items():
                total[second] = total.get(second, 0) + count
    return total


def _spans(subject: str, circuit: str) -> bool:
    lane, _, model = circuit.partition("/")
    if "/" in subject:
        return subject in (circuit, circuit if is_apart(lane) else f"*/{model}")
    if (apart := lane_apart(subject)) is not None:
        return lane == apart and subject.partition(":")[2] == model
    return not is_apart(lane) and subject == model


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
