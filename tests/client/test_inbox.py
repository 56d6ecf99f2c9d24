"""Results and waits meet, whichever comes first; nothing is acknowledged that nobody has."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from renderlane import Closed, Outcome, Result
from renderlane.inbox import MOST_HELD, Inbox, key_of


@dataclass
class Delivery:
    calls: list[str] = field(default_factory=list)

    def acknowledge(self) -> None:
        self.calls.append("acknowledged")

    def leave(self) -> None:
        self.calls.append("left")


def a_result(request_id: str = "a", status: str = "succeeded", message_id: str = "m-1") -> Result:
    return Result(request_id, status, Outcome(status, ""), Decimal(0), message_id=message_id)


def offered(inbox: Inbox, *results: Result) -> list[list[str]]:
    """What became of each delivery."""
    deliveries = [Delivery() for _ in results]
    for result, delivery in zip(results, deliveries, strict=True):
        inbox.offer(result, delivery)
    return [item.calls for item in deliveries]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(drops_others=False)


def test_whoever_waits_gets_it_and_then_it_is_acknowledged(inbox: Inbox) -> None:
    future = inbox.wait("a")
    delivery = Delivery()
    acknowledged_before: list[list[str]] = []
    future.add_done_callback(lambda _: acknowledged_before.append(list(delivery.calls)))
    inbox.offer(a_result(), delivery)
    assert future.result(0).status == "succeeded"
    assert acknowledged_before == [[]]
    assert delivery.calls == ["acknowledged"]


def test_several_may_wait_for_one_and_for_many_at_once(inbox: Inbox) -> None:
    waits = [inbox.wait(name) for name in ("a", "b", "a", "c")]
    offered(inbox, a_result("b"), a_result("a"))
    assert [wait.done() for wait in waits] == [True, True, True, False]
    assert waits[0].result(0).request_id == "a"


def test_a_result_of_ours_that_nobody_waits_for_yet_is_kept_and_not_acknowledged(inbox: Inbox) -> None:
    inbox.publishing("a")
    inbox.published("a", "m-1")
    delivery = Delivery()
    inbox.offer(a_result(), delivery)
    assert delivery.calls == []
    assert inbox.wait("a").result(0).request_id == "a"
    assert delivery.calls == ["acknowledged"]


def test_a_result_of_somebody_else_s_is_left_for_them(inbox: Inbox) -> None:
    assert offered(inbox, a_result("theirs")) == [["left"]]


def test_where_the_subscription_is_ours_alone_it_is_acknowledged() -> None:
    assert offered(Inbox(drops_others=True), a_result("theirs")) == [["acknowledged"]]


def test_a_result_that_comes_twice_is_acknowledged_twice_and_handed_over_once(inbox: Inbox) -> None:
    inbox.publishing("a")
    future = inbox.wait("a")
    assert offered(inbox, a_result(), a_result()) == [["acknowledged"], ["acknowledged"]]
    assert future.done()
    assert inbox.wait("a").result(0).request_id == "a", "a later wait gets the result too"


def test_a_kept_result_that_comes_again_is_held_once(inbox: Inbox) -> None:
    inbox.publishing("a")
    first, second = Delivery(), Delivery()
    inbox.offer(a_result(), first)
    inbox.offer(a_result(), second)
    assert (first.calls, second.calls) == (["acknowledged"], [])
    inbox.wait("a")
    assert second.calls == ["acknowledged"]


def test_a_wait_that_was_given_up_takes_nothing(inbox: Inbox) -> None:
    future = inbox.wait("a")
    assert inbox.give_up("a", future)
    assert offered(inbox, a_result()) == [["left"]]


def test_a_wait_that_is_given_up_as_the_result_comes_has_it(inbox: Inbox) -> None:
    future = inbox.wait("a")
    offered(inbox, a_result())
    assert not inbox.give_up("a", future)
    assert future.result(0).request_id == "a"


def test_the_others_still_wait_when_one_gives_up(inbox: Inbox) -> None:
    one, other = inbox.wait("a"), inbox.wait("a")
    inbox.give_up("a", one)
    offered(inbox, a_result())
    assert other.result(0).request_id == "a"


def test_a_rejection_of_our_message_is_its_result(inbox: Inbox) -> None:
    inbox.publishing("a")
    inbox.published("a", "m-1")
    future = inbox.wait("a")
    assert offered(inbox, a_result(status="rejected")) == [["acknowledged"]]
    assert future.result(0).status == "rejected"


def test_a_rejection_of_somebody_else_s_message_under_the_same_id_is_not(inbox: Inbox) -> None:
    inbox.publishing("a")
    inbox.published("a", "m-1")
    future = inbox.wait("a")
    assert offered(inbox, a_result(status="rejected", message_id="m-2")) == [["left"]]
    assert not future.done()


def test_a_rejection_that_overtakes_the_message_id_waits_for_it(inbox: Inbox) -> None:
    inbox.publishing("a")
    future = inbox.wait("a")
    ours, theirs = Delivery(), Delivery()
    inbox.offer(a_result(status="rejected", message_id="m-2"), theirs)
    inbox.offer(a_result(status="rejected", message_id="m-1"), ours)
    assert not future.done()
    inbox.published("a", "m-1")
    assert future.result(0).message_id == "m-1"
    assert (ours.calls, theirs.calls) == (["acknowledged"], ["left"])


def test_a_rejection_is_never_final_for_its_id(inbox: Inbox) -> None:
    inbox.publishing("a")
    inbox.published("a", "m-1")
    inbox.wait("a")
    offered(inbox, a_result(status="rejected"))
    inbox.publishing("a")
    inbox.published("a", "m-2")
    second = inbox.wait("a")
    assert not second.done()
    offered(inbox, a_result(message_id="m-2"))
    assert second.result(0).status == "succeeded"


def test_publishing_again_waits_for_a_new_result(inbox: Inbox) -> None:
    inbox.publishing("a")
    inbox.wait("a")
    offered(inbox, a_result())
    inbox.publishing("a")
    assert not inbox.wait("a").done()


def test_more_than_can_be_held_comes_again_later(inbox: Inbox) -> None:
    names = [f"r-{number}" for number in range(MOST_HELD + 1)]
    for name in names:
        inbox.publishing(name)
    ends = offered(inbox, *map(a_result, names))
    assert ends[:-1] == [[]] * MOST_HELD
    assert ends[-1] == ["left"]


def test_closing_leaves_what_nobody_took_and_tells_who_waits(inbox: Inbox) -> None:
    inbox.publishing("a")
    delivery = Delivery()
    inbox.offer(a_result("a"), delivery)
    waiting: Future[Result] = inbox.wait("b")
    inbox.close()
    assert delivery.calls == ["left"]
    with pytest.raises(Closed):
        waiting.result(0)


def test_a_publish_that_failed_keeps_nothing_back(inbox: Inbox) -> None:
    inbox.publishing("a")
    early = Delivery()
    inbox.offer(a_result(status="rejected", message_id="m-2"), early)
    inbox.published("a", None)
    assert early.calls == ["left"]


def test_what_was_answered_is_no_longer_counted_among_what_is_to_come(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a busy app would forget what it waits for."""
    monkeypatch.setattr("renderlane.inbox.MOST_UNANSWERED", 2)
    inbox.publishing("old")
    inbox.published("old", "m-0")
    for number in range(5):
        inbox.publishing(f"r-{number}")
        inbox.published(f"r-{number}", f"m-{number}")
        inbox.wait(f"r-{number}")
        offered(inbox, a_result(f"r-{number}"))
    assert offered(inbox, a_result("old")) == [[]], "kept: it is ours"


def of_tenant(tenant: str | None, status: str = "succeeded", message_id: str = "m-1") -> Result:
    return replace(a_result(status=status, message_id=message_id), tenant=tenant)


def test_another_tenants_result_under_the_same_id_is_not_ours(inbox: Inbox) -> None:
    """Another publisher that knows an id must not have its own picture delivered here."""
    waiting = inbox.wait(key_of("web", "a"))
    assert offered(inbox, of_tenant("evil"), of_tenant(None), of_tenant("default")) == [["left"]] * 3
    assert not waiting.done()
    offered(inbox, of_tenant("web"))
    assert waiting.result(0).tenant == "web"


def test_a_rejection_without_a_tenant_belongs_to_the_message_that_it_answers(inbox: Inbox) -> None:
    key = key_of("..", "a")
    inbox.publishing(key)
    inbox.published(key, "m-7")
    waiting = inbox.wait(key)
    assert offered(inbox, of_tenant(None, "rejected", "m-8")) == [["left"]]
    offered(inbox, of_tenant(None, "rejected", "m-7"))
    assert waiting.result(0).status == "rejected"


def test_a_rejection_is_kept_until_the_message_id_is_known(inbox: Inbox) -> None:
    key = key_of("web", "a")
    inbox.publishing(key)
    waiting = inbox.wait(key)
    deliveries = [Delivery(), Delivery()]
    inbox.offer(of_tenant("web", "rejected", "m-7"), deliveries[0])
    inbox.offer(of_tenant(None, "rejected", "m-8"), deliveries[1])
    inbox.published(key, "m-7")
    assert waiting.result(0).message_id == "m-7"
    assert [delivery.calls for delivery in deliveries] == [["acknowledged"], ["left"]]
