"""No minute of any alignment holds more starts than the limit, and none is lost that had room."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.admission.fleet_pace import HORIZON, LONGEST_LEAD, MIN_LEAD_TIME
from shared.core.admission.slot_calendar import (
    BUCKET,
    LEEWAY,
    REFUND_WITHIN,
    SLOT_GOOD_FOR,
    UNPACED,
    WINDOW_BUCKETS,
    Blocked,
    Calendar,
    Granted,
    Weight,
    begin_of,
    bucket_of,
)
from shared.core.limits.quota import Limits
from shared.core.times.pacific import next_pacific_midnight, pacific_day
from tests.builders import NOW
from tests.windows import MINUTE, keeps

SECOND = timedelta(seconds=1)


def granted(calendar: Calendar, limits: Limits, weight: Weight = Weight(), *, at: datetime = NOW) -> Granted:  # noqa: B008  a frozen value
    blocked = calendar.grant(limits, weight, earliest=at, horizon=at + HORIZON)
    assert isinstance(blocked, Granted), blocked
    return blocked


def refused(calendar: Calendar, limits: Limits, weight: Weight = Weight(), *, at: datetime = NOW) -> Blocked:  # noqa: B008
    blocked = calendar.grant(limits, weight, earliest=at, horizon=at + HORIZON)
    assert isinstance(blocked, Blocked), blocked
    return blocked


def filled(limits: Limits, number: int, *, at: datetime = NOW) -> Calendar:
    calendar = Calendar()
    for _ in range(number):
        calendar = granted(calendar, limits, at=at).calendar
    return calendar


# -- slots ------------------------------------------------------------------------------------------------------------


def test_a_slot_lies_early_in_a_half_second_and_is_good_until_four_tenths_of_it() -> None:
    limits = Limits(rpm=60)
    for milliseconds, slot_after in ((0, 0), (1, 1), (199, 199), (200, 500), (499, 500), (500, 500), (501, 501)):
        slot = granted(Calendar(), limits, at=NOW + timedelta(milliseconds=milliseconds))
        assert slot.slot_at == NOW + timedelta(milliseconds=slot_after)
        assert slot.slot_until == begin_of(bucket_of(slot.slot_at)) + SLOT_GOOD_FOR
        assert slot.slot_until - slot.slot_at >= LEEWAY


def test_an_empty_minute_may_be_filled_at_once_and_then_is_full() -> None:
    limits = Limits(rpm=60)
    calendar = filled(limits, 60)
    assert calendar.used(NOW) == Weight(60, 60, 0)
    assert refused(calendar, limits) == Blocked("minute", None)


def test_a_full_minute_has_room_again_sixty_and_a_half_seconds_later() -> None:
    limits = Limits(rpm=1)
    calendar = filled(limits, 1)
    free = NOW + WINDOW_BUCKETS * BUCKET
    assert refused(calendar, limits, at=free - HORIZON - BUCKET) == Blocked("minute", None)
    assert granted(calendar, limits, at=free - HORIZON).slot_at == free
    assert free - NOW == timedelta(seconds=60.5)


def test_a_start_at_the_last_good_moment_stays_in_its_half_second() -> None:
    assert SLOT_GOOD_FOR < BUCKET


def test_an_earlier_slot_after_a_later_one_counts_in_every_minute_that_holds_both() -> None:
    limits = Limits(rpm=1)
    late = granted(Calendar(), limits, at=NOW + LONGEST_LEAD).calendar
    assert refused(late, limits) == Blocked("minute", None)


def test_without_a_rate_the_slot_is_the_earliest_moment_itself() -> None:
    earliest = NOW + timedelta(microseconds=123_457)
    assert granted(Calendar(), Limits(), at=earliest).slot_at == earliest
    assert granted(Calendar(), Limits(rpd=5, concurrency=3), at=earliest).slot_at == earliest


def test_a_limit_that_becomes_known_counts_what_started_before_it_was() -> None:
    calendar = filled(Limits(), 10)
    assert refused(calendar, Limits(rpm=10)) == Blocked("minute", None)
    assert granted(calendar, Limits(rpm=11)).slot_at == NOW


@pytest.mark.parametrize("limits", [Limits(rpm=0), Limits(ipm=0), Limits(tpm=0), Limits(rpd=0), Limits(rpm=5, rpd=0)])
def test_a_limit_of_zero_grants_nothing(limits: Limits) -> None:
    assert refused(Calendar(), limits, Weight(tokens=1)) == Blocked("zero", None)


@pytest.mark.parametrize(
    ("limits", "weight", "number"),
    [
        (Limits(rpm=3, ipm=100, tpm=100_000), Weight(tokens=1), 3),
        (Limits(rpm=100, ipm=3, tpm=100_000), Weight(tokens=1), 3),
        (Limits(rpm=100, ipm=100, tpm=1_000), Weight(tokens=300), 3),
        (Limits(rpm=100, ipm=4), Weight(images=2), 2),
    ],
)
def test_every_dimension_holds_by_itself(limits: Limits, weight: Weight, number: int) -> None:
    calendar = Calendar()
    for _ in range(number):
        calendar = granted(calendar, limits, weight).calendar
    assert refused(calendar, limits, weight) == Blocked("minute", None)


def test_a_request_of_more_tokens_than_a_minute_holds_gets_a_minute_of_its_own() -> None:
    limits, heavy = Limits(tpm=1_000), Weight(tokens=23_000)
    calendar = granted(Calendar(), limits, heavy).calendar
    assert refused(calendar, limits, Weight(tokens=1)) == Blocked("minute", None)
    assert refused(calendar, limits, heavy) == Blocked("minute", None)
    assert isinstance(granted(calendar, limits, heavy, at=NOW + WINDOW_BUCKETS * BUCKET), Granted)


def test_a_half_second_holds_no_more_starts_than_the_pace_and_the_next_one_takes_the_rest() -> None:
    limits, calendar = Limits(rpm=60), Calendar()
    slots: Counter[datetime] = Counter()
    for _ in range(9):
        slot = calendar.grant(limits, Weight(), earliest=NOW, horizon=NOW + HORIZON, pace=3)
        assert isinstance(slot, Granted)
        calendar = slot.calendar
        slots[slot.slot_at] += 1
    assert slots == {NOW + BUCKET * number: 3 for number in range(3)}
    assert calendar.grant(limits, Weight(), earliest=NOW, horizon=NOW + HORIZON, pace=3) == Blocked("minute", None)


def test_without_a_rate_nothing_is_paced() -> None:
    calendar = filled(Limits(), 50)
    assert isinstance(calendar.grant(Limits(), Weight(), earliest=NOW, horizon=NOW, pace=1), Granted)


# -- closing ----------------------------------------------------------------------------------------------------------


def test_a_closed_calendar_grants_nothing_until_it_opens() -> None:
    until = NOW + timedelta(seconds=30)
    calendar = Calendar().close(until, "quota_minute")
    for limits in (Limits(rpm=60), Limits()):
        assert refused(calendar, limits) == Blocked("closed", until)
        assert granted(calendar, limits, at=until).slot_at == until


def test_an_earlier_closing_that_lasts_longer_stays() -> None:
    long = Calendar().close(NOW + MINUTE, "quota_day")
    assert long.close(NOW + timedelta(seconds=5), "quota_minute") == long
    longer = long.close(NOW + 2 * MINUTE, "quota_spend")
    assert (longer.closed_until, longer.closed_why) == (NOW + 2 * MINUTE, "quota_spend")


def test_a_closing_is_forgotten_when_it_is_over_and_not_before() -> None:
    calendar = Calendar().close(NOW + MINUTE, "quota_minute")
    assert calendar.forget(NOW + MINUTE - timedelta(microseconds=1)) == calendar
    assert calendar.forget(NOW + MINUTE) == Calendar()


# -- refunds ----------------------------------------------------------------------------------------------------------


def test_a_slot_that_is_given_back_can_be_granted_again() -> None:
    limits = Limits(rpm=1, rpd=1)
    calendar = filled(limits, 1)
    assert refused(calendar, limits).reason == "minute"
    assert granted(calendar.refund("a:1", NOW, Weight(), now=NOW), limits).slot_at == NOW


def test_a_second_refund_of_the_same_release_changes_nothing() -> None:
    limits = Limits(rpm=5, rpd=5)
    once = filled(limits, 3).refund("a:1", NOW, Weight(), now=NOW)
    assert once.refund("a:1", NOW, Weight(), now=NOW) == once
    assert once.used(NOW).requests == 2
    assert once.refund("a:2", NOW, Weight(), now=NOW).used(NOW).requests == 1


def test_a_request_that_waits_all_day_with_an_unused_slot_is_refunded_once() -> None:
    """The pump sees its unused slot at every tick; the memory of its refund ends, but not before it is too old."""
    limits = Limits(rpm=60, rpd=20)
    calendar = filled(limits, 20)
    now = NOW
    while now < NOW + timedelta(hours=3):
        calendar = calendar.forget(now).refund("a:1", NOW, Weight(), now=now)
        now += timedelta(seconds=7)
    assert calendar.days == {pacific_day(NOW): 19}
    assert calendar.refunded == {}


def test_a_refund_is_remembered_for_longer_than_it_can_be_asked_for_again() -> None:
    calendar = filled(Limits(rpm=60), 2).refund("a:1", NOW, Weight(), now=NOW)
    assert "a:1" in calendar.forget(NOW + REFUND_WITHIN).refunded


def test_a_refund_gives_back_no_more_than_there_is() -> None:
    calendar = filled(Limits(rpm=5, tpm=100), 1).refund("a:1", NOW, Weight(3, 3, 500), now=NOW)
    assert calendar.used(NOW) == Weight(0, 0, 0)
    assert min(calendar.days.values()) == 0


# -- the store --------------------------------------------------------------------------------------------------------


def test_a_calendar_is_written_with_text_keys_only() -> None:
    calendar = filled(Limits(rpm=5), 2).refund("a:1", NOW, Weight(), now=NOW).close(NOW, "quota_day")
    written = calendar.to_json()
    assert Calendar.from_json(written) == calendar
    for part in ("buckets", "days", "refunded"):
        assert written[part]
        assert all(isinstance(key, str) for key in written[part])


# -- the day ----------------------------------------------------------------------------------------------------------

MIDNIGHTS = [
    # the midnight in Los Angeles, as UTC
    datetime(2026, 3, 8, 8, tzinfo=UTC),  # into the day of 23 hours
    datetime(2026, 3, 9, 7, tzinfo=UTC),  # out of it
    datetime(2026, 11, 1, 7, tzinfo=UTC),  # into the day of 25 hours
    datetime(2026, 11, 2, 8, tzinfo=UTC),  # out of it
    datetime(2026, 11, 23, 8, tzinfo=UTC),
    datetime(2027, 1, 1, 8, tzinfo=UTC),
]


@pytest.mark.parametrize("midnight", MIDNIGHTS)
def test_a_pacific_day_begins_at_midnight_there_through_both_changes_of_the_clocks(midnight: datetime) -> None:
    moment = timedelta(microseconds=1)
    assert pacific_day(midnight - moment) + timedelta(days=1) == pacific_day(midnight)
    assert next_pacific_midnight(midnight - moment) == midnight
    assert next_pacific_midnight(midnight) > midnight
    assert next_pacific_midnight(midnight).tzinfo is UTC


def test_the_days_of_the_clock_changes_have_23_and_25_hours() -> None:
    for begins, hours in ((MIDNIGHTS[0], 23), (MIDNIGHTS[2], 25), (MIDNIGHTS[4], 24)):
        assert next_pacific_midnight(begins) - begins == timedelta(hours=hours)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_next_midnight_is_the_first_moment_of_the_next_day(moment: datetime) -> None:
    midnight = next_pacific_midnight(moment)
    assert timedelta(0) < midnight - moment <= timedelta(hours=25)
    assert pacific_day(midnight) == pacific_day(moment) + timedelta(days=1)
    assert pacific_day(midnight - timedelta(microseconds=1)) == pacific_day(moment)


def test_a_day_that_is_used_up_waits_for_midnight_in_los_angeles() -> None:
    limits = Limits(rpm=100, rpd=3)
    calendar = filled(limits, 3)
    assert refused(calendar, limits) == Blocked("day", next_pacific_midnight(NOW))
    assert granted(calendar, limits, at=next_pacific_midnight(NOW)).calendar.days[date(2026, 11, 23)] == 1


def test_a_slot_just_after_midnight_is_granted_before_midnight_when_the_day_is_used_up() -> None:
    limits, midnight = Limits(rpm=100, rpd=1), MIDNIGHTS[0]
    calendar = filled(limits, 1, at=midnight - timedelta(hours=1))
    assert granted(calendar, limits, at=midnight - timedelta(seconds=1)).slot_at == midnight


def test_a_slot_of_the_old_day_granted_after_one_of_the_new_is_counted_on_the_old() -> None:
    limits, midnight = Limits(rpm=100, rpd=1), MIDNIGHTS[0]
    calendar = filled(limits, 1, at=midnight - timedelta(minutes=2))
    calendar = granted(calendar, limits, at=midnight + timedelta(seconds=3)).calendar
    assert refused(calendar, limits, at=midnight - timedelta(seconds=5)) == Blocked("day", midnight)


# -- properties -------------------------------------------------------------------------------------------------------


@dataclass
class Drive:
    """A calendar as the pump uses it, and beside it the plain list of what it granted."""

    limits: Limits
    now: datetime
    calendar: Calendar = field(default_factory=Calendar)
    slots: dict[str, tuple[datetime, Weight]] = field(default_factory=dict)
    """Granted and not given back, by release."""
    good_until: dict[str, datetime] = field(default_factory=dict)
    """By release."""
    patient_until: datetime | None = None
    """So long patient slots take room from the others."""
    given_back: list[tuple[str, datetime, Weight]] = field(default_factory=list)

    def grant(self, lead: timedelta, weight: Weight, *, patient: bool = False) -> None:
        self.calendar = self.calendar.forget(self.now)
        earliest = self.now + lead
        slot = self.calendar.grant(self.limits, weight, earliest=earliest, horizon=earliest + HORIZON, patient=patient)
        if isinstance(slot, Granted):
            assert earliest <= slot.slot_at <= earliest + HORIZON
            assert slot.slot_at + LEEWAY <= slot.slot_until
            self.calendar = slot.calendar
            release = f"r:{len(self.slots) + len(self.given_back)}"
            self.good_until[release] = slot.slot_until
            self.slots[release] = (slot.slot_at, weight)
            if patient:
                self.patient_until = slot.slot_until + MINUTE
        elif not patient and (self.patient_until is None or earliest > self.patient_until + BUCKET):
            assert not self.has_room(earliest, weight), "a slot was lost"

    def refund(self, which: int) -> None:
        if not self.slots:
            return
        release = sorted(self.slots)[which % len(self.slots)]
        slot_at, weight = self.slots[release]
        if slot_at < self.now - REFUND_WITHIN:
            return
        del self.slots[release]
        self.given_back.append((release, slot_at, weight))
        self.calendar = self.calendar.refund(release, slot_at, weight, now=self.now)

    def refund_again(self, which: int) -> None:
        if self.given_back:
            release, slot_at, weight = self.given_back[which % len(self.given_back)]
            before = self.calendar
            self.calendar = before.refund(release, slot_at, weight, now=self.now)
            assert self.calendar == before

    def has_room(self, earliest: datetime, weight: Weight) -> bool:
        """By trying each half second against every minute that holds it."""
        slot = datetime.fromtimestamp(-(-earliest.timestamp() // 0.5) * 0.5, UTC)
        while slot <= earliest + HORIZON:
            tried = [*((begin_of(bucket_of(at)), item) for at, item in self.slots.values()), (slot, weight)]
            if keeps(tried, self.limits):
                return True
            slot += BUCKET
        return False


limits_of_a_model = st.builds(
    Limits,
    rpm=st.none() | st.integers(0, 6),
    ipm=st.none() | st.integers(0, 6),
    tpm=st.none() | st.integers(100, 500),
    rpd=st.none() | st.integers(0, 12),
).filter(lambda limits: (limits.rpm, limits.ipm, limits.tpm) != (None, None, None))
beginnings = st.builds(
    lambda midnight, seconds: midnight + timedelta(seconds=seconds),
    st.sampled_from(MIDNIGHTS),
    st.floats(-80, 2),
)
leads = st.sampled_from([MIN_LEAD_TIME * factor for factor in (1, 2, 8, 32)] + [LONGEST_LEAD])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), leads, st.integers(1, 100)),
        st.tuples(st.just("grant"), leads, st.integers(1, 100)),
        st.tuples(st.just("patient"), leads, st.integers(1, 100)),
        st.tuples(st.just("wait"), st.floats(0, 25), st.just(0)),
        st.tuples(st.just("refund"), st.just(0.0), st.integers(0, 99)),
        st.tuples(st.just("refund again"), st.just(0.0), st.integers(0, 99)),
        st.tuples(st.just("restart"), st.just(0.0), st.just(0)),
    ),
    min_size=5,
    max_size=60,
)


@settings(max_examples=150)
@given(limits_of_a_model, beginnings, actions, st.lists(st.floats(0, 1), min_size=60, max_size=60))
def test_no_minute_of_any_alignment_and_no_day_holds_more_than_its_limit(
    limits: Limits, now: datetime, steps: list[tuple[str, timedelta | float, int]], lateness: list[float]
) -> None:
    """Under any order of grants, refunds and waits, with each start anywhere in its slot; and no slot is lost."""
    drive = Drive(limits, now)
    for what, amount, number in steps:
        match what, amount:
            case "grant", timedelta():
                drive.grant(amount, Weight(tokens=number))
            case "patient", timedelta():
                drive.grant(amount, Weight(tokens=number), patient=True)
            case "wait", float():
                drive.now += timedelta(seconds=amount)
            case "refund", _:
                drive.refund(number)
            case "refund again", _:
                drive.refund_again(number)
            case _:
                drive.calendar = Calendar.from_json(drive.calendar.to_json())
    slots = [(at, drive.good_until[release], weight) for release, (at, weight) in drive.slots.items()]
    slots.sort(key=lambda slot: slot[0])
    for shift in (lateness, [0.0] * 60, [1.0] * 60, [1.0, 0.0] * 30, [0.0, 1.0] * 30):
        starts = [(at + (until - at) * late, weight) for (at, until, weight), late in zip(slots, shift, strict=False)]
        assert keeps(starts, limits)


@pytest.mark.parametrize("rpm", [10, 60, 500, 2_000])
def test_an_endless_queue_gets_98_percent_of_the_limit(rpm: int) -> None:
    """Ten minutes of ticks of a second; the first minute's slots come at once, as they may."""
    limits, calendar = Limits(rpm=rpm), Calendar()
    slots: list[datetime] = []
    for tick in range(600):
        now = NOW + timedelta(seconds=tick)
        calendar = calendar.forget(now)
        while True:
            earliest = now + MIN_LEAD_TIME
            answer = calendar.grant(limits, Weight(), earliest=earliest, horizon=earliest + HORIZON)
            if isinstance(answer, Blocked):
                break
            calendar = answer.calendar
            slots.append(answer.slot_at)
    in_ten_minutes = [slot for slot in slots if slot < NOW + 10 * MINUTE]
    assert 0.98 * 10 * rpm <= len(in_ten_minutes) <= 10 * rpm
    after_the_first = [slot for slot in slots if NOW + MINUTE <= slot < NOW + 10 * MINUTE]
    assert len(after_the_first) >= 0.98 * 9 * rpm
    busiest = Counter(int((slot - NOW) / BUCKET) for slot in slots)
    for begins in busiest:
        assert sum(busiest[begins + offset] for offset in range(WINDOW_BUCKETS)) <= rpm


# -- patience ---------------------------------------------------------------------------------------------------------


def patiently(calendar: Calendar, limits: Limits, *, at: datetime = NOW, pace: float = UNPACED) -> Granted | Blocked:
    return calendar.grant(limits, Weight(), earliest=at, horizon=at + HORIZON, pace=pace, patient=True)


def test_a_patient_slot_is_good_for_two_seconds_more() -> None:
    slot = patiently(Calendar(), Limits(rpm=60))
    assert isinstance(slot, Granted)
    assert slot.slot_until == slot.slot_at + SLOT_GOOD_FOR + timedelta(seconds=2)


def test_after_a_patient_slot_a_minute_is_two_seconds_longer_and_then_as_before() -> None:
    limits = Limits(rpm=1)
    first = patiently(Calendar(), limits)
    assert isinstance(first, Granted)
    assert refused(first.calendar, limits, at=NOW + timedelta(seconds=60.5) - HORIZON).reason == "minute"
    at = NOW + timedelta(seconds=62.5)
    again = granted(first.calendar.forget(at - HORIZON), limits, at=at - HORIZON)
    assert again.slot_at == at
    third = granted(again.calendar.forget(at + 60 * SECOND), limits, at=at + 60 * SECOND)
    assert third.slot_at == at + timedelta(seconds=60.5)


def test_no_patient_slot_reaches_into_another_day() -> None:
    midnight = MIDNIGHTS[0]
    limits = Limits(rpm=60, rpd=5)
    before = patiently(Calendar(), limits, at=midnight - SECOND)
    assert isinstance(before, Granted)
    assert before.slot_until < midnight
    after = patiently(Calendar(), limits, at=midnight)
    assert isinstance(after, Granted)
    assert after.slot_until > midnight + 2 * SECOND


def test_a_pace_between_two_numbers_is_kept_on_average() -> None:
    calendar, starts = Calendar(), []
    for second in range(30):
        while isinstance(slot := patiently(calendar, Limits(rpm=600), at=NOW + second * SECOND, pace=1.25), Granted):
            calendar = slot.calendar
            starts.append(slot.slot_at)
    in_twenty = Counter(bucket_of(at) for at in starts if NOW <= at < NOW + 20 * SECOND)
    assert sum(in_twenty.values()) == 50
    assert set(in_twenty.values()) == {1, 2}


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_that_were_estimated_too_low_count_as_long_as_their_start() -> None:
    limits = Limits(tpm=100)
    calendar = granted(Calendar(), limits, Weight(tokens=40)).calendar
    calendar = calendar.correct_tokens({bucket_of(NOW): 60})
    assert refused(calendar, limits, Weight(tokens=1), at=NOW + timedelta(seconds=50)) == Blocked("minute", None)
    freed = NOW + WINDOW_BUCKETS * BUCKET
    assert granted(calendar, limits, Weight(tokens=100), at=freed).slot_at == freed


def test_tokens_that_were_estimated_too_high_are_free_at_once() -> None:
    limits = Limits(tpm=100)
    calendar = granted(Calendar(), limits, Weight(tokens=100)).calendar
    assert refused(calendar, limits, Weight(tokens=1)) == Blocked("minute", None)
    corrected = calendar.correct_tokens({bucket_of(NOW): -30})
    assert granted(corrected, limits, Weight(tokens=30)).slot_at == NOW
    assert refused(corrected, limits, Weight(tokens=31)) == Blocked("minute", None)


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(-200, 200)), min_size=1, max_size=10))
def test_a_corrected_start_counts_what_it_really_took_and_nothing_else_changes(taken: list[tuple[int, int]]) -> None:
    calendar, now, drift = Calendar(), NOW, {}
    for tokens, more in taken:
        calendar = granted(calendar, Limits(tpm=10_000), Weight(tokens=tokens), at=now).calendar
        drift[bucket_of(now)] = more
        now += timedelta(seconds=1)
    corrected = calendar.correct_tokens({**drift, bucket_of(NOW) - 1_000: 5})
    assert corrected.used(now) == Weight(len(taken), len(taken), sum(max(number + more, 0) for number, more in taken))
    assert corrected.days == calendar.days
