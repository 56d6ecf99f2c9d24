"""Virtual time."""

from __future__ import annotations

from datetime import timedelta

from tests.virtual_time.worlds import START, an_engine


def test_callbacks_come_in_the_order_of_their_instants() -> None:
    engine, calls = an_engine(), []
    engine.at(3, lambda: calls.append((3, engine.now)))
    engine.at(1, lambda: calls.append((1, engine.now)))
    engine.run()
    assert calls == [(1, 1), (3, 3)]


def test_callbacks_of_one_instant_come_in_the_order_in_which_they_were_scheduled() -> None:
    engine, calls = an_engine(), []
    for number in range(20):
        engine.at(1, lambda number=number: calls.append(number))  # type: ignore[misc]
    engine.run()
    assert calls == list(range(20))


def test_an_instant_that_has_passed_means_now() -> None:
    engine, calls = an_engine(), []
    engine.at(5, lambda: engine.at(2, lambda: calls.append(engine.now)))
    engine.run()
    assert calls == [5]


def test_a_run_ends_at_its_bound_and_goes_on_from_there() -> None:
    engine, calls = an_engine(), []
    engine.at(1, lambda: calls.append(1))
    engine.at(9, lambda: calls.append(9))
    engine.run(until=5)
    assert (engine.now, calls) == (5, [1])
    engine.run()
    assert calls == [1, 9]


def test_a_stop_lets_nothing_more_happen() -> None:
    engine, calls = an_engine(), []
    engine.at(1, engine.stop)
    engine.at(2, lambda: calls.append(2))
    engine.run()
    assert calls == []


def test_wall_time_and_seconds_are_the_same_instant() -> None:
    engine = an_engine()
    engine.at(90.5, lambda: None)
    engine.run()
    assert engine.wall() == START + timedelta(seconds=90.5)
    assert engine.seconds(engine.wall()) == 90.5
