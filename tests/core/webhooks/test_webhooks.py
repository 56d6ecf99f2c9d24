"""Signatures as the specification's own library makes them, and a schedule that lasts a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from shared.core.webhooks.delivery import GIVE_UP_AFTER, LEASE, PAUSES, Attempted, WebhookDelivery, message_id
from shared.core.webhooks.endpoint import FAILURES_UNTIL_PAUSED, LONGEST_PAUSE, Endpoint, SigningSecret
from shared.core.webhooks.signature import headers, secret_of
from tests.builders import NOW

SECRET = secret_of(bytes(range(32)))


def a_delivery() -> WebhookDelivery:
    return WebhookDelivery.new("web", "we_1", "r-1", "msg_1", "succeeded", NOW)


def an_endpoint() -> Endpoint:
    return Endpoint("web", "https://shop.example/hook?token=hush", (SigningSecret(SECRET),), NOW)


@given(body=st.text(max_size=200), random_bytes=st.binary(min_size=24, max_size=64))
def test_the_specifications_own_library_makes_the_same_signature(body: str, random_bytes: bytes) -> None:
    secret = secret_of(random_bytes)
    sent = headers([secret], "msg_1", NOW, body.encode())
    assert sent["webhook-signature"] == Webhook(secret).sign("msg_1", NOW, body)


def test_the_specifications_own_library_verifies_a_delivery_of_today() -> None:
    now = datetime.now(UTC)  # it compares the timestamp with its own clock
    sent = headers([SECRET], "msg_1", now, b'{"type": "render.succeeded"}')
    assert Webhook(SECRET).verify(b'{"type": "render.succeeded"}', dict(sent)) == {"type": "render.succeeded"}


def test_the_example_of_the_specification_has_its_signature() -> None:
    """The test vector of https://github.com/standard-webhooks/standard-webhooks."""
    at = datetime.fromtimestamp(1_614_265_330, UTC)
    sent = headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}'
    )
    assert sent["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(jitter=st.floats(0, 1, exclude_max=True))
def test_a_delivery_that_always_fails_is_attempted_for_a_day_with_growing_pauses(jitter: float) -> None:
    delivery, now, starts = a_delivery(), NOW, []
    while delivery.due_at is not None:
        now = delivery.due_at
        starts.append(now)
        delivery = delivery.claimed(now).failed(Attempted(now, 500, "HTTP 500"), None, jitter)
    assert delivery.state == "dead"
    assert starts[-1] - starts[0] == GIVE_UP_AFTER
    assert len(PAUSES) <= len(starts) <= len(PAUSES) + 3
    pauses = [later - earlier for earlier, later in pairwise(starts)][:-1]
    assert pauses == sorted(pauses)


def test_retry_after_is_respected_up_to_an_hour_and_never_shortens_a_pause() -> None:
    attempted = Attempted(NOW, 429, "HTTP 429")
    claimed = a_delivery().claimed(NOW)
    assert claimed.failed(attempted, timedelta(minutes=2), 0.0).due_at == NOW + timedelta(minutes=2)
    assert claimed.failed(attempted, timedelta(days=2), 0.0).due_at == NOW + timedelta(hours=1)
    assert claimed.failed(attempted, timedelta(seconds=1), 0.0).due_at == NOW + PAUSES[0]


def test_a_claimed_delivery_is_due_again_when_its_process_died() -> None:
    claimed = a_delivery().claimed(NOW)
    assert not claimed.is_due(NOW + LEASE - timedelta(seconds=1))
    assert claimed.is_due(NOW + LEASE)


def test_an_endpoint_is_paused_from_the_fifth_failure_and_never_for_longer_than_half_an_hour() -> None:
    endpoint = an_endpoint()
    for _ in range(FAILURES_UNTIL_PAUSED - 1):
        endpoint = endpoint.failed(NOW)
        assert not endpoint.is_paused(NOW)
    pauses = []
    for _ in range(20):
        endpoint = endpoint.failed(NOW)
        assert endpoint.paused_until is not None
        pauses.append(endpoint.paused_until - NOW)
    assert pauses[0] == timedelta(minutes=1)
    assert pauses[-1] == LONGEST_PAUSE
    assert not endpoint.succeeded().is_paused(NOW)


def test_only_two_secrets_sign_however_often_they_are_rotated() -> None:
    endpoint = an_endpoint().rotated(secret_of(b"b" * 32), NOW).rotated(secret_of(b"c" * 32), NOW)
    assert endpoint.signing_secrets(NOW) == [secret_of(b"c" * 32), secret_of(b"b" * 32)]
    assert endpoint.signing_secrets(NOW + timedelta(hours=24)) == [secret_of(b"c" * 32)]


def test_an_endpoint_shows_neither_secret_nor_address() -> None:
    assert repr(an_endpoint()) == "Endpoint(tenant=web)"
    assert "whsec" not in repr(SigningSecret(SECRET))


def test_the_id_is_one_for_one_end_of_one_request_of_one_tenant() -> None:
    first = message_id("web", "r-1", "2026-11-29T12:00:00Z")
    assert first == message_id("web", "r-1", "2026-11-29T12:00:00Z")
    others = {
        message_id("print", "r-1", "2026-11-29T12:00:00Z"), message_id("web", "r-2", "2026-11-29T12:00:00Z"),
        message_id("web", "r-1", "2026-12-31T12:00:00Z"),
    }  # fmt: skip
    assert first not in others
    assert len(others) == 3
