"""Who waits for which result: results and waits meet here, whichever comes first. Knows nothing of Pub/Sub.

Each request is named by its key: ids are per tenant, so a result of another tenant under the same id is not ours.

A result is acknowledged when a waiter has received it, and not before: until then its delivery is held. A result that
no call here waits for is not ours to acknowledge, unless no other process reads the subscription.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from renderlane.errors import Closed
from renderlane.result import REJECTED, Result

MOST_HELD = 1_000
"""Results of requests published here that nobody has waited for yet; more of them are left to come again."""
MOST_UNANSWERED = 100_000
"""Requests published here whose results are still to come."""
MOST_REMEMBERED = 10_000
"""Results that somebody here has had."""


DEFAULT_TENANT = "default"


def key_of(tenant: str | None, request_id: str) -> str:
    """Of a request: no tenant and no id contains a `~`."""
    return request_id if tenant in (None, "", DEFAULT_TENANT) else f"{tenant}~{request_id}"


class ResultDelivery(Protocol):
    """One delivery of a result."""

    def acknowledge(self) -> None: ...

    def leave(self) -> None:
        """Let it come again in a while, here or elsewhere."""
        ...


@dataclass(slots=True)
class _Sent:
    """What is known of the messages that were published here under one id."""

    unconfirmed: int = 0
    """Publishes that have not come back with their message id."""
    message_ids: set[str] = field(default_factory=set)
    rejections: list[tuple[Result, ResultDelivery]] = field(default_factory=list)
    """Perhaps ours: a message id is missing."""


class Inbox:
    """Safe to use from several threads. `drops_others`: the subscription is read by nobody else."""

    def __init__(self, *, drops_others: bool) -> None:
        self._drops_others = drops_others
        self._lock = threading.RLock()
        self._sent: OrderedDict[str, _Sent] = OrderedDict()
        self._waiting: defaultdict[str, list[Future[Result]]] = defaultdict(list)
        self._unclaimed: OrderedDict[str, tuple[Result, ResultDelivery]] = OrderedDict()
        self._handed: OrderedDict[str, Result] = OrderedDict()
        """Final results that somebody has: their further deliveries are nobody's."""

    def publishing(self, key: str) -> None:
        """A message of this request is about to leave: its result is kept until somebody waits for it."""
        with self._lock:
            self._handed.pop(key, None)
            sent = self._sent.setdefault(key, _Sent())
            sent.unconfirmed += 1
            _shorten(self._sent, MOST_UNANSWERED)

    def published(self, key: str, message_id: str | None) -> None:
        """Its message id; None where it did not leave."""
        with self._lock:
            sent = self._sent.get(key)
            if sent is None:
                return
            sent.unconfirmed -= 1
            if message_id is not None:
                sent.message_ids.add(message_id)
            early, sent.rejections = sent.rejections, []
        for result, delivery in early:
            self.offer(result, delivery)

    def wait(self, key: str) -> Future[Result]:
        """Done when the result is here; it may be already."""
        future: Future[Result] = Future()
        with self._lock:
            if key in self._handed:
                future.set_result(self._handed[key])
                return future
            result, delivery = self._unclaimed.pop(key, (None, None))
            if result is None or delivery is None:
                self._waiting[key].append(future)
                return future
            self._remember(key, result)
        future.set_result(result)
        delivery.acknowledge()
        return future

    def give_up(self, key: str, future: Future[Result]) -> bool:
        """Wait no longer. False where the result has come meanwhile: it is in the future."""
        with self._lock:
            if not future.cancel():
                return False
            still = [item for item in self._waiting.pop(key, []) if item is not future]
            if still:
                self._waiting[key] = still
            return True

    def offer(self, result: Result, delivery: ResultDelivery) -> None:
        """A result has been delivered."""
        with self._lock:
            key = self._key(result)
            if result.status == REJECTED and not self._is_ours(key, result):
                sent = self._sent.get(key)
                if sent is not None and sent.unconfirmed > 0:  # perhaps ours: a message id is missing
                    sent.rejections.append((result, delivery))
                    return
                self._not_ours(delivery)
                return
            waiting = self._waiting.pop(key, [])
            taking = [future for future in waiting if future.set_running_or_notify_cancel()]
            if not taking:
                self._keep(key, result, delivery)
                return
            self._remember(key, result)
        for future in taking:
            future.set_result(result)
        delivery.acknowledge()

    def fail(self, error: Exception) -> None:
        """Nothing will come: everybody who waits is told."""
        with self._lock:
            waiting = [future for futures in self._waiting.values() for future in futures]
            self._waiting.clear()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def close(self) -> None:
        """Leave what nobody took, and tell everybody who waits."""
        with self._lock:
            left = [item for _, item in self._unclaimed.values()]
            left += [item for sent in self._sent.values() for _, item in sent.rejections]
            self._unclaimed.clear()
            self._sent.clear()
        for item in left:
            item.leave()
        self.fail(Closed("the client was closed"))

    def _key(self, result: Result) -> str:
        """A rejection that names no tenant belongs to the message that it answers."""
        key = key_of(result.tenant, result.request_id)
        if result.tenant or result.status != REJECTED or self._is_ours(key, result):
            return key
        same_id = [sent for sent in self._sent if sent.rpartition("~")[2] == result.request_id]
        return next((sent for sent in same_id if self._is_ours(sent, result)), same_id[0] if same_id else key)

    def _is_ours(self, key: str, result: Result) -> bool:
        sent = self._sent.get(key)
        return sent is not None and result.message_id in sent.message_ids

    def _keep(self, key: str, result: Result, delivery: ResultDelivery) -> None:
        """Nobody waits for it now."""
        if key in self._handed:
            delivery.acknowledge()
        elif key not in self._sent:
            self._not_ours(delivery)
        elif key in self._unclaimed or len(self._unclaimed) < MOST_HELD:
            before = self._unclaimed.pop(key, None)
            self._unclaimed[key] = (result, delivery)
            if before is not None:
                before[1].acknowledge()  # the same result, delivered before
        else:
            delivery.leave()

    def _not_ours(self, delivery: ResultDelivery) -> None:
        if self._drops_others:
            delivery.acknowledge()
        else:
            delivery.leave()

    def _remember(self, key: str, result: Result) -> None:
        if result.status == REJECTED:
            return  # never final for its id
        self._handed[key] = result
        _shorten(self._handed, MOST_REMEMBERED)
        sent = self._sent.get(key)
        if sent is not None and not sent.unconfirmed and not sent.rejections:
            del self._sent[key]


def _shorten(ordered_dict: OrderedDict[str, Any], most: int) -> None:
    """The oldest go first."""
    while len(ordered_dict) > most:
        ordered_dict.popitem(last=False)
