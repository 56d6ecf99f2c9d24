"""The provider's public keys: fetched from one address only, kept for an hour, and never fetched at a sender's will.

PyJWT's own client is not used: it fetches by urllib in the thread of the call, and without a bound on what comes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.ports.signatures import SignaturesUnavailable

if TYPE_CHECKING:
    from jwt import PyJWK

GOOD_FOR = timedelta(hours=1)
STALE_FOR = timedelta(hours=24)
"""How long keys are used if no newer ones can be fetched."""
ANEW_AFTER = timedelta(seconds=60)
"""The least time between two fetches, for any key that a sender names."""
FETCH_WITHIN = 5.0
MOST_BYTES = 65_536
MOST_KEYS = 20


class KeySet:
    """`fetch` answers with the bytes of the key set, or raises SignaturesUnavailable."""

    def __init__(self, fetch: Callable[[], Any]) -> None:
        self._fetch = fetch
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._lock = asyncio.Lock()

    async def key(self, kid: str, now: datetime) -> PyJWK | None:
        """The key with that id; None if the provider has none. Raises SignaturesUnavailable."""
        if self._age(now) < GOOD_FOR and kid in self._keys:
            return self._keys[kid]
        async with self._lock:  # a crowd of senders fetches once
            if self._age(now) >= GOOD_FOR or kid not in self._keys:
                await self._refresh(now)
        if not self._keys or self._age(now) > STALE_FOR:
            raise SignaturesUnavailable("the provider's keys could not be fetched")
        return self._keys.get(kid)

    def _age(self, now: datetime) -> timedelta:
        return now - self._fetched_at if self._fetched_at is not None else timedelta.max

    async def _refresh(self, now: datetime) -> None:
        if self._tried_at is not None and timedelta(0) <= now - self._tried_at < ANEW_AFTER:
            return
        self._tried_at = now
        try:
            keys = read_keys(await self._fetch())
        except SignaturesUnavailable:
            return
        if keys:
            self._keys, self._fetched_at = keys, now


def read_keys(body: bytes) -> dict[str, PyJWK]:
    """The RSA keys of a key set that can check RS256; others are ignored."""
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    try:
        rows = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SignaturesUnavailable("the key set cannot be read") from error
    keys = {}
    for row in rows[:MOST_KEYS] if isinstance(rows, list) else []:
        kid = row.get("kid") if isinstance(row, dict) else None
        if not isinstance(kid, str) or row.get("kty") != "RSA" or row.get("use", "sig") != "sig":
            continue
        try:
            keys[kid] = PyJWK.from_dict(row, algorithm="RS256")
        except (PyJWTError, ValueError, TypeError, KeyError):
            continue
    return keys


def over_http(url: str) -> Callable[[], Any]:
    """Fetches the key set of that address: no redirects, a few seconds, a few kilobytes."""

    async def fetch() -> bytes:
        import httpx2

        from shared.adapters.process.proxies import trusted

        body = bytearray()
        try:
            async with (
                httpx2.AsyncClient(timeout=FETCH_WITHIN, follow_redirects=False, trust_env=trusted(url)) as client,
                client.stream("GET", url) as answer,
            ):
                if answer.status_code != 200:
                    raise SignaturesUnavailable(f"the key set answered HTTP {answer.status_code}")
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MOST_BYTES:
                        raise SignaturesUnavailable("the key set is without end")
        except (httpx2.HTTPError, httpx2.StreamError, ImportError, ValueError) as error:
            raise SignaturesUnavailable(f"the key set could not be fetched ({type(error).__name__})") from error
        return bytes(body)

    return fetch
