"""The client against a worker on the Pub/Sub emulator: published, rendered, waited for, acknowledged."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message

from renderlane import Client, ListeningFailed, NoSubscription, NotInTime, Request, Result, having_prefix
from scripts.bench.harness import rig
from tests.cli.conftest import started

pytestmark = [pytest.mark.emulator, pytest.mark.slow]

WITHIN = 60.0
Make = Callable[..., Client]


@pytest.fixture(scope="module")
def project(firestore_host: str, pubsub_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One worker for the whole file."""
    name = f"client-{uuid.uuid4().hex[:8]}"
    with rig.simulator(latency="fixed:0.1") as provider:
        environment = {
            "RENDERLANE_STORE": f"firestore://{name}",
            "RENDERLANE_TOPICS": f"pubsub://{name}",
            "FIRESTORE_EMULATOR_HOST": firestore_host,
            "PUBSUB_EMULATOR_HOST": pubsub_host,
            "GEMINI_API_KEY": "AQ.test",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
        }
        with started(tmp_path_factory.mktemp("worker"), "up", "--port", "0", **environment) as up:
            assert up.first_line, "".join(up.errors)
            yield name


@pytest.fixture
def make(project: str, pubsub_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_host)
    with contextlib.ExitStack() as stack:

        def client(subscription: str | None, **more: str) -> Client:
            made = stack.enter_context(Client(project, subscription, **more))  # type: ignore[arg-type]
            if subscription is not None:
                made.create_subscription()
            return made

        yield client


class Acknowledged:
    """Request ids of the results that were acknowledged, in order."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._more = threading.Condition()

    def note(self, request_id: str) -> None:
        with self._more:
            self.ids.append(request_id)
            self._more.notify_all()

    def wait_for(self, request_id: str, times: int) -> bool:
        with self._more:
            return self._more.wait_for(lambda: self.ids.count(request_id) >= times, WITHIN)


@pytest.fixture
def acknowledged(monkeypatch: pytest.MonkeyPatch) -> Acknowledged:
    log = Acknowledged()
    acknowledge = Message.ack

    def noted(message: Message) -> None:
        acknowledge(message)
        log.note(message.attributes["request_id"])

    monkeypatch.setattr(Message, "ack", noted)
    return log


def test_a_request_is_rendered_and_its_result_is_acknowledged(make: Make, acknowledged: Acknowledged) -> None:
    client = make("one")
    result = client.render(Request("one-1", "a lighthouse", image_size="2K", labels={"k": "v"}), WITHIN)
    assert result.ok, result
    assert result.delivered is not None
    assert (result.delivered.width, result.labels) == (2048, {"k": "v"})
    assert result.cost_usd > 0
    again = client.render(Request("one-1", "a lighthouse", image_size="2K", labels={"k": "v"}), WITHIN)
    assert (again.image_uri, again.attempt_count) == (result.image_uri, 1)
    assert acknowledged.wait_for("one-1", 2)
    assert set(acknowledged.ids) == {"one-1"}


def test_many_are_waited_for_at_once(make: Make) -> None:
    client = make("many")
    names = [f"many-{number}" for number in range(12)]
    for name in names:
        client.publish(Request(name, "a lighthouse")).result(WITHIN)
    waits = [client.follow(name) for name in names]
    assert {wait.result(WITHIN).request_id for wait in waits} == set(names)


def test_a_rejection_is_told_with_the_field(make: Make) -> None:
    result = make("rejected").render(Request("rejected-1", "a lighthouse", model="midjourney"), WITHIN)
    assert result.status == "rejected"
    assert "model: found" in result.outcome.message


def test_a_cancelled_request_and_a_refused_one_are_results(make: Make) -> None:
    client = make("ends")
    client.cancel("ends-1").result(WITHIN)
    assert client.render(Request("ends-1", "a lighthouse", priority="bulk"), WITHIN).status in (
        "cancelled",
        "succeeded",
    )
    refused = client.render(Request("ends-2", "a lighthouse [refuse]"), WITHIN)
    assert (refused.status, refused.ok) == ("refused", False)
    assert refused.outcome.code == "refused"


def test_two_instances_on_one_subscription_swallow_nothing_of_each_other(make: Make) -> None:
    """Pub/Sub hands each result to either of them."""
    one, other = make("shared"), make("shared")
    waits: list[tuple[str, Result]] = []
    published = [
        (client, f"shared-{name}-{number}") for number in range(4) for name, client in (("a", one), ("b", other))
    ]
    for client, name in published:
        client.publish(Request(name, "a lighthouse")).result(WITHIN)
    futures = [(name, client.follow(name)) for client, name in published]
    # What one instance gives back, the emulator hands out again after seconds, often to the same one.
    waits = [(name, future.result(4 * WITHIN)) for name, future in futures]
    assert all(name == result.request_id for name, result in waits)


def test_with_a_subscription_of_its_own_other_results_are_let_go(make: Make, acknowledged: Acknowledged) -> None:
    mine, theirs = make("mine", others="drop"), make("theirs")
    waits = mine.follow("mine-1")
    theirs.publish(Request("theirs-1", "a lighthouse")).result(WITHIN)
    assert theirs.wait("theirs-1", WITHIN).ok
    mine.publish(Request("mine-1", "a lighthouse")).result(WITHIN)
    assert waits.result(WITHIN).ok
    assert acknowledged.wait_for("theirs-1", 2), "each has its own copy"


def test_a_wait_ends_in_time_and_the_result_is_still_there(make: Make) -> None:
    client = make("late")
    with pytest.raises(NotInTime):
        client.wait("late-1", 0.2)
    assert client.render(Request("late-1", "a lighthouse"), WITHIN).ok


def test_without_a_subscription_it_publishes_and_cannot_wait(make: Make) -> None:
    client = make(None)
    assert client.publish(Request("published-only", "a lighthouse")).result(WITHIN)
    with pytest.raises(NoSubscription):
        client.wait("published-only")
    with pytest.raises(NoSubscription):
        client.render(Request("published-only", "a lighthouse"))


def test_a_subscription_that_is_not_there_is_said_to_whoever_waits(
    project: str, pubsub_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_host)
    with Client(project, "never-made") as client, pytest.raises(ListeningFailed, match="never-made"):
        client.wait("anything", WITHIN)


def test_a_subscription_has_the_filter_and_goes_when_nobody_reads_it(
    make: Make, project: str, pubsub_host: str
) -> None:
    client = make(None)
    assert client is not None
    with Client(project, "filtered") as filtered:
        filtered.create_subscription(having_prefix("shop-7f3a-"))
        filtered.create_subscription(having_prefix("shop-7f3a-"))
    with pubsub_v1.SubscriberClient() as subscriber:
        subscription = subscriber.get_subscription(
            subscription=subscriber.subscription_path(project, "filtered"), timeout=20
        )
    assert subscription.filter == 'hasPrefix(attributes.request_id, "shop-7f3a-")'
    assert subscription.expiration_policy.ttl.days == 1
