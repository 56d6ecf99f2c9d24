"""Who calls the console behind Identity-Aware Proxy: the e-mail address in the proxy's signed header, verified.

Header, issuer and keys by "Securing your app with signed headers" (Identity-Aware Proxy documentation).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from google.auth import exceptions, transport
from google.oauth2 import id_token
from msgspec import Struct

from shared.adapters.process.proxies import trusted
from shared.ports.identity import CallerInfo, NotIdentified

KEYS = "https://www.gstatic.com/iap/verify/public_key"
ISSUER = "https://cloud.google.com/iap"
KEYS_GOOD_FOR = 3_600.0
"""Seconds: Google rotates them slowly and publishes new ones beforehand."""
ANEW_AFTER = 60.0
"""Seconds until keys are fetched again for an assertion that fits none of them."""
FETCH_WITHIN = 10.0
SKEW_SECONDS = 30
_UNSOUND = (exceptions.GoogleAuthError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
"""What google-auth raises for an assertion that is none: it reads header and claims before it knows their types."""
FIELD = "X-Goog-IAP-JWT-Assertion"
REMEDY = "Open the console through Identity-Aware Proxy; RENDERLANE_CONSOLE_AUDIENCE must be the audience it shows"


class IapIdentities:
    """Trusts the assertion for one audience and nothing else about a call."""

    def __init__(self, audience: str, keys_url: str = KEYS) -> None:
        self._audience = audience
        self._keys_url = keys_url
        self._keys = _Keys()

    async def actor(self, caller: CallerInfo) -> str:
        if not caller.assertion:
            raise NotIdentified(FIELD, f"no {FIELD}", "one for this service", REMEDY)
        return await asyncio.to_thread(self._verify, caller.assertion)

    def _verify(self, assertion: str) -> str:
        try:
            claims = dict(self._claims(assertion))
        except exceptions.TransportError as error:
            given = f"an assertion, and the keys of Identity-Aware Proxy could not be fetched: {error}"
            raise NotIdentified(FIELD, given, "one for this service", "Try again.") from error
        except _UNSOUND as error:
            raise NotIdentified(FIELD, "an assertion that does not hold", "one for this service", REMEDY) from error
        email = claims.get("email")
        if not isinstance(email, str) or not email.isprintable() or not email or claims.get("iss") != ISSUER:
            raise NotIdentified(FIELD, "an assertion without issuer or e-mail address", "both", REMEDY)
        return email

    def _claims(self, assertion: str) -> Mapping[str, Any]:
        """With the cached keys; if they do not fit, once more with fresh ones."""
        try:
            return self._decoded(assertion)
        except _UNSOUND:
            if not self._keys.forget():
                raise
            return self._decoded(assertion)

    def _decoded(self, assertion: str) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = id_token.verify_token(
            assertion, self._keys, self._audience, self._keys_url, clock_skew_in_seconds=SKEW_SECONDS
        )
        return claims


class _Fetched(Struct, frozen=True):
    status: int
    data: bytes
    headers: Mapping[str, str]


class _Keys(transport.Request):
    """google-auth wants the keys for every assertion: they are fetched once an hour."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fetched: _Fetched | None = None
        self._fetched_at = float("-inf")

    def __call__(
        self, url: str, method: str = "GET", body: Any = None, headers: Any = None, timeout: Any = None, **_: Any
    ) -> _Fetched:
        with self._lock:
            if self._fetched is None or time.monotonic() - self._fetched_at > KEYS_GOOD_FOR:
                try:
                    answer = httpx2.request(method, url, timeout=FETCH_WITHIN, trust_env=trusted(url))
                except (httpx2.HTTPError, ImportError, ValueError) as error:  # a proxy that cannot be used, too
                    raise exceptions.TransportError(str(error)) from error  # type: ignore[no-untyped-call]
                fetched = _Fetched(answer.status_code, answer.content, dict(answer.headers))
                if answer.status_code != 200:
                    return fetched
                self._fetched, self._fetched_at = fetched, time.monotonic()
            return self._fetched

    def forget(self) -> bool:
        """Have them fetched again, if they are old enough for that."""
        with self._lock:
            if time.monotonic() - self._fetched_at < ANEW_AFTER:
                return False
            self._fetched = None
            return True
