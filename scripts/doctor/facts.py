"""What the checks look at, gathered once: settings, catalogue, store, images, topics. Nothing is called that costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from scripts.cli.data import worker_home
from scripts.cli.data.see import quota_state
from scripts.cli.data.see.quota_state import ModelQuotaUse
from scripts.doctor import registered
from scripts.doctor.registered import RegisteredWebhook
from scripts.local import limits
from shared import wiring
from shared.adapters.gemini.interactions_lane import key_kind
from shared.adapters.process.system_clock import SystemClock
from shared.config import InvalidSetting, PubsubSettings, Settings, SqliteSettings
from shared.core.accounting import account_cap
from shared.core.accounting.account_cap import UNKNOWN_ACCOUNT, Account, MonthSpend
from shared.core.catalogue import gateway_proof
from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.gateway_proof import GatewayProof
from shared.core.lifecycle import queries
from shared.core.limits.live_quota import LiveQuota
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.core.records.request import CALLED_FIELDS, CalledRow, RequestRow
from shared.core.records.taken_webhook import TakenWebhook
from shared.core.records.tenant import TenantRecord
from shared.core.records.versioned import row_in
from shared.core.routing.flag_board import PATH as BOARD
from shared.core.routing.flag_board import Board
from shared.core.values.codec import stored_in
from shared.core.values.documents import Document, Query
from shared.core.values.status import FINAL
from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import Store, StoreUnavailable

RECENT = 100
GOOGLE = "https://generativelanguage.googleapis.com"
ASK_WITHIN = 10.0
"""Seconds, for what the provider is asked."""
MOST_LEFT = 1_000
MOST_TENANTS = 1_000
OUTLIVED_BY = timedelta(days=2)
"""A clean-up may be a day late."""


class StoreFacts(Struct, frozen=True):
    """What the store says."""

    read_at: datetime
    """The store's own time."""
    asked_at: datetime
    """This machine's, when it asked."""
    live: LiveQuota | None
    models: Sequence[ModelQuotaUse]
    board: Board
    tenants: Mapping[str, TenantRecord]
    recent: Sequence[RequestRow]
    """The newest requests."""
    ended: Sequence[CalledRow]
    """The latest ends of requests that were called for, the latest first, also where newer ones wait."""
    proofs: Mapping[str, GatewayProof]
    """Of the catalogue's gateways, those for which anything was recorded."""
    spend: MonthSpend | None
    """Of this month, on the billing account."""
    slow: Sequence[str]
    """Queries that the store refused, with why."""
    outlived: Collection[str]
    """Collections with documents whose time is long over."""
    webhook_at: datetime | None = None
    """When the provider's newest webhook was taken."""
    left_with_provider: int = 0
    """Requests with interactions that are still to be deleted there."""


class Facts(Struct, frozen=True):
    now: datetime
    project: str
    key: str
    """The kind of the key, or `none`."""
    simulated: bool
    settings: Settings
    catalogue: Catalogue
    in_store: StoreFacts | str
    """The text says why the store could not be read."""
    images: str | None
    """Why the image store cannot be used."""
    topics: str | None
    """Why nothing can be published."""
    account: Account = UNKNOWN_ACCOUNT
    registered: Sequence[RegisteredWebhook] | str | None = None
    """Webhooks at the provider; the text says why they could not be read; None: nobody asked."""
    limits: Sequence[str] | None = None
    """What this machine does not have that RENDERLANE_CAPACITY needs; None: the work is done elsewhere."""


async def gather(settings: Settings) -> Facts:
    """Raises InvalidSetting and BrokenCatalogue: without them nothing can be said."""
    catalogue = wiring.catalogue(settings)
    store_facts = await _store_facts(settings, catalogue)
    spend = store_facts.spend if isinstance(store_facts, StoreFacts) else None
    return Facts(
        now=datetime.now(UTC),
        project=settings.project,
        key=key_kind(settings.api_key) if settings.api_key else "none",
        simulated=worker_home.is_simulated(settings),
        settings=settings,
        catalogue=catalogue,
        in_store=store_facts,
        images=await _images(settings),
        topics=await _topics(settings),
        registered=await _registered(settings),
        limits=_limits(settings) if settings.one_machine else None,
        account=account_cap.of_worker(wiring.account(settings, catalogue), spend, catalogue.account),
    )


async def _registered(settings: Settings) -> Sequence[RegisteredWebhook] | str | None:
    """Asked where webhooks are set up and there is a key; it costs nothing."""
    if not settings.api_key or not (settings.webhook_url or settings.webhook_secret):
        return None
    import httpx2

    async with httpx2.AsyncClient(base_url=settings.base_url or GOOGLE, timeout=ASK_WITHIN, trust_env=False) as client:

        async def get(path: str) -> tuple[int, bytes]:
            try:
                answer = await client.get(path, headers={"x-goog-api-key": settings.api_key or ""})
            except httpx2.HTTPError:
                return 0, b""
            return answer.status_code, answer.content

        return await registered.read(get)


def _limits(settings: Settings) -> Sequence[str]:
    try:
        return limits.fitted(settings)[1]
    except InvalidSetting as error:
        return [str(error)]


async def _store_facts(settings: Settings, catalogue: Catalogue) -> StoreFacts | str:
    if isinstance(settings.store, SqliteSettings) and not settings.store.path.exists():
        return f"{settings.store.path} does not exist: this home was never started"
    store = wiring.store(settings, SystemClock())
    try:
        return await _read(store, settings, catalogue)
    except StoreUnavailable as error:
        return f"the store did not answer: {error}"
    finally:
        await store.close()


async def _read(store: Store, settings: Settings, catalogue: Catalogue) -> StoreFacts:
    asked_at = datetime.now(UTC)
    document = await store.get(BOARD)
    reading = await quota_state.read(store, wiring.quota(settings, catalogue), catalogue.ladder)
    return StoreFacts(
        read_at=document.read_at,
        asked_at=asked_at,
        live=reading.live,
        models=reading.models,
        board=Board.from_json(document.data) if isinstance(document, Document) else Board(),
        tenants=await _tenants(store),
        recent=[row_in(document).record for document in await store.query(queries.newest(None, RECENT))],
        ended=await _ended(store),
        proofs=await _proofs(store, catalogue),
        spend=reading.spend,
        slow=[problem for problem in [await _refused(store, *index) for index in queries.INDEXES] if problem],
        outlived=[name for name in queries.EXPIRING if await _has_outlived(store, name, document.read_at)],
        webhook_at=await _webhook_at(store),
        left_with_provider=await store.count(queries.leftovers(queries.FAR_AHEAD, MOST_LEFT)),
    )


async def _tenants(store: Store) -> dict[str, TenantRecord]:
    return {tenant.id: TenantRecord.of(tenant) for tenant in await store.query(Query("tenants", limit=MOST_TENANTS))}


async def _ended(store: Store) -> list[CalledRow]:
    """Of every final status, by the time of the end."""
    pages = [
        await store.query(replace(queries.newest_ended(status, RECENT), fields=CALLED_FIELDS))
        for status in sorted(FINAL)
    ]
    ends = [stored_in(document, CalledRow) for page in pages for document in page if document.is_readable]
    return sorted((end for end in ends if end.attempt_count), key=lambda end: end.finished_at, reverse=True)[:RECENT]


async def _webhook_at(store: Store) -> datetime | None:
    newest = await store.query(queries.newest_provider_webhooks(1))
    return stored_in(newest[0], TakenWebhook).received_at if newest else None


async def _proofs(store: Store, catalogue: Catalogue) -> dict[str, GatewayProof]:
    documents = await store.get_all([gateway_proof.path(name) for name in catalogue.gateways])
    readable = (document for document in documents if isinstance(document, Document))
    return {document.id: GatewayProof.from_json(document.data) for document in readable}


async def _refused(store: Store, collection: str, fields: tuple[str, ...]) -> str | None:
    """Every index is asked for once: Firestore refuses a query whose index is missing."""
    try:
        await store.query(Query(collection, order_by=fields, limit=1))
    except StoreUnavailable as error:
        return f"{collection} by {', '.join(fields)}: {error}"
    return None


async def _has_outlived(store: Store, collection: str, now: datetime) -> bool:
    return bool(await store.query(queries.outlived(collection, now - OUTLIVED_BY, 1)))


async def _images(settings: Settings) -> str | None:
    from shared.adapters.object_storage.image_store import ObjectImages

    try:
        await ObjectImages(settings.images).find("doctor/0.")
    except (ImagesUnavailable, ValueError) as error:
        return str(error)
    return None


async def _topics(settings: Settings) -> str | None:
    """A kick harms nobody; on one machine the topics lie in the store's file."""
    if not isinstance(settings.topics, PubsubSettings):
        return None
    topics = wiring.topics(settings, SystemClock())
    try:
        await topics.publish(PUMP_KICKS, Kick().to_bytes())
    except TopicsUnavailable as error:
        return str(error)
    finally:
        await topics.close()
    return None
