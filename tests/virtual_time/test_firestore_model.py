"""Firestore in virtual time."""

from __future__ import annotations

from random import Random

import pytest

from scripts.virtual_time.engine import Engine
from scripts.virtual_time.models.firestore_model import HOT_WRITE, WRITE, Documents
from tests.virtual_time.worlds import an_engine


def documents(engine: Engine) -> Documents:
    return Documents(engine, Random(1))


def test_a_write_takes_its_latency_and_is_counted_when_it_stands() -> None:
    engine = an_engine()
    store, stood = documents(engine), []
    store.write("pump/pump", lambda: stood.append(engine.now))
    engine.run()
    assert store.writes == {"pump/pump": stood}
    assert WRITE[0] <= stood[0] <= WRITE[1]


def test_writes_to_one_document_take_turns_and_to_several_do_not() -> None:
    engine = an_engine()
    store = documents(engine)
    for number in range(10):
        store.write("one")
        store.write(f"other/{number}")
    engine.run()
    assert store.writes["one"][-1] >= 10 * WRITE[0]
    assert all(store.writes[f"other/{number}"][0] <= WRITE[1] for number in range(10))


def test_a_document_written_too_often_saturates_at_sixteen_writes_a_second() -> None:
    engine = an_engine()
    store = documents(engine)
    for _ in range(2000):
        store.write("hot")
    engine.run()
    late = [at for at in store.writes["hot"] if 60 <= at < 70]
    assert len(late) / 10 == pytest.approx(1 / HOT_WRITE, rel=0.1)


def test_a_document_bears_a_write_a_second_for_ever() -> None:
    engine = an_engine()
    store = documents(engine)
    for second in range(600):
        engine.at(second, lambda: store.write("steady"))
    engine.run()
    assert all(at % 1 <= WRITE[1] for at in store.writes["steady"])


def test_whoever_finds_nothing_to_write_only_reads() -> None:
    engine = an_engine()
    store, left = documents(engine), [2]
    written: list[bool] = []

    def take() -> bool:
        left[0] -= 1
        return left[0] >= 0

    for _ in range(5000):
        store.transact("counter", take, written.append)
    engine.run()
    assert (written.count(True), written.count(False)) == (2, 4998)
    assert len(store.writes["counter"]) == 2


def test_a_commit_stands_when_all_its_documents_do() -> None:
    engine = an_engine()
    store, stood = documents(engine), []
    store.commit(["pump/pump", "calendars/a"], lambda: stood.append(engine.now))
    store.commit([], lambda: stood.append(engine.now))
    engine.run()
    assert stood == [0.0, max(store.writes["pump/pump"][0], store.writes["calendars/a"][0])]
