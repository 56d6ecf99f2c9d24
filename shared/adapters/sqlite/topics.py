"""Topics and subscriptions in the one-machine home's SQLite file: Pub/Sub's promises without Pub/Sub.

A publish writes one row for each subscription of the topic; an acknowledgement deletes it. A row is due at a moment:
at once when new (interactive requests before all others), at the ack deadline while somebody has it, after the back-off
when it was rejected. A delivery that simply lapses is due at its deadline, without back-off. Times are whole
microseconds since 1970.
A handle names the row and the delivery's number: one that came too late (the message is out again) does nothing, as
Pub/Sub's may.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from msgspec import Struct

from shared.adapters.port_limits.message_limits import check_extension, check_message
from shared.adapters.sqlite.connection import SqliteThread, Transaction
from shared.adapters.sqlite.file_format import check_format
from shared.core.messages.render_request import is_urgent
from shared.core.messages.topics import (
    DEAD_LETTER_SOURCE,
    RENDER_DEAD_LETTERS,
    RENDER_REQUESTS,
    TOPICS,
    Subscription,
)
from shared.ports.clock import Clock
from shared.ports.messaging import Delivery, TopicsUnavailable

_TABLES = (
    "CREATE TABLE IF NOT EXISTS topics (name TEXT PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS subscriptions (
        name TEXT PRIMARY KEY, topic TEXT NOT NULL, ack_deadline INTEGER NOT NULL, max_deliveries INTEGER NOT NULL,
        minimum_backoff INTEGER NOT NULL, maximum_backoff INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, due_at INTEGER NOT NULL,
        number INTEGER NOT NULL, message_id TEXT NOT NULL, published_at INTEGER NOT NULL,
        attributes TEXT NOT NULL, data BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS messages_by_due_at ON messages (subscription, due_at, id)",
)
LOOK_ANYWAY_SECONDS = 0.25
"""Between two looks at what other connections changed where none of them published: a rejection, or nothing of ours."""
SET_BACK = timedelta(seconds=1)
"""Between two looks at the clock: less is how clocks are disciplined."""
_BEFORE_ALL_OTHERS = 0
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Rules(Struct, frozen=True):
    """A row of `subscriptions`; durations in microseconds."""

    name: str
    topic: str
    ack_deadline: int
    max_deliveries: int
    minimum_backoff: int
    maximum_backoff: int

    def backoff(self, number: int) -> int:
        return min(self.maximum_backoff, self.minimum_backoff << min(number - 1, 40))

    def is_used_up(self, number: int) -> bool:
        return 0 < self.max_deliveries <= number


class LocalTopics:
    """See shared.ports.messaging.Topics and shared.ports.messaging.Subscriptions. Only topics that `ensure` made can
    be published to.
    """

    def __init__(self, path: Path | str, clock: Clock, project: str = "local") -> None:
        self._clock = clock
        self._project = project
        self._waiting: dict[asyncio.Future[None], str] = {}
        """Pulls that found nothing, with their subscriptions."""
        self._clock_began = clock.now() - timedelta(seconds=clock.monotonic())
        """When the monotonic clock began, by the wall clock as it was last read."""
        self._newest_foreign = 0
        """Row id of the newest message published by another connection, as it was last read."""
        self._looked_at = float("-inf")
        self._thread = SqliteThread(
            path, "topics", TopicsUnavailable, partial(_prepare, path), on_foreign_change=self._look
        )

    async def ensure(self, subscriptions: Sequence[Subscription]) -> None:
        """Also makes every topic of the topology, subscribed or not."""
        await self._thread.run(partial(_ensure, tuple(subscriptions)))
        self._wake()

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        message = _Message(uuid.uuid4().hex, self._now(), dict(attributes or {}), data)
        check_message(topic, data, message.attributes)
        self._wake(await self._thread.run(partial(_publish, topic, message)))
        return message.id

    async def pull(self, subscription: str, limit: int, wait: timedelta) -> list[Delivery]:
        until = self._clock.monotonic() + wait.total_seconds()
        while True:
            await self._follow_the_clock()
            with self._news(subscription) as news:  # registered before looking, so nothing slips between
                now = self._now()
                claimed = await self._thread.run(partial(_claim, subscription, limit, now, self._project))
                if claimed.buried:
                    self._wake()
                left = until - self._clock.monotonic()
                if claimed.deliveries or left <= 0:
                    return claimed.deliveries
                if claimed.next_due_at is not None:
                    left = min(left, max(0, claimed.next_due_at - now) / 1_000_000)
                await self._news_or_sleep(news, left)

    async def acknowledge(self, subscription: str, handles: Sequence[str]) -> None:
        await self._thread.run(partial(_acknowledge, subscription, tuple(handles)))

    async def reject(self, subscription: str, handles: Sequence[str]) -> None:
        await self._thread.run(partial(_reject, subscription, tuple(handles), self._now(), self._project))
        self._wake()

    async def extend(self, subscription: str, handles: Sequence[str], by: timedelta) -> None:
        """By nothing at all is a rejection, as Pub/Sub has it."""
        check_extension(by)
        if not by:
            return await self.reject(subscription, handles)
        await self._thread.run(partial(_extend, subscription, tuple(handles), self._now() + by // _MICROSECOND))
        self._wake([subscription])
        return None

    async def redeliver_all(self) -> int:
        """Give back what an earlier process held, at start, when no other process pulls. Returns the number of
        deliveries."""
        count = await self._thread.run(partial(_redeliver_all, self._now()))
        self._wake()
        return count

    async def close(self) -> None:
        await self._thread.close()

    async def _follow_the_clock(self) -> None:
        """After the clock was set back, everything is due that much sooner: nothing waits until the old time
        returns."""
        began = self._clock.now() - timedelta(seconds=self._clock.monotonic())
        fell, self._clock_began = self._clock_began - began, began
        if fell > SET_BACK:
            await self._thread.run(partial(_make_due_sooner, fell // _MICROSECOND))

    def _now(self) -> int:
        return (self._clock.now() - _EPOCH) // _MICROSECOND

    @contextmanager
    def _news(self, subscription: str) -> Iterator[asyncio.Future[None]]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = subscription
        try:
            yield future
        finally:
            self._waiting.pop(future, None)

    def _wake(self, subscriptions: Collection[str] | None = None) -> None:
        """Called in any thread: something may be due for pulls from these; None = from any."""
        for future, subscription in list(self._waiting.items()):
            if subscriptions is not None and subscription not in subscriptions:
                continue
            try:
                future.get_loop().call_soon_threadsafe(_set, future)
            except RuntimeError:
                self._waiting.pop(future, None)  # its loop has ended

    def _look(self, connection: sqlite3.Connection) -> bool:
        """Called in the thread after another connection's commit, which usually is the store's.

        Another process' message wakes every pull at once, any other change a little later.
        """
        newest, newest_own = connection.execute("SELECT (SELECT max(id) FROM messages), last_insert_rowid()").fetchone()
        is_news = (newest or 0) > max(self._newest_foreign, newest_own)
        now = time.monotonic()
        if is_news:
            self._newest_foreign = newest
        if not is_news and now - self._looked_at < LOOK_ANYWAY_SECONDS:
            return False
        self._looked_at = now
        self._wake()
        return True

    async def _news_or_sleep(self, news: asyncio.Future[None], seconds: float) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({news, sleep}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Message(Struct, frozen=True):
    id: str
    published_at: int
    attributes: dict[str, str]
    data: bytes

    def due_at(self, topic: str) -> int:
        """Urgent ones are handed out before all others: a flood of requests can wait for its intake, a person
        cannot."""
        return _BEFORE_ALL_OTHERS if topic == RENDER_REQUESTS and is_urgent(self.data) else self.published_at


class _Claimed(Struct, frozen=True):
    deliveries: list[Delivery]
    next_due_at: int | None
    """If nothing was due: when something will be."""
    buried: bool


def _prepare(path: Path | str, transaction: Transaction) -> None:
    transaction.begin()
    check_format(path, transaction)
    for sql in _TABLES:
        transaction.connection.execute(sql)


def _ensure(subscriptions: tuple[Subscription, ...], transaction: Transaction) -> None:
    transaction.begin()
    execute = transaction.connection.execute
    for topic in [*TOPICS, *(subscription.topic for subscription in subscriptions)]:
        execute("INSERT OR IGNORE INTO topics VALUES (?)", [topic])
    for subscription in subscriptions:
        durations = [subscription.ack_deadline, subscription.minimum_backoff, subscription.maximum_backoff]
        ack_deadline, minimum, maximum = (duration // _MICROSECOND for duration in durations)
        execute(
            "INSERT OR IGNORE INTO subscriptions VALUES (?, ?, ?, ?, ?, ?)",
            [subscription.name, subscription.topic, ack_deadline, subscription.max_deliveries, minimum, maximum],
        )


def _publish(topic: str, message: _Message, transaction: Transaction) -> list[str]:
    """The subscriptions that get it."""
    transaction.begin()
    execute = transaction.connection.execute
    names = [name for (name,) in execute("SELECT name FROM subscriptions WHERE topic = ?", [topic])]
    if not names and execute("SELECT 1 FROM topics WHERE name = ?", [topic]).fetchone() is None:
        raise TopicsUnavailable(f"there is no topic {topic}: start the worker once, it makes the topics")
    due_at = message.due_at(topic)
    for name in names:
        execute(
            "INSERT INTO messages (subscription, due_at, number, message_id, published_at, attributes, data) "
            "VALUES (?, ?, 0, ?, ?, ?, ?)",
            [
                name,
                due_at,
                message.id,
                message.published_at,
                json.dumps(message.attributes),
                message.data,
            ],
        )
    return names


def _claim(subscription: str, limit: int, now: int, project: str, transaction: Transaction) -> _Claimed:
    execute = transaction.connection.execute
    rules = _rules(subscription, transaction)
    first = "SELECT due_at FROM messages WHERE subscription = ? ORDER BY due_at LIMIT 1"
    row = execute(first, [subscription]).fetchone()
    if row is None or row[0] > now:  # the usual answer, given without the write lock
        return _Claimed([], row[0] if row else None, buried=False)
    transaction.begin()
    deliveries: list[Delivery] = []
    buried = False
    while len(deliveries) < limit:
        rows = execute(
            "SELECT id, number, message_id, published_at, attributes, data FROM messages "
            "WHERE subscription = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?",
            [subscription, now, limit - len(deliveries)],
        ).fetchall()
        if not rows:
            break
        for row_id, number, message_id, published_at, attributes, data in rows:
            if rules.is_used_up(number):
                _bury(rules, row_id, now, project, transaction)
                buried = True
                continue
            execute(
                "UPDATE messages SET number = ?, due_at = ? WHERE id = ?",
                [number + 1, now + rules.ack_deadline, row_id],
            )
            handle = f"{row_id}.{number + 1}"
            sent_at = _EPOCH + published_at * _MICROSECOND
            deliveries.append(Delivery(handle, message_id, data, json.loads(attributes), sent_at, number + 1))
    next_due = None if deliveries else execute(first, [subscription]).fetchone()
    return _Claimed(deliveries, next_due[0] if next_due else None, buried)


def _acknowledge(subscription: str, handles: tuple[str, ...], transaction: Transaction) -> None:
    transaction.begin()
    transaction.connection.executemany(
        "DELETE FROM messages WHERE id = ? AND number = ? AND subscription = ?",
        [(*_parse(handle), subscription) for handle in handles],
    )


def _reject(subscription: str, handles: tuple[str, ...], now: int, project: str, transaction: Transaction) -> None:
    transaction.begin()
    rules = _rules(subscription, transaction)
    for row_id, number in map(_parse, handles):
        cursor = transaction.connection.execute(
            "UPDATE messages SET due_at = ? WHERE id = ? AND number = ? AND subscription = ?",
            [now + rules.backoff(number), row_id, number, subscription],
        )
        if cursor.rowcount and rules.is_used_up(number):
            _bury(rules, row_id, now, project, transaction)


def _extend(subscription: str, handles: tuple[str, ...], due_at: int, transaction: Transaction) -> None:
    transaction.begin()
    transaction.connection.executemany(
        "UPDATE messages SET due_at = ? WHERE id = ? AND number = ? AND subscription = ?",
        [(due_at, *_parse(handle), subscription) for handle in handles],
    )


def _make_due_sooner(by: int, transaction: Transaction) -> None:
    transaction.begin()
    transaction.connection.execute("UPDATE messages SET due_at = due_at - ?", [by])


def _redeliver_all(now: int, transaction: Transaction) -> int:
    transaction.begin()
    changed = transaction.connection.execute(
        "UPDATE messages SET due_at = ? WHERE (number > 0 OR published_at > ?) AND due_at > ?", [now, now, now]
    )
    return changed.rowcount


def _bury(rules: _Rules, row_id: int, now: int, project: str, transaction: Transaction) -> None:
    """Publish on the dead letters with the attributes that Pub/Sub adds, and delete here."""
    number, attributes, published_at, data = transaction.connection.execute(
        "SELECT number, attributes, published_at, data FROM messages WHERE id = ?", [row_id]
    ).fetchone()
    sent_at = _EPOCH + published_at * _MICROSECOND
    source = {
        DEAD_LETTER_SOURCE: rules.name,
        "CloudPubSubDeadLetterSourceSubscriptionProject": project,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(number),
        "CloudPubSubDeadLetterSourceTopicPublishTime": sent_at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
    }
    letter = _Message(uuid.uuid4().hex, now, json.loads(attributes) | source, data)
    _publish(RENDER_DEAD_LETTERS, letter, transaction)
    transaction.connection.execute("DELETE FROM messages WHERE id = ?", [row_id])


def _rules(subscription: str, transaction: Transaction) -> _Rules:
    row = transaction.connection.execute("SELECT * FROM subscriptions WHERE name = ?", [subscription]).fetchone()
    if row is None:
        raise TopicsUnavailable(f"there is no subscription {subscription}")
    return _Rules(*row)


def _parse(handle: str) -> tuple[int, int]:
    row_id, _, number = handle.partition(".")
    return int(row_id), int(number)
