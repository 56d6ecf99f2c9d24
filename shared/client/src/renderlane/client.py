"""Publish requests and wait for their results on a subscription of the app's own.

Every subscription of `render-results` gets every result that its filter lets through, once. So:

- One subscription for each instance of an app is the plain way: `create_subscription` makes one, with a filter for the
  instance's own ids (`having_prefix`) or tenant (`of_tenant`). With a filter for exactly this instance, or with none,
  say `others="drop"`: what nobody here waits for is acknowledged, since every other instance has its own copy.
- Several instances may share one subscription. Pub/Sub then hands each result to any one of them. With
  `others="leave"`, the default, a result that nobody here asked for is not acknowledged: it comes again after some
  seconds, until it meets the instance that waits. Nothing is swallowed; the more instances share, the later they come.
  What nobody waits for any more circles until the subscription forgets it: a day, where the client made it.
- A request that was published here is ours: its result is kept until somebody waits for it, at most for an hour at a
  time. To wait for a request that was published elsewhere, begin to wait before it ends, or publish the same again,
  which has its result announced once more, free.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self

from google.api_core.exceptions import AlreadyExists
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message

from renderlane.errors import Closed, ListeningFailed, NoSubscription, NotInTime
from renderlane.inbox import MOST_HELD, Inbox, key_of
from renderlane.request import Request
from renderlane.result import NotAResult, Result
from renderlane.rules import encoded

REQUESTS, RESULTS = "render-requests", "render-results"
COME_AGAIN = 5
"""Seconds after which a result that is not ours may meet somebody else."""
FLOW = pubsub_v1.types.FlowControl(max_messages=4 * MOST_HELD)
"""What is held must not keep what somebody waits for from coming."""


def having_prefix(prefix: str) -> str:
    """The filter of a subscription for requests whose ids begin so."""
    return f'hasPrefix(attributes.request_id, "{prefix}")'


def of_tenant(tenant: str) -> str:
    """The filter of a subscription for one tenant's results."""
    return f'attributes.tenant = "{tenant}"'


class Client:
    """Safe to use from several threads. Nothing is created, and nothing is read, before it is asked for."""

    def __init__(
        self,
        project: str,
        subscription: str | None = None,
        *,
        others: Literal["leave", "drop"] = "leave",
        requests: str = REQUESTS,
        results: str = RESULTS,
    ) -> None:
        """`subscription` is the short name of one on `results`; without it the client only publishes."""
        self._project = project
        self._subscription = subscription
        self._requests, self._results = (f"projects/{project}/topics/{name}" for name in (requests, results))
        self._inbox = Inbox(drops_others=others == "drop")
        self._publisher = pubsub_v1.PublisherClient()
        self._subscriber: pubsub_v1.SubscriberClient | None = None
        self._listening: Any = None
        self._closed = False
        self._lock = threading.Lock()

    def publish(self, request: Request, *, traceparent: str | None = None) -> Future[str]:
        """Publish a request; the future has the message id when it has left.

        Raises InvalidRequest for one that would be rejected. `traceparent` (W3C) has the worker go on in your trace.
        """
        data = request.to_bytes()
        key = key_of(request.tenant, request.request_id)
        if self._subscription is not None:
            self._inbox.publishing(key)
        return self._send(data, key, {} if traceparent is None else {"traceparent": traceparent})

    def cancel(self, request_id: str, *, tenant: str | None = None) -> Future[str]:
        """End a tenant's request that has not begun, unpaid; one that has begun ends as it ends. `tenant` None:
        `default`. Raises InvalidRequest.
        """
        owner = {} if tenant is None else {"tenant": tenant}
        return self._send(encoded({"cancel": request_id, **owner}), None, {})

    def render(self, request: Request, timeout: float | None = None, *, traceparent: str | None = None) -> Result:
        """Publish, and wait for the result: also one that failed or was refused, see `Result.status`.

        Raises what `publish` and `wait` raise. Calling it again with the same request is safe and pays nothing twice.
        """
        self._subscription_path()
        ends_at = None if timeout is None else time.monotonic() + timeout
        self.publish(request, traceparent=traceparent).result(timeout)
        left = None if ends_at is None else max(0.0, ends_at - time.monotonic())
        return self.wait(request.request_id, left, tenant=request.tenant)

    def wait(self, request_id: str, timeout: float | None = None, *, tenant: str | None = None) -> Result:
        """A tenant's result, when it is there; `tenant` None: `default`.

        Raises NotInTime after `timeout` seconds, NoSubscription, ListeningFailed.
        """
        return self._result(key_of(tenant, request_id), self.follow(request_id, tenant=tenant), timeout)

    def follow(self, request_id: str, *, tenant: str | None = None) -> Future[Result]:
        """The result to come: for many waits at once, or for asyncio by `asyncio.wrap_future`.

        Another tenant's result under the same id is not it. It is acknowledged when the future has it. Raises
        NoSubscription.
        """
        self._listen()
        return self._inbox.wait(key_of(tenant, request_id))

    def create_subscription(self, filter: str | None = None, *, unused_for: timedelta = timedelta(days=1)) -> None:
        """Make the client's subscription where there is none. It goes by itself when nobody has read it for so long.

        `filter` cannot be changed later. Raises NoSubscription, or what google-cloud-pubsub raises.
        """
        path = self._subscription_path()
        settings = {
            "name": path,
            "topic": self._results,
            "ack_deadline_seconds": 30,
            "expiration_policy": {"ttl": unused_for},
            "message_retention_duration": min(unused_for, timedelta(days=7)),
            **({"filter": filter} if filter is not None else {}),
        }
        try:
            self._subscribing().create_subscription(request=settings)
        except AlreadyExists:
            pass

    def close(self) -> None:
        """Let go. Results that nobody took come again elsewhere; waiting calls raise Closed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            listening, subscriber = self._listening, self._subscriber
        self._inbox.close()
        if listening is not None:
            listening.cancel()
            try:
                listening.result(timeout=30)
            except Exception:  # noqa: BLE001  it has failed before, and waiting calls got the error
                pass
        self._publisher.stop()
        if subscriber is not None:
            subscriber.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, data: bytes, expected: str | None, attributes: Mapping[str, str]) -> Future[str]:
        if self._closed:
            raise Closed("the client was closed")
        publish: Callable[..., Future[str]] = self._publisher.publish
        try:
            future = publish(self._requests, data, **attributes)
        except BaseException:
            if expected is not None:
                self._inbox.published(expected, None)
            raise
        if expected is not None and self._subscription is not None:
            future.add_done_callback(lambda done: self._inbox.published(expected, _message_id(done)))
        return future

    def _result(self, key: str, future: Future[Result], timeout: float | None) -> Result:
        try:
            return future.result(timeout)
        except FutureTimeout as error:
            if not self._inbox.give_up(key, future):
                return future.result()
            raise NotInTime(f"{key}: no result within {timeout:g} s; it continues") from error
        except BaseException:
            self._inbox.give_up(key, future)
            raise

    def _listen(self) -> None:
        """Begin to read the subscription, once; again after it failed."""
        path = self._subscription_path()
        with self._lock:
            if self._closed:
                raise Closed("the client was closed")
            if self._listening is None or self._listening.done():
                self._listening = self._subscribing().subscribe(path, self._arrived, flow_control=FLOW)
                self._listening.add_done_callback(self._ended)

    def _arrived(self, message: Message) -> None:
        try:
            result = Result.parse(message.data)
        except NotAResult:
            message.ack()  # unreadable: no call can wait for it
            return
        self._inbox.offer(result, _Delivery(message))

    def _ended(self, listening: Any) -> None:
        error = None if listening.cancelled() else listening.exception()
        if error is not None and not self._closed:
            failed = ListeningFailed(f"{self._subscription_path()} cannot be read: {error}")
            failed.__cause__ = error
            self._inbox.fail(failed)

    def _subscription_path(self) -> str:
        if self._subscription is None:
            raise NoSubscription('name one: Client(project, subscription="...")')
        return f"projects/{self._project}/subscriptions/{self._subscription}"

    def _subscribing(self) -> pubsub_v1.SubscriberClient:
        if self._subscriber is None:
            self._subscriber = pubsub_v1.SubscriberClient()
        return self._subscriber


class _Delivery:
    """One delivery by Pub/Sub, as the inbox sees it."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def acknowledge(self) -> None:
        self._message.ack()

    def leave(self) -> None:
        """A nack would bring it back at once, and round and round."""
        self._message.modify_ack_deadline(COME_AGAIN)
        self._message.drop()


def _message_id(done: Future[str]) -> str | None:
    return None if done.cancelled() or done.exception() is not None else done.result()
