"""Carrying the probes out, one after the other, and asking what is free to ask beside them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from scripts.doctor import registered
from scripts.doctor_live.api import Api, an_order, outcome_of
from scripts.doctor_live.outcome import ProbeOutcome
from scripts.doctor_live.probes import Probe, ProbePlan
from shared.core.catalogue.catalogue import Catalogue
from shared.core.limits.live_quota import UsageByModel
from shared.ports.lanes import Lane

NOT_ASKED = "not_asked"
GETS = 5
"""Looks at one interaction, to see whether they count against the quota."""
Usage: TypeAlias = Callable[[], Awaitable[UsageByModel | None]]
"""What the provider counts of the project's use; None where it cannot be read."""
Tell: TypeAlias = Callable[[ProbeOutcome], None]


class Examined(Struct, frozen=True):
    outcomes: tuple[ProbeOutcome, ...]
    left_out: tuple[Probe, ...]
    """Not asked: the budget, or a key that is rejected."""
    facts: Mapping[str, str]
    """What the rest came to, in words."""


async def examine(
    api: Api, plan: ProbePlan, catalogue: Catalogue, usage: Usage, vertex: Lane | None, tell: Tell
) -> Examined:
    """`tell` is called with each outcome when it is known."""
    outcomes: list[ProbeOutcome] = []
    left_out: list[Probe] = []
    for number, probe in enumerate(plan.probes):
        if _spent(outcomes) + probe.most_micros > plan.budget_micros:
            left_out.append(probe)
            continue
        outcome = _known_already(probe, outcomes)
        if outcome is None:
            outcome = await (_on_vertex(vertex, probe, catalogue) if probe.kind == "vertex" else api.ask(probe))
        outcomes.append(outcome)
        tell(outcome)
        if outcome.code in ("credential", "balance"):
            left_out += plan.probes[number + 1 :]  # nothing else would be answered otherwise
            break
    return Examined(tuple(outcomes), tuple(left_out), await _beside(api, outcomes, usage))


def _spent(outcomes: Sequence[ProbeOutcome]) -> int:
    """On the safe side: a cost that nobody states is the whole estimate."""
    costs = ((outcome.probe.most_micros, outcome.cost_micros) for outcome in outcomes)
    return sum(most if cost is None else cost for most, cost in costs)


def _known_already(probe: Probe, outcomes: Sequence[ProbeOutcome]) -> ProbeOutcome | None:
    """What an earlier call of the same model has answered."""
    if probe.kind == "vertex":
        return None
    earlier = [outcome for outcome in outcomes if outcome.probe.model == probe.model and outcome.probe.kind != "vertex"]
    if probe.kind == "answers":
        made = next((outcome for outcome in earlier if outcome.made), None)
        return None if made is None else replace(made, probe=probe, cost_micros=0, seconds=0.0, interaction_id="")
    if any(outcome.code == "model_gone" and outcome.probe.kind == "answers" for outcome in earlier):
        return ProbeOutcome(probe, NOT_ASKED, message="the model does not answer", cost_micros=0)
    return None


async def _on_vertex(vertex: Lane | None, probe: Probe, catalogue: Catalogue) -> ProbeOutcome:
    """By the lane itself: credentials and form are its own."""
    assert vertex is not None, "the plan has no such probe without the lane"

    async def at_once() -> timedelta:
        return timedelta(seconds=30)

    answer = await vertex.generate(an_order(probe, catalogue), catalogue.models[probe.model].timeout, at_once)
    return outcome_of(probe, answer, getattr(answer, "http_status", None), catalogue, "")


async def _beside(api: Api, outcomes: Sequence[ProbeOutcome], usage: Usage) -> dict[str, str]:
    """What costs nothing: looks at an interaction, its removal, the webhooks of the project."""
    kept = [outcome for outcome in outcomes if outcome.probe.background and outcome.interaction_id]
    facts = {"webhooks": registered.words(await registered.read(api.get))}
    if api.webhook_url is not None:
        taken = sum(outcome.made for outcome in kept)
        facts["dynamic webhooks"] = f"{taken} background calls that named {api.webhook_url} were taken"
    looked_at = next((outcome for outcome in kept if outcome.made), None)
    facts["get"] = "not asked: no interaction was kept"
    if looked_at is not None:
        facts["get"] = await _gets(api, looked_at, usage)
    removed = [await _removed(api, outcome.interaction_id) for outcome in kept]
    facts["delete"] = "; ".join(dict.fromkeys(removed)) or "not asked: no interaction was kept"
    return facts


async def _gets(api: Api, outcome: ProbeOutcome, usage: Usage) -> str:
    path = f"/v1/interactions/{outcome.interaction_id}?stream=false"
    before = await usage()
    statuses = [(await api.get(path))[0] for _ in range(GETS)]
    after = await usage()
    text = f"{GETS} GETs of one interaction answered {', '.join(map(str, sorted(set(statuses))))}"
    if before is None or after is None:
        return f"{text}; whether they count is unknown: usage cannot be read (RENDERLANE_LIVE_QUOTA=limits,usage)"
    counted = {
        dimension: after.get(outcome.probe.model, {}).get(dimension, 0) - number
        for dimension, number in before.get(outcome.probe.model, {}).items()
    }
    rise = ", ".join(f"{dimension} +{number}" for dimension, number in sorted(counted.items()) if number > 0)
    return f"{text}; the project's usage meanwhile: {rise or 'unchanged'} (Monitoring may be minutes late)"


async def _removed(api: Api, interaction: str) -> str:
    path = f"/v1/interactions/{interaction}"
    deleted = await api.delete(path)
    looked = (await api.get(f"{path}?stream=false"))[0]
    return f"DELETE answered {deleted}, and GET {looked} afterwards"
