"""What topics and subscriptions promise (shared.ports), run on every adapter; then what is an adapter's own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.adapters.sqlite.topics import LocalTopics
from shared.core.messages.topics import (
    DEAD_LETTER_SOURCE,
    RENDER_DEAD_LETTERS,
    RENDER_REQUESTS,
    RENDER_RESULTS,
    Subscription,
)
from shared.ports.messaging import TopicsUnavailable
from tests.contract.conftest import Post
from tests.contract.fake_clock import START, FakeClock

ACK_DEADLINE = timedelta(seconds=10)
INTAKE = Subscription(
    "requests-intake",
    RENDER_REQUESTS,
    "intake",
    ACK_DEADLINE,
    max_deliveries=5,
    minimum_backoff=timedelta(seconds=1),
    maximum_backoff=timedelta(seconds=10),
)
AUDIT = Subscription("requests-audit", RENDER_REQUESTS, "intake", ACK_DEADLINE, max_deliveries=0)
BURY = Subscription("dead-letters-bury", RENDER_DEAD_LETTERS, "bury", ACK_DEADLINE, max_deliveries=0)


async def test_a_published_message_is_pulled_and_acknowledged_once(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    message_id = await post.topics.publish(RENDER_REQUESTS, b"\x00data\xff", {"traceparent": "00-1"})

    delivery = await post.pull_one(INTAKE.name)

    assert delivery.message_id == message_id
    assert delivery.data == b"\x00data\xff"
    assert delivery.attributes == {"traceparent": "00-1"}
    assert delivery.number == 1
    assert type(delivery.published_at) is datetime
    assert delivery.published_at.utcoffset() == timedelta(0)
    expected = datetime.now(UTC) if post.clock is None else START
    assert abs(delivery.published_at - expected) < timedelta(minutes=1)
    await post.topics.acknowledge(INTAKE.name, [delivery.handle])
    assert await post.nothing_comes(INTAKE.name)


async def test_data_and_attributes_may_be_empty_but_not_both(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    await post.topics.publish(RENDER_REQUESTS, b"", {"only": "attributes"})
    assert (await post.pull_one(INTAKE.name)).data == b""
    await post.topics.publish(RENDER_REQUESTS, b"only data")
    assert (await post.pull_one(INTAKE.name)).attributes == {}

    with pytest.raises(ValueError, match="neither data nor attributes"):
        await post.topics.publish(RENDER_REQUESTS, b"")


async def test_attributes_are_any_text(post: Post) -> None:
    attributes = {"é": "日本語 🎹", "empty": "", "data": "not the data", "topic": "not the topic", "quote'\"": "a\nb"}
    await post.topics.ensure([INTAKE])

    await post.topics.publish(RENDER_REQUESTS, b"x", attributes)

    assert (await post.pull_one(INTAKE.name)).attributes == attributes


async def test_each_subscription_of_the_topic_gets_the_message(post: Post) -> None:
    await post.topics.ensure([INTAKE, AUDIT, BURY])
    await post.topics.publish(RENDER_REQUESTS, b"x")

    first = await post.pull_one(INTAKE.name)
    await post.topics.acknowledge(INTAKE.name, [first.handle])
    second = await post.pull_one(AUDIT.name)

    assert first.message_id == second.message_id
    assert await post.nothing_comes(BURY.name)


async def test_a_topic_without_subscription_takes_messages_and_keeps_none(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    results = Subscription("results-app", RENDER_RESULTS, "intake", ACK_DEADLINE, max_deliveries=0)

    await post.topics.publish(RENDER_RESULTS, b"before")
    await post.topics.ensure([results])
    await post.topics.publish(RENDER_RESULTS, b"after")

    assert (await post.pull_one(results.name)).data == b"after"


async def test_ensuring_again_leaves_what_is_there_alone(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    await post.topics.publish(RENDER_REQUESTS, b"x")

    await post.topics.ensure([INTAKE, AUDIT])

    assert (await post.pull_one(INTAKE.name)).data == b"x"


async def test_a_rejected_message_comes_again_with_a_higher_number(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    await post.topics.publish(RENDER_REQUESTS, b"x", {"a": "b"})
    first = await post.pull_one(INTAKE.name)

    await post.topics.reject(INTAKE.name, [first.handle])
    post.pass_backoff()
    second = await post.pull_one(INTAKE.name)

    assert (first.number, second.number) == (1, 2)
    assert (second.message_id, second.data, second.attributes) == (first.message_id, b"x", {"a": "b"})
    assert second.published_at == first.published_at


async def test_extending_by_nothing_rejects(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    await post.topics.publish(RENDER_REQUESTS, b"x")
    first = await post.pull_one(INTAKE.name)

    await post.topics.extend(INTAKE.name, [first.handle], timedelta(0))
    post.pass_backoff()

    assert (await post.pull_one(INTAKE.name)).number == 2


async def test_what_is_not_acknowledged_comes_again_after_the_deadline_unless_extended(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    await post.topics.publish(RENDER_REQUESTS, b"slow")
    await post.topics.publish(RENDER_REQUESTS, b"dead")
    first: list[str] = []
    while len(first) < 2:
        for delivery in await post.pull(INTAKE.name):
            first.append(delivery.handle)
            if delivery.data == b"slow":
                await post.topics.extend(INTAKE.name, [delivery.handle], timedelta(seconds=60))

    await post.pass_time(ACK_DEADLINE - timedelta(seconds=4))
    assert await post.nothing_comes(INTAKE.name)
    await post.pass_time(timedelta(seconds=5))

    again = await post.pull_one(INTAKE.name)
    assert again.data == b"dead"
    assert again.number == 2
    assert await post.nothing_comes(INTAKE.name)


async def test_after_its_last_delivery_a_message_is_a_dead_letter_that_names_its_source(post: Post) -> None:
    await post.topics.ensure([INTAKE, BURY])
    message_id = await post.topics.publish(RENDER_REQUESTS, b"\xff poison", {"é": "日本"})

    for number in range(1, INTAKE.max_deliveries + 1):
        delivery = await post.pull_one(INTAKE.name)
        assert delivery.number == number
        await post.topics.reject(INTAKE.name, [delivery.handle])
        post.pass_backoff()
    if post.clock is None:  # the emulator buries when somebody asks for the next delivery
        assert await post.nothing_comes(INTAKE.name)
    letter = await post.pull_one(BURY.name)

    source = {name: letter.attributes[name] for name in letter.attributes if name.startswith("CloudPubSub")}
    published = source.pop("CloudPubSubDeadLetterSourceTopicPublishTime")
    assert source == {
        DEAD_LETTER_SOURCE: INTAKE.name,
        "CloudPubSubDeadLetterSourceSubscriptionProject": post.project,
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
    }
    assert datetime.fromisoformat(published) <= letter.published_at
    assert published.endswith("Z")
    assert letter.data == b"\xff poison"
    assert letter.attributes["é"] == "日本"
    assert letter.message_id != message_id
    assert await post.nothing_comes(INTAKE.name)


async def test_two_who_pull_do_not_get_the_same_delivery(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    sent = await asyncio.gather(*(post.topics.publish(RENDER_REQUESTS, str(n).encode()) for n in range(20)))
    assert len(set(sent)) == 20

    pulled: list[str] = []

    async def pull() -> None:
        while len(pulled) < 20:
            wait = timedelta(seconds=1) if post.clock is None else timedelta(0)
            deliveries = await post.topics.pull(INTAKE.name, 7, wait)
            assert len(deliveries) <= 7
            pulled.extend(delivery.message_id for delivery in deliveries)
            await post.topics.acknowledge(INTAKE.name, [delivery.handle for delivery in deliveries])

    await asyncio.gather(pull(), pull())

    assert sorted(pulled) == sorted(sent)


async def test_nine_megabytes_are_fine_and_more_than_ten_million_bytes_refused(post: Post) -> None:
    await post.topics.ensure([INTAKE])
    data = bytes(range(256)) * (9 * 4096)

    await post.topics.publish(RENDER_REQUESTS, data)

    assert (await post.pull_one(INTAKE.name)).data == data
    with pytest.raises(ValueError, match="10,000,001 bytes"):
        await post.topics.publish(RENDER_REQUESTS, b"x" * 9_999_999, {"a": "b"})


async def test_what_pubsub_would_refuse_is_refused(post: Post) -> None:
    await post.topics.ensure([INTAKE])

    with pytest.raises(ValueError, match="1,025"):
        await post.topics.publish(RENDER_REQUESTS, b"x", {"long": "x" * 1025})
    with pytest.raises(ValueError, match="0-600 s"):
        await post.topics.extend(INTAKE.name, ["1.1"], timedelta(seconds=601))


async def test_an_unknown_topic_or_subscription_is_unavailable_by_name(post: Post) -> None:
    await post.topics.ensure([INTAKE])

    with pytest.raises(TopicsUnavailable, match="no-such-topic"):
        await post.topics.publish("no-such-topic", b"x")
    with pytest.raises(TopicsUnavailable, match="no-such-subscription"):
        await post.pull("no-such-subscription")


async def test_nothing_to_acknowledge_is_fine(post: Post) -> None:
    await post.topics.ensure([INTAKE])

    await post.topics.acknowledge(INTAKE.name, [])
    await post.topics.reject(INTAKE.name, [])
    await post.topics.extend(INTAKE.name, [], timedelta(seconds=10))


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TestLocal:
    @pytest.fixture
    async def topics(self, tmp_path: Path, clock: FakeClock) -> AsyncIterator[LocalTopics]:
        one = LocalTopics(tmp_path / "state.db", clock)
        await one.ensure([INTAKE, BURY])
        yield one
        await one.close()

    async def test_a_pull_that_waits_wakes_at_a_publish(self, topics: LocalTopics, clock: FakeClock) -> None:
        pull = asyncio.create_task(topics.pull(INTAKE.name, 10, timedelta(seconds=30)))
        await clock.someone_sleeps()

        await topics.publish(RENDER_REQUESTS, b"x")

        assert [delivery.data for delivery in await pull] == [b"x"]
        assert clock.monotonic() == 0

    async def test_interactive_requests_are_handed_out_before_a_flood_of_others(self, topics: LocalTopics) -> None:
        await topics.ensure([INTAKE])
        for number in range(50):
            await topics.publish(RENDER_REQUESTS, b'{"request_id": "bulk-%d", "priority": "bulk"}' % number)
        for name in (b"first", b"second"):
            await topics.publish(RENDER_REQUESTS, b'{"request_id": "%s", "priority": "interactive"}' % name)
        await topics.publish(RENDER_REQUESTS, b'{"request_id": "late", "prompt": "an interactive map"}')

        pulled = await topics.pull(INTAKE.name, 3, timedelta(0))

        assert [json.loads(delivery.data)["request_id"] for delivery in pulled] == ["first", "second", "bulk-0"]
        await topics.reject(INTAKE.name, [pulled[0].handle])
        later = await topics.pull(INTAKE.name, 1, timedelta(0))
        assert json.loads(later[0].data)["request_id"] == "bulk-1", "a rejected one waits for its back-off"

    async def test_a_pull_that_waits_ends_with_its_time(self, topics: LocalTopics, clock: FakeClock) -> None:
        pull = asyncio.create_task(topics.pull(INTAKE.name, 10, timedelta(seconds=30)))
        await clock.someone_sleeps()

        clock.advance(timedelta(seconds=30))

        assert await pull == []

    async def test_a_pull_that_waits_wakes_when_a_message_is_due_again(
        self, topics: LocalTopics, clock: FakeClock
    ) -> None:
        await topics.publish(RENDER_REQUESTS, b"x")
        (claimed,) = await topics.pull(INTAKE.name, 10, timedelta(0))
        pull = asyncio.create_task(topics.pull(INTAKE.name, 10, timedelta(seconds=30)))
        await clock.someone_sleeps()
        await topics.reject(INTAKE.name, [claimed.handle])
        await asyncio.sleep(0.05)
        assert not pull.done()

        clock.advance(INTAKE.minimum_backoff)

        assert [delivery.number for delivery in await pull] == [2]

    async def test_the_back_off_doubles_up_to_its_maximum(self, tmp_path: Path, clock: FakeClock) -> None:
        topics = LocalTopics(tmp_path / "backoff.db", clock)
        endless = Subscription(
            "endless", RENDER_REQUESTS, "intake", ACK_DEADLINE, 0, maximum_backoff=timedelta(seconds=5)
        )
        await topics.ensure([endless])
        await topics.publish(RENDER_REQUESTS, b"x")

        pauses = []
        for _ in range(6):
            pause = 0
            while not (deliveries := await topics.pull("endless", 1, timedelta(0))):
                clock.advance(timedelta(seconds=1))
                pause += 1
            pauses.append(pause)
            await topics.reject("endless", [deliveries[0].handle])

        assert pauses == [0, 1, 2, 4, 5, 5]
        await topics.close()

    async def test_deliveries_that_lapse_count_and_lead_to_the_dead_letters(
        self, topics: LocalTopics, clock: FakeClock
    ) -> None:
        await topics.publish(RENDER_REQUESTS, b"x")
        for _ in range(INTAKE.max_deliveries):
            assert len(await topics.pull(INTAKE.name, 10, timedelta(0))) == 1
            clock.advance(ACK_DEADLINE)

        waits = asyncio.create_task(topics.pull(BURY.name, 10, timedelta(seconds=30)))
        assert await topics.pull(INTAKE.name, 10, timedelta(0)) == []

        (letter,) = await waits
        assert letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"

    async def test_a_handle_that_came_too_late_does_nothing(self, topics: LocalTopics, clock: FakeClock) -> None:
        await topics.publish(RENDER_REQUESTS, b"x")
        (late,) = await topics.pull(INTAKE.name, 10, timedelta(0))
        clock.advance(ACK_DEADLINE)
        (live,) = await topics.pull(INTAKE.name, 10, timedelta(0))

        await topics.acknowledge(INTAKE.name, [late.handle])
        await topics.reject(INTAKE.name, [late.handle])
        await topics.extend(INTAKE.name, [late.handle], timedelta(seconds=600))
        clock.advance(ACK_DEADLINE)

        (third,) = await topics.pull(INTAKE.name, 10, timedelta(0))
        assert (live.number, third.number) == (2, 3)

    async def test_messages_survive_closing(self, tmp_path: Path, clock: FakeClock) -> None:
        first = LocalTopics(tmp_path / "kept.db", clock)
        await first.ensure([INTAKE])
        await first.publish(RENDER_REQUESTS, b"held", {"a": "b"})
        await first.pull(INTAKE.name, 1, timedelta(0))
        await first.publish(RENDER_REQUESTS, b"new", {"a": "b"})
        await first.close()
        second = LocalTopics(tmp_path / "kept.db", clock)

        assert [delivery.data for delivery in await second.pull(INTAKE.name, 10, timedelta(0))] == [b"new"]
        clock.advance(ACK_DEADLINE)
        again = await second.pull(INTAKE.name, 10, timedelta(0))
        assert sorted((delivery.data, delivery.number) for delivery in again) == [(b"held", 2), (b"new", 2)]
        await second.close()

    async def test_what_an_earlier_process_held_can_be_given_back_at_once(
        self, topics: LocalTopics, clock: FakeClock
    ) -> None:
        await topics.publish(RENDER_REQUESTS, b"x")
        await topics.pull(INTAKE.name, 1, timedelta(0))

        assert await topics.redeliver_all() == 1
        assert [delivery.number for delivery in await topics.pull(INTAKE.name, 1, timedelta(0))] == [2]

    async def test_a_message_of_another_process_ends_the_wait(self, tmp_path: Path) -> None:
        path = tmp_path / "shared.db"
        topics = LocalTopics(path, RealClock())
        await topics.ensure([INTAKE])
        pull = asyncio.create_task(topics.pull(INTAKE.name, 1, timedelta(hours=1)))
        script = (
            "import asyncio, sys\n"
            "from shared.adapters.sqlite.topics import LocalTopics\n"
            "from tests.contract.test_topics import RealClock\n"
            "async def main():\n"
            "    topics = LocalTopics(sys.argv[1], RealClock())\n"
            "    await topics.publish('render-requests', b'from afar')\n"
            "    await topics.close()\n"
            "asyncio.run(main())\n"
        )

        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, str(path)], check=True)
        async with asyncio.timeout(60):
            (delivery,) = await pull

        assert delivery.data == b"from afar"
        await topics.close()

    async def test_a_rejection_by_another_process_ends_the_wait_for_its_message(self, tmp_path: Path) -> None:
        """It publishes nothing: the change is looked at a little later than a message is."""
        path, patient = (
            tmp_path / "shared.db",
            replace(INTAKE, ack_deadline=timedelta(hours=1), minimum_backoff=timedelta(milliseconds=10)),
        )
        topics, other = LocalTopics(path, RealClock()), LocalTopics(path, RealClock())
        await topics.ensure([patient])
        await topics.publish(RENDER_REQUESTS, b"twice")
        (taken,) = await other.pull(INTAKE.name, 1, timedelta(0))
        pull = asyncio.create_task(topics.pull(INTAKE.name, 1, timedelta(hours=1)))
        await topics.publish(RENDER_RESULTS, b"of no use here")  # the pull has looked once when this is done

        await other.reject(INTAKE.name, [taken.handle])
        async with asyncio.timeout(60):
            (delivery,) = await pull

        assert (delivery.data, delivery.number) == (b"twice", 2)
        await topics.close()
        await other.close()

    async def test_a_file_that_is_no_database_is_unavailable_by_name(self, tmp_path: Path, clock: FakeClock) -> None:
        (tmp_path / "corrupt.db").write_bytes(b"this is no database" * 100)
        topics = LocalTopics(tmp_path / "corrupt.db", clock)

        with pytest.raises(TopicsUnavailable, match=r"corrupt\.db: file is not a database"):
            await topics.publish(RENDER_REQUESTS, b"x")
        await topics.close()


@pytest.mark.emulator
class TestPubsub:
    async def test_a_closed_port_is_unavailable_within_the_patience(
        self, project: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from shared.adapters.google_cloud.pubsub_topics import PubsubTopics

        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
        topics = PubsubTopics(project, patience=timedelta(seconds=0.3))

        with pytest.raises(TopicsUnavailable, match="publish on render-requests"):
            await topics.publish(RENDER_REQUESTS, b"x")
        with pytest.raises(TopicsUnavailable, match="pull from requests-intake"):
            await topics.pull(INTAKE.name, 1, timedelta(seconds=5))
        await topics.close()
        with pytest.raises(TopicsUnavailable, match="closed"):
            await topics.publish(RENDER_REQUESTS, b"x")

    async def test_a_pull_that_outlasts_its_caller_serves_the_next(
        self, project: str, pubsub_host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from shared.adapters.google_cloud.pubsub_topics import PubsubTopics

        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_host)
        topics = PubsubTopics(project)
        await topics.ensure([INTAKE])
        assert await topics.pull(INTAKE.name, 10, timedelta(seconds=0.1)) == []

        await topics.publish(RENDER_REQUESTS, b"x")
        await asyncio.sleep(0.5)

        (delivery,) = await topics.pull(INTAKE.name, 10, timedelta(seconds=10))
        assert delivery.number == 1
        await topics.close()

    async def test_a_pull_that_outlasts_its_caller_serves_one_with_another_limit(
        self, project: str, pubsub_host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from shared.adapters.google_cloud.pubsub_topics import PubsubTopics

        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_host)
        topics = PubsubTopics(project)
        await topics.ensure([INTAKE])
        assert await topics.pull(INTAKE.name, 10, timedelta(seconds=0.1)) == []

        for data in (b"a", b"b", b"c"):
            await topics.publish(RENDER_REQUESTS, data)
        await asyncio.sleep(0.5)

        bodies = [
            delivery.data for _ in range(3) for delivery in await topics.pull(INTAKE.name, 1, timedelta(seconds=10))
        ]
        assert sorted(bodies) == [b"a", b"b", b"c"]
        await topics.close()


async def test_messages_of_a_clock_that_was_set_back_are_due_as_soon_as_before(tmp_path: Path) -> None:
    clock = FakeClock()
    topics = LocalTopics(tmp_path / "state.db", clock, "test")
    await topics.ensure([INTAKE])
    await topics.publish(INTAKE.topic, b"waiting")
    clock.set_back(timedelta(hours=1))
    assert [delivery.data for delivery in await topics.pull(INTAKE.name, 10, timedelta(0))] == [b"waiting"]
    clock.set_back(timedelta(hours=1))
    clock.advance(INTAKE.ack_deadline + timedelta(seconds=1))
    assert [delivery.data for delivery in await topics.pull(INTAKE.name, 10, timedelta(0))] == [b"waiting"]
    await topics.close()


async def test_a_home_that_starts_after_the_clock_was_set_back_hands_out_what_was_published_before(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    first = LocalTopics(tmp_path / "state.db", clock, "test")
    await first.ensure([INTAKE])
    await first.publish(INTAKE.topic, b"waiting")
    await first.close()
    clock.set_back(timedelta(hours=1))
    second = LocalTopics(tmp_path / "state.db", clock, "test")
    await second.redeliver_all()
    assert [delivery.data for delivery in await second.pull(INTAKE.name, 10, timedelta(0))] == [b"waiting"]
    await second.close()
