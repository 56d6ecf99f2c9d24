"""What must hold in a scene, each a promise with the check that it is kept."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

from scripts.drills.recording import FLAGGED_AS, IMAGE, REJECTED, DrillRecording, EndedRequest, was_used
from scripts.drills.scene import Hold
from scripts.drills.traffic import PRIMARY
from scripts.simulator.provider.bill import RecordedCall

RELEASED_BEFORE = timedelta(seconds=4)
"""What was released before a breaker tripped still leaves within this time (slots lie up to 1.5 s ahead), and with it
the last of what was called before."""

ON_ITS_WAY = timedelta(seconds=1)
"""From a call's leaving to the simulator's count of it, on a machine that is busy."""


def everybody_has_an_image() -> Hold:
    return Hold("everybody has an image", ends_only_as("succeeded").check)


def ends_only_as(*allowed: str) -> Hold:
    def check(played: DrillRecording) -> str | None:
        other = {status: count for status, count in played.statuses().items() if status not in allowed}
        return f"of {len(played.requests)} requests {_counts(other)}, allowed: {', '.join(allowed)}" if other else None

    return Hold(f"every request is {' or '.join(allowed)}", check)


def some_end_as(status: str, least: int = 1) -> Hold:
    """Else the scene would prove nothing."""

    def check(played: DrillRecording) -> str | None:
        count = played.statuses()[status]
        return None if count >= least else f"{count} requests {status}, at least {least} should be"

    return Hold(f"at least {least} are {status}", check)


def one_image_each() -> Hold:
    """Nothing is bought twice."""

    def check(played: DrillRecording) -> str | None:
        paid = Counter(call.marker for call in played.all_calls if was_used(call) or _is_wasted(call))
        twice = [marker for marker, count in paid.items() if count > 1]
        return f"paid twice: {_names(twice)}" if twice else None

    return Hold("no image is paid for twice", check)


def booked_as_charged() -> Hold:
    """Each delivered request's cost is what the provider charged for it, to the micro-dollar."""

    def check(played: DrillRecording) -> str | None:
        wrong = [
            ended_request.request_id
            for ended_request in played.delivered
            if ended_request.cost_micros != sum(call.cost_micros for call in played.of(ended_request.request_id))
        ]
        return f"booked otherwise than charged: {_names(wrong)}" if wrong else None

    return Hold("each image costs what the provider charged", check)


def nothing_wasted() -> Hold:
    def check(played: DrillRecording) -> str | None:
        return f"{played.wasted_micros} micros paid for nothing" if played.wasted_micros else None

    return Hold("nothing is paid for without an image", check)


def failing_calls_at_most(most: int) -> Hold:
    """Calls of the primary model that ended in the failure."""

    def check(played: DrillRecording) -> str | None:
        count = sum(call.outcome != "image" for call in played.primary())
        return None if count <= most else f"{count} primary calls met the failure, at most {most} may"

    return Hold(f"at most {most} primary calls meet the failure", check)


PROBES = 5
"""5, 10, 20, 40 and 80 s apart: more than a scene lasts."""


def the_route_is_left_within(seconds: float) -> Hold:
    """From the first answer that says so to the last call that meets it, but for the probes."""

    def check(played: DrillRecording) -> str | None:
        met = [call for call in played.primary(until=played.mended_at) if call.outcome != "image"]
        if not met:
            return "no call met the failure: the scene proves nothing"
        first = met[0].finished_at or met[0].received_at
        later = [took for call in met if (took := (call.received_at - first).total_seconds()) > seconds]
        if len(later) <= PROBES:
            return None
        return f"asked {len(later)} times later than that, up to {later[-1]:.1f} s, allowed are {PROBES} probes"

    return Hold(f"the route is left within {seconds:g} s", check)


def only_the_marked_fail(mark: str) -> Hold:
    """Requests that are always turned away end; all others have their image of the model that they asked for."""

    def check(played: DrillRecording) -> str | None:
        marked = {request.request_id: request for request in played.requests if mark in request.fields["prompt"]}
        wrong = [ended_request.request_id for ended_request in marked.values() if ended_request.status != "failed"]
        others = [request for request in played.requests if request.request_id not in marked]
        wrong += [
            ended_request.request_id
            for ended_request in others
            if ended_request.status != "succeeded" or ended_request.model != PRIMARY
        ]
        return f"{len(marked)} are marked, and it went otherwise: {_names(wrong)}" if wrong or not marked else None

    return Hold("the marked fail, the others have images of what they asked for", check)


def nothing_is_concluded() -> Hold:
    def check(played: DrillRecording) -> str | None:
        conclusions = [str(item["conclusion"]) for item in played.events_of("conclusion_reached")]
        return f"concluded: {', '.join(conclusions)}" if conclusions else None

    return Hold("nothing is concluded from single requests", check)


def the_others_wait_at_most(seconds: float, mark: str) -> Hold:
    def check(played: DrillRecording) -> str | None:
        late = [ended_request.request_id for ended_request in played.delivered
                if mark not in ended_request.fields["prompt"] and (ended_request.seconds or 0.0) > seconds]  # fmt: skip
        return f"waited for more than {seconds:g} s: {_names(late)}" if late else None

    return Hold(f"the others have their images within {seconds:g} s", check)


def the_failure_is_met(least: int = 1) -> Hold:
    """Else the scene would prove nothing."""

    def check(played: DrillRecording) -> str | None:
        count = sum(call.outcome != "image" for call in played.all_calls)
        return None if count >= least else f"{count} calls met the failure, at least {least} should"

    return Hold(f"the failure is met by {least} calls at least", check)


def looks_failed(least: int) -> Hold:
    """Else the scene would prove nothing."""

    def check(played: DrillRecording) -> str | None:
        count = len(played.events_of("interaction_unread"))
        return None if count >= least else f"{count} looks at interactions failed, at least {least} should"

    return Hold(f"at least {least} looks at interactions fail", check)


def each_asks_at_most(times: int, kind: str) -> Hold:
    """No request meets this answer of the primary model more often."""

    def check(played: DrillRecording) -> str | None:
        met = Counter(call.marker for call in played.primary() if call.outcome == kind or call.client_disconnected)
        often = [marker for marker, count in met.items() if count > times]
        return f"asked more than {times} times into {kind}: {_names(often)}" if often else None

    return Hold(f"no request meets {kind} more than {times} times", check)


def nobody_before_the_hint(seconds: float) -> Hold:
    """No request is asked again on the route that rejected it before the server said so."""

    def check(played: DrillRecording) -> str | None:
        early = []
        for request in played.requests:
            calls = [call for call in played.of(request.request_id) if call.model == PRIMARY]
            for first, then in pairwise(calls):
                waited = (then.received_at - (first.finished_at or first.received_at)).total_seconds()
                if first.status == REJECTED and waited < seconds - 0.05:
                    early.append(f"{request.request_id} after {waited:.1f} s")
        return f"asked before the hint of {seconds:g} s: {_names(early)}" if early else None

    return Hold(f"nobody asks again before the hint of {seconds:g} s", check)


def four_primary_calls_a_minute() -> Hold:
    """From the breaker's trip to the failure's end: a call each 15 s, in any window."""

    def check(played: DrillRecording) -> str | None:
        tripped = played.tripped_at()
        if tripped is None:
            return "the breaker never tripped"
        calls = [call.received_at for call in played.primary(tripped + RELEASED_BEFORE, played.mended_at)]
        worst = max((_within_a_minute(calls, first) for first in calls), default=0)
        seconds = min(60.0, (played.mended_at - tripped).total_seconds())
        most = 4 if seconds >= 60 else int(seconds // 15) + 1
        return None if worst <= most else f"{worst} primary calls in {seconds:.0f} s of the outage, at most {most} may"

    return Hold("at most four primary calls a minute in the outage", check)


def breaker_trips_at_most(most: int) -> Hold:
    def check(played: DrillRecording) -> str | None:
        trips = len(played.breaker("trip"))
        return None if trips <= most else f"the breaker tripped {trips} times, at most {most} may"

    return Hold(f"the breaker trips at most {most} times", check)


def no_breaker() -> Hold:
    return Hold("no breaker trips", breaker_trips_at_most(0).check)


def back_on_the_primary() -> Hold:
    """After the failure the breaker resets by itself and the primary model makes images again."""

    def check(played: DrillRecording) -> str | None:
        if len(played.breaker("reset")) < len(played.breaker("trip")):
            return "the breaker has not reset"
        return None if played.back_after() is not None else "the primary made no image after the failure"

    return Hold("the breaker resets by itself, and the primary model is back", check)


def back_to_images() -> Hold:
    def check(played: DrillRecording) -> str | None:
        return None if played.back_after() is not None else "the primary made no image after the failure"

    return Hold("the primary model is back", check)


def refused_are_asked_once() -> Hold:
    """A refusal is an answer: no second call, on no route."""

    def check(played: DrillRecording) -> str | None:
        often = [
            request.request_id
            for request in played.requests
            if request.status == "refused" and len(played.of(request.request_id)) != 1
        ]
        return f"refused and asked again: {_names(often)}" if often else None

    return Hold("what is refused is asked once", check)


def only_refusals_are_refused(mark: str = "[refuse]") -> Hold:
    def check(played: DrillRecording) -> str | None:
        wrong = [
            request.request_id
            for request in played.requests
            if (request.status == "refused") != _is_marked(request, mark)
        ]
        return f"neither refused nor not as the provider did: {_names(wrong)}" if wrong else None

    return Hold("exactly what the provider refuses is refused", check)


def due_ones_have_images() -> Hold:
    """A request with a deadline goes to the next model; one without may wait."""

    def check(played: DrillRecording) -> str | None:
        late = [
            request.request_id
            for request in played.requests
            if "deadline" in request.fields and request.status != "succeeded"
        ]
        return f"with a deadline and without an image: {_names(late)}" if late else None

    return Hold("each request with a deadline has an image", check)


def nobody_begins_after_the_deadline() -> Hold:
    """And what expired was never asked."""

    def check(played: DrillRecording) -> str | None:
        begun = []
        for request in played.requests:
            deadline = datetime.fromisoformat(request.fields["deadline"])
            calls = [call for call in played.of(request.request_id) if call.status != REJECTED]
            if any(call.received_at > deadline + ON_ITS_WAY for call in calls) or (
                request.status == "expired" and calls
            ):
                begun.append(request.request_id)
        return f"asked though too late: {_names(begun)}" if begun else None

    return Hold("nothing begins after its deadline, and what expires is not asked", check)


def escalated(runbook: str, most: int = 3) -> Hold:
    """Somebody is told, and not in a flood."""

    def check(played: DrillRecording) -> str | None:
        count = len(played.events_of("escalation", runbook=runbook))
        return None if 1 <= count <= most else f"{count} escalations `{runbook}`, 1 to {most} should be"

    return Hold(f"somebody is told (runbook {runbook}), at most {most} times", check)


def warned_of_a_lack() -> Hold:
    def check(played: DrillRecording) -> str | None:
        count = len(played.events_of("route_lacking"))
        return None if count == 1 else f"{count} warnings `route_lacking`, one should be"

    return Hold("one warning names the model that is gone", check)


def no_downgrade_unexplained() -> Hold:
    """The receipt says why where another model than the primary was used."""

    def check(played: DrillRecording) -> str | None:
        silent = [
            ended_request.request_id
            for ended_request in played.delivered
            if ended_request.fields.get("model") == PRIMARY
            and ended_request.model != PRIMARY
            and not ended_request.reasons
        ]
        return f"another model and no reason: {_names(silent)}" if silent else None

    return Hold("each downgrade is explained in its receipt", check)


def what_came_otherwise_is_flagged() -> Hold:
    """In the receipt and in the result event, each with a reason; and nothing else is."""

    def check(played: DrillRecording) -> str | None:
        wrong = []
        for ended_request in played.delivered:
            came = {
                FLAGGED_AS[call.outcome] for call in played.of(ended_request.request_id) if call.outcome in FLAGGED_AS
            }
            flagged = set(ended_request.mismatches)
            is_announced = ended_request.announced is not None and list(ended_request.announced) == list(
                ended_request.mismatches
            )
            if (
                not came <= flagged
                or (flagged and not came)
                or len(ended_request.reasons) < len(flagged)
                or not is_announced
            ):
                announced = f"{sorted(came)} as {sorted(flagged)}, announced {ended_request.announced}"
                wrong.append(f"{ended_request.request_id} {announced}")
        return f"not flagged as it came: {_names(wrong)}" if wrong else None

    return Hold("what came otherwise than ordered is flagged in receipt and event, and nothing else is", check)


def every_kind_came(*kinds: str) -> Hold:
    """Else the scene would prove nothing."""

    def check(played: DrillRecording) -> str | None:
        missing = sorted(set(kinds) - {call.outcome for call in played.all_calls})
        return f"never came: {', '.join(missing)}" if missing else None

    return Hold(f"{len(kinds)} kinds of wrong delivery came", check)


def the_ledger_is_the_bill() -> Hold:
    """To the micro-dollar, all providers together."""

    def check(played: DrillRecording) -> str | None:
        booked, charged = played.booked_micros, played.charged_micros
        return None if booked == charged else f"the ledger has {booked} micros, the bill {charged}"

    return Hold("the ledger equals the provider's bill", check)


def google_is_not_blamed() -> Hold:
    """For what a gateway does: no model of Google's closes, no breaker trips, nobody is told of one."""

    def check(played: DrillRecording) -> str | None:
        closed = [event["model"] for event in played.events_of("calendar_closed")]
        escalations = [event["what"] for event in played.events_of("escalation")]
        blamed = [str(item) for item in (*closed, *escalations) if not str(item).startswith("gateway:")]
        blamed += [event["flag_id"] for event in played.events_of("flag_changed", actor="breaker")]
        return f"blamed: {_names(blamed)}" if blamed else None

    return Hold("nothing of Google's is blamed", check)


def the_gateway_is_closed_by_name() -> Hold:
    """Its hold is on record, so that the queue's wait can be explained."""

    def check(played: DrillRecording) -> str | None:
        closings = played.events_of("calendar_closed", model=f"gateway:{PRIMARY}", why="balance")
        return None if closings else "nobody closed the gateway for want of balance"

    return Hold("the gateway is closed for want of balance", check)


def only_those_that_consent_leave_google() -> Hold:
    def check(played: DrillRecording) -> str | None:
        consenting = {
            request.request_id for request in played.requests if request.fields.get("allow", {}).get("gateway")
        }
        left = sorted({call.marker for call in played.gateway_calls} - consenting)
        return f"left Google without consent: {_names(left)}" if left else None

    return Hold("only requests that consent leave Google", check)


def those_turned_away_go_elsewhere_within(seconds: float) -> Hold:
    """A gateway that serves nobody costs its requests a moment, not their image."""

    def check(played: DrillRecording) -> str | None:
        late = []
        for call in played.gateway_calls:
            if was_used(call) or call.finished_at is None:
                continue
            after = [item for item in played.calls if item.marker == call.marker and was_used(item)]
            if not after or (after[0].received_at - call.finished_at).total_seconds() > seconds:
                late.append(call.marker)
        return f"turned away and not at Google within {seconds:g} s: {_names(late)}" if late else None

    return Hold(f"who is turned away is asked for at Google within {seconds:g} s", check)


def _is_wasted(call: RecordedCall) -> bool:
    """An image that was made and never reached us."""
    return call.charged and call.outcome == IMAGE


def _within_a_minute(calls: list[datetime], first: datetime) -> int:
    return sum(first <= call < first + timedelta(seconds=59) for call in calls)


def _is_marked(ended_request: EndedRequest, mark: str) -> bool:
    return mark in str(ended_request.fields["prompt"])


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _names(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
