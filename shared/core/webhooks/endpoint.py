"""One address to which a tenant's results are sent: `webhook_endpoints/{id}`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from shared.core.lifecycle.request_view import ENDED
from shared.core.values.codec import Stored

MOST_ENDPOINTS = 10
"""Of one tenant."""
OLD_SECRET_VALID_FOR = timedelta(hours=24)
"""After a rotation, both secrets sign: the receiver has a day to change its configuration."""
FAILURES_UNTIL_PAUSED = 5
"""Failures in a row."""
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=30)


class SigningSecret(Struct, frozen=True):
    secret: str
    expires_at: datetime | None = None
    """None = the current secret."""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"SigningSecret(expires_at={self.expires_at})"


class Endpoint(Stored, frozen=True):
    tenant: str
    url: str
    secrets: tuple[SigningSecret, ...]
    """The current secret first."""
    created_at: datetime
    statuses: tuple[str, ...] = ()
    """The statuses that are sent, of ENDED; empty = all."""
    failures: int = 0
    """Failed attempts since the last success."""
    paused_until: datetime | None = None
    """No attempt is made before then, unless it is a delivery's last one."""
    disabled_at: datetime | None = None
    disabled_reason: str | None = None

    def __repr__(self) -> str:
        """Without secrets, and without the address: its query may hold a token."""
        return f"Endpoint(tenant={self.tenant})"

    def wants(self, status: str) -> bool:
        return self.disabled_at is None and status in (self.statuses or ENDED)

    def signing_secrets(self, now: datetime) -> list[str]:
        return [one.secret for one in self.secrets if one.expires_at is None or one.expires_at > now]

    def rotated(self, secret: str, now: datetime) -> Self:
        """With a new secret; the previous one signs for another day, older ones no longer."""
        old = SigningSecret(self.secrets[0].secret, now + OLD_SECRET_VALID_FOR)
        return replace(self, secrets=(SigningSecret(secret), old))

    def enabled(self) -> Self:
        return replace(self, disabled_at=None, disabled_reason=None, failures=0, paused_until=None)

    def disabled(self, reason: str, now: datetime) -> Self:
        return replace(self, disabled_at=now, disabled_reason=reason)

    def succeeded(self) -> Self:
        return replace(self, failures=0, paused_until=None)

    def failed(self, now: datetime) -> Self:
        """One more failure; from the fifth in a row it is paused, for twice as long each time."""
        failures = self.failures + 1
        if failures < FAILURES_UNTIL_PAUSED:
            return replace(self, failures=failures)
        doublings = min(failures - FAILURES_UNTIL_PAUSED, 10)
        pause = min(FIRST_PAUSE * 2**doublings, LONGEST_PAUSE)
        return replace(self, failures=failures, paused_until=now + pause)

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and self.paused_until > now


def path(endpoint_id: str) -> str:
    return f"webhook_endpoints/{endpoint_id}"
