"""Every case end to end: intake, pump, the real lanes and SDK against a real HTTP server, settlement, ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus.case import Case, all_cases, one_of
from tests.corpus.virtual_loop import VirtualLoop
from tests.corpus.worker import Ended, Observed, played, write_references


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    write_references(folder)
    return folder


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


@pytest.mark.parametrize("case", all_cases().values(), ids=all_cases().keys())
def test_the_worker_does_what_is_right(case: Case, runner: asyncio.Runner, references: Path) -> None:
    loop = runner.get_loop()
    assert isinstance(loop, VirtualLoop)
    result = runner.run(played(case, loop, references))
    wrong = [*_wrong_of_all(case, result), *_wrong_of_first(case, result.requests[0])]
    if wrong:
        pytest.fail(f"{case.name}: {'; '.join(wrong)}\n{case.symptom}\n{case.url}\n{result}", pytrace=False)


def _wrong_of_all(case: Case, result: Observed) -> list[str]:
    """What is wrong with the case as a whole, in words."""
    expected, wrong = case.expected, []
    for request in result.requests:
        if request.status not in one_of(expected.status):
            wrong.append(f"a request is {request.status}, right is {expected.status}")
        wrong += [f"the outcome does not say {words!r}" for words in expected.says if words not in request.outcome]
    if result.paid > expected.paid_calls:
        wrong.append(f"{result.paid} paid calls, at most {expected.paid_calls} are right")
    if expected.calls is not None and result.calls > expected.calls:
        wrong.append(f"{result.calls} calls, at most {expected.calls} are right")
    if result.booked < result.billed:
        wrong.append(f"{result.billed} calls are charged, {result.booked} are booked as charged or unknown")
    if len(set(result.micros)) > 1 or len(set(result.unknown)) > 1:
        wrong.append(f"attempts and ledger differ: {result.micros} micros, {result.unknown} of unknown cost")
    if expected.others == "go_on" and not (result.bystander or "").startswith("succeeded"):
        wrong.append(f"another request on the same model is {result.bystander}")
    wrong += [f"raised {crash}" for crash in result.crashes]
    succeeded = sum(request.status == "succeeded" for request in result.requests)
    if result.pictures < succeeded:
        wrong.append("a request succeeded without a stored picture")
    return wrong


def _wrong_of_first(case: Case, ended: Ended) -> list[str]:
    """What is wrong with the first attempt of the first request, in words."""
    expected, wrong = case.expected, []
    if not ended.attempts:
        return [] if expected.charge in (None, "nothing") else ["no attempt was made"]
    first = ended.attempts[0]
    kinds = ["succeeded"] if expected.picture else one_of(expected.failure)
    if first.kind not in kinds:
        wrong.append(f"the first attempt ended as {first.kind}, right is {kinds}")
    if expected.charge is not None and first.charge not in one_of(expected.charge):
        wrong.append(f"it is booked as {first.charge}, right is {expected.charge}")
    if expected.cost_micros is not None and first.cost_micros not in expected.cost_micros:
        wrong.append(f"it costs {first.cost_micros}, right is {expected.cost_micros}")
    if ended.next not in one_of(expected.next):
        wrong.append(f"next is {ended.next}, right is {expected.next}")
    return wrong
