"""Webhooks: who is registered, and how events are sent: signed, at least once, again with back-off until taken."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import httpx2
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from scripts.simulator.formats import webhooks as forms
from scripts.simulator.provider import webhook_keys
from scripts.simulator.provider.accepted_request import Headline, WebhookConfig
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.webhook_keys import Secret, SigningKey

if TYPE_CHECKING:
    from scripts.simulator.engine.simulation import Simulation

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int | None]]
"""Address, body, headers: the HTTP status; None where nothing was answered."""
State = Literal["enabled", "disabled", "disabled_due_to_failed_deliveries"]

ANSWER_WITHIN = 10.0
"""Seconds; a listener is to answer "within a few seconds"."""
GIVE_UP_AFTER = timedelta(hours=24)
LONGEST_PAUSE = timedelta(hours=1)
_RECORDED = 2_000
"""Deliveries of which `/control/webhooks` tells; the oldest go first."""
_STALE = timedelta(minutes=10)


class Registered(Struct):
    """A static webhook of the project."""

    id: str
    name: str
    uri: str
    subscribed: tuple[str, ...]
    secrets: list[Secret]
    """The newest last."""
    created_at: datetime
    updated_at: datetime
    state: State = "enabled"

    def valid_secrets(self, now: datetime) -> list[Secret]:
        return [secret for secret in self.secrets if secret.expires_at is None or secret.expires_at > now]

    def to_json(self, now: datetime) -> dict[str, Any]:
        pairs = [(secret.text, secret.expires_at) for secret in self.valid_secrets(now)]
        times = (self.created_at, self.updated_at)
        return forms.resource(self.id, self.name, self.uri, self.subscribed, self.state, times, pairs)


class WebhookCall(Struct, frozen=True):
    """One POST to a listener, as `/control/webhooks` tells of it."""

    message_id: str
    event: str
    about: str
    """The id of the interaction or batch."""
    uri: str
    kind: Literal["dynamic", "static"]
    sent_at: datetime
    status: int | None
    """HTTP; None where nothing was answered."""
    genuine: bool = True
    """False: forged, or with a timestamp of long ago."""


class _Parcel(Struct, frozen=True):
    """One event for one listener."""

    message_id: str
    event: str
    about: str
    payload: dict[str, Any]
    uri: str
    registered: Registered | None = None
    """None: dynamic."""
    body: bytes = b""


class SimulatedWebhooks:
    """The webhooks of one simulation. `post` sends one request; a test may put its own in the place of HTTP."""

    def __init__(self, simulation: Simulation, post: Post | None = None) -> None:
        self._simulation = simulation
        self._client: httpx2.AsyncClient | None = None
        self._forger = SigningKey()
        self.post: Post = post or self._over_http
        self.key = SigningKey()
        self.by_id: dict[str, Registered] = {}
        self.deliveries: deque[WebhookCall] = deque(maxlen=_RECORDED)
        self._numbers = itertools.count(1)
        self._sending: dict[asyncio.Task[None], str] = {}
        """What each task tells of."""

    def register(self, name: str, uri: str, subscribed: tuple[str, ...]) -> tuple[Registered, Secret]:
        now = self._simulation.now()
        secret = Secret.new()
        webhook_id = f"webhook-{self._identity()}"
        self.by_id[webhook_id] = Registered(webhook_id, name, uri, subscribed, [secret], now, now)
        return self.by_id[webhook_id], secret

    def rotate(self, webhook: Registered, *, at_once: bool) -> Secret:
        """Until they expire the earlier secrets sign too."""
        now = self._simulation.now()
        ends_at = now if at_once else now + webhook_keys.GRACE
        webhook.secrets = [replace(secret, expires_at=ends_at) for secret in webhook.valid_secrets(now)]
        webhook.secrets.append(Secret.new())
        webhook.updated_at = now
        return webhook.secrets[-1]

    def ping(self, webhook: Registered) -> None:
        self._start([self._parcel(forms.PING, webhook.id, {}, webhook.uri, webhook)], None)

    def emit(self, event: str, about: str, data: Mapping[str, Any], config: WebhookConfig, headline: Headline) -> None:
        """Send an event to the request's own addresses, or else to every webhook that is registered for it."""
        simulation = self._simulation
        more = config.user_metadata
        parcels = [self._parcel(event, about, data, uri, None, more) for uri in config.uris] or [
            self._parcel(event, about, data, webhook.uri, webhook, more)
            for webhook in self.by_id.values()
            if event in webhook.subscribed and webhook.state == "enabled"
        ]
        if parcels:
            verdict = simulation.faults.judge("webhook", headline, now=simulation.monotonic())
            self._start(parcels, verdict.fault)

    @property
    def under_way(self) -> frozenset[str]:
        """Interactions and batches of which a webhook was not taken yet, nor given up."""
        return frozenset(self._sending.values())

    async def settled(self) -> None:
        """Until every event that was emitted so far has been taken, or given up."""
        while self._sending:
            await asyncio.wait(self._sending)

    def stop(self) -> None:
        """Sends nothing more, and forgets who is registered."""
        for task in self._sending:
            task.cancel()
        self._sending.clear()
        self.by_id.clear()
        self.deliveries.clear()

    async def close(self) -> None:
        self.stop()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _start(self, parcels: Sequence[_Parcel], fault: Fault | None) -> None:
        for parcel in parcels:
            task = asyncio.get_running_loop().create_task(self._deliver(parcel, fault))
            self._sending[task] = parcel.about
            task.add_done_callback(lambda done: self._sending.pop(done, None))

    async def _deliver(self, parcel: _Parcel, fault: Fault | None) -> None:
        simulation = self._simulation
        match fault:
            case Fault(kind="webhook_lost"):
                return
            case Fault(kind="webhook_late", seconds=seconds):
                await simulation.sleep(30.0 if seconds is None else seconds)
            case Fault(kind="webhook_forged"):
                await self._send(parcel, simulation.now(), forged=True)
            case Fault(kind="webhook_stale"):
                await self._send(parcel, simulation.now() - _STALE, genuine=False)
            case Fault(kind="webhook_repeated", copies=copies):
                await asyncio.gather(*(self._send(parcel, simulation.now()) for _ in range(copies - 1)))
            case _:
                pass
        pause, waited = timedelta(seconds=1), timedelta(0)
        while not _taken(await self._send(parcel, simulation.now())):
            if waited >= GIVE_UP_AFTER:
                if parcel.registered is not None:
                    parcel.registered.state = "disabled_due_to_failed_deliveries"
                return
            await simulation.sleep(pause.total_seconds())
            waited += pause
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _send(self, parcel: _Parcel, at: datetime, *, forged: bool = False, genuine: bool = True) -> int | None:
        """One POST, signed at `at`. A forged one is about an id that nobody has, and bears the right key's name."""
        if forged:
            parcel = self._forged(parcel)
        headers = {
            "content-type": "application/json",
            "user-agent": "Google-Gemini-Webhooks/1.0 (simulated)",
            "webhook-id": parcel.message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": await self._signature(parcel, at, forged=forged),
        }
        status = await self.post(parcel.uri, parcel.body, headers)
        self.deliveries.append(
            WebhookCall(
                message_id=parcel.message_id,
                event=parcel.event,
                about=parcel.about,
                uri=parcel.uri,
                kind="dynamic" if parcel.registered is None else "static",
                sent_at=self._simulation.now(),
                status=status,
                genuine=genuine and not forged,
            )
        )
        return status

    async def _signature(self, parcel: _Parcel, at: datetime, *, forged: bool) -> str:
        if parcel.registered is not None:
            valid = [Secret.new()] if forged else parcel.registered.valid_secrets(self._simulation.now())
            return " ".join(
                secret.signature(parcel.message_id, int(at.timestamp()), parcel.body) for secret in reversed(valid)
            )
        claims = webhook_keys.claims(parcel.uri, at, parcel.message_id, parcel.payload)
        key = self._forger if forged else self.key
        return key.token(claims, kid=self.key.kid)

    def _forged(self, parcel: _Parcel) -> _Parcel:
        stranger = f"v1_{self._identity()}"
        payload = parcel.payload | {"data": {"id": stranger}}
        return replace(
            parcel,
            message_id=f"msg_{self._identity()}",
            about=stranger,
            payload=payload,
            body=msgspec.json.encode(payload),
        )

    def _parcel(
        self,
        event: str,
        about: str,
        data: Mapping[str, Any],
        uri: str,
        registered: Registered | None,
        user_metadata: Mapping[str, Any] | None = None,
    ) -> _Parcel:
        payload = forms.event(event, self._simulation.now(), data, user_metadata or {})
        body = msgspec.json.encode(payload)
        return _Parcel(f"msg_{self._identity()}", event, about, payload, uri, registered, body)

    def _identity(self) -> str:
        return self._simulation.call_id(-1_000_000 - next(self._numbers))[:27]

    async def _over_http(self, uri: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=ANSWER_WITHIN, follow_redirects=False, trust_env=False)
        try:
            answer = await self._client.post(uri, content=body, headers=dict(headers))
        except httpx2.HTTPError:
            return None
        return answer.status_code


def _taken(status: int | None) -> bool:
    return status is not None and 200 <= status < 300
