"""The only builder of adapters: Settings -> Ports, once per process, heavy packages only where they are used."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from shared.adapters.flag_sources.none import NoFlagSource
from shared.adapters.gemini.missing_key_lane import KeylessInteractions, KeylessLane
from shared.adapters.gemini_batch.missing_key_batches import KeylessBatches
from shared.adapters.google_cloud.no_live_quota import NoLiveQuota
from shared.adapters.object_storage.image_store import ObjectImages
from shared.adapters.object_storage.references import CACHE_BYTES, AllowedReferences
from shared.adapters.pictures.pillow_formats import PillowFormats
from shared.adapters.process import proxies
from shared.adapters.process.byte_room import ByteRoom, memory_of_this_process, room_of
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.telemetry.json_log import JsonSignals
from shared.adapters.telemetry.late_exports import LateMetrics, LateSpans
from shared.adapters.telemetry.telemetry import MetricExport, Sampler, SpanExport, Telemetry
from shared.config import (
    EMULATORS,
    GATEWAY_KEY,
    GATEWAYS,
    FirestoreSettings,
    InvalidSetting,
    LiveQuotaOff,
    LiveQuotaOn,
    LocalTopicsSettings,
    PubsubSettings,
    Settings,
    SqliteSettings,
    Vertex,
)
from shared.core.accounting import budget
from shared.core.accounting.account_cap import Account, barred_lanes
from shared.core.accounting.budget import Budget
from shared.core.catalogue.catalogue import Api, Catalogue
from shared.core.catalogue.reader import read_catalogue
from shared.core.catalogue.toml_errors import BrokenCatalogue
from shared.core.catalogue.vertex_prices import priced_in
from shared.core.limits.quota import Quota
from shared.core.observability.events import FLAG_ILL_FORMED
from shared.core.provider.kept_image import KeepRules
from shared.core.routing.gateway import serving, with_limits
from shared.core.values.lanes import AT_ONCE, GATEWAY, PRIORITY, STANDARD, VERTEX
from shared.flows.pump_status import PumpView
from shared.flows.wakeups import Kicks
from shared.ports import Ports
from shared.ports.clock import Clock
from shared.ports.flags import FlagSource
from shared.ports.identity import Callers, Identities
from shared.ports.images import References, Spool
from shared.ports.lanes import Batches, Interactions, Lane
from shared.ports.messaging import Subscriptions, Topics  # fmt: skip
from shared.ports.quota import LiveQuotaSource
from shared.ports.signatures import NoSignatures, Signatures
from shared.ports.store import Store
from shared.ports.telemetry import Signals
from shared.ports.webhooks import Webhooks

if TYPE_CHECKING:
    from shared.core.observability.trace_tree import SpanView
    from shared.core.provider.call import Order
    from shared.core.routing.vertex import VertexUse
    from shared.flows.collect.look import Collector
    from shared.flows.intake.fair_queue import FairTags
    from shared.flows.operations.presence import Presence
    from shared.flows.pump.loop import Pump
    from shared.flows.render.limit_reports import Evidence
    from shared.flows.webhooks.room import DeliveryRoom

T = TypeVar("T")

NO_KEY = "no-key"
"""Behind a base URL of its own (the simulator, a stand-in) any word will do as a key."""


class Flights:
    """The deliveries that this process is at work on. Telemetry leaves when the last one ends, before its answer: an
    instance has no processor time after that."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._tasks: list[asyncio.Task[Any] | None] = []

    async def __aenter__(self) -> None:
        self._tasks.append(asyncio.current_task())

    async def __aexit__(self, *_: object) -> None:
        self._tasks.remove(asyncio.current_task())
        if not self._tasks:
            await self._signals.flush()

    def cut_off(self) -> None:
        """Cancel what is still at work: the process ends."""
        for task in self._tasks:
            if task is not None:
                task.cancel()


class Worker(Struct, frozen=True, dict=True):
    """The ports, and what the flows of one process remember between messages.

    What not every function needs is made when it is first asked for: intake loads nothing of the pump.
    """

    ports: Ports
    flights: Flights
    view: PumpView
    kicks: Kicks

    @classmethod
    def of(cls, ports: Ports) -> Worker:
        view = PumpView(ports)
        return cls(ports, Flights(ports.signals), view, Kicks(ports, view))

    @cached_property
    def tags(self) -> FairTags:
        from shared.flows.intake.fair_queue import FairTags

        return FairTags(self.ports, self.view)

    @cached_property
    def evidence(self) -> Evidence:
        from shared.flows.render.limit_reports import Evidence

        return Evidence(self.ports, self.view)

    @cached_property
    def collector(self) -> Collector:
        from shared.flows.collect.look import Collector

        return Collector(self.ports, self.evidence)

    @cached_property
    def presence(self) -> Presence:
        from shared.flows.operations.presence import Presence

        return Presence(self.ports)

    @cached_property
    def webhook_room(self) -> DeliveryRoom:
        from shared.flows.webhooks.room import DeliveryRoom

        return DeliveryRoom()

    @cached_property
    def pump(self) -> Pump:
        from shared.flows.pump.loop import Pump

        return Pump(self.ports, self.kicks)

    def leave(self) -> None:
        """The process was told to end: no call begins any more, and the pump gives up its lead after its tick."""
        self.ports.leaving.begun = True
        if "pump" in self.__dict__:
            self.pump.end()

    async def close(self) -> None:
        """Let go of connections, the lanes' first."""
        for lane in {id(lane): lane for lane in self.ports.lanes.values()}.values():
            await lane.close()
        await self.ports.batches.close()
        self.ports.spool.close()
        await self.ports.topics.close()
        await self.ports.store.close()
        await self.ports.signals.close()


@cache
def environment() -> Settings:
    """This process's settings. Raises InvalidSetting."""
    os.environ.pop("GOOGLE_API_KEY", None)  # another product's: Google's SDK would look at it too
    return Settings.read(os.environ, Path.cwd())


@cache
def worker() -> Worker:
    """This process's worker, from its environment. Raises InvalidSetting or BrokenCatalogue."""
    return Worker.of(build(environment(), sys.stderr))


def bare_signals() -> Signals:
    """Events to standard error, for a process whose settings cannot be read."""
    named = os.environ.get("GOOGLE_CLOUD_PROJECT", "local")
    return Telemetry(JsonSignals(sys.stderr, SystemClock(), named))


class Messaging(Topics, Subscriptions, Protocol):
    """Both ports in one object: a publish wakes a puller of the same process at once."""


def build(
    settings: Settings,
    events: TextIO,
    messaging: Messaging | None = None,
    traces: Path | None = None,
    meters: Sequence[MetricExport] = (),
) -> Ports:
    """Adapters for these settings; `events` takes JSON lines, `traces` the spans, `meters` the metrics."""
    clock, boot = SystemClock(), uuid.uuid4().hex
    chance = random.Random()
    room = room_of(memory_of_this_process())
    images = _set_by("RENDERLANE_IMAGES", lambda: ObjectImages(settings.images))
    models = catalogue(settings)
    _check_proxies(settings, models)
    lanes = google_lanes(settings, models)
    gateways = serving(models, gateways_in_use(settings, models))
    others = {GATEWAY: gateway_lane(settings, models)} if gateways else {}
    signals = JsonSignals(events, clock, settings.project, settings.release)
    emitted = telemetry(settings, signals, boot, traces, meters)
    configured = with_limits(quota(settings, models), models, gateways)
    return Ports(
        store=store(settings, clock),
        topics=messaging or topics(settings, clock),
        images=images,
        spool=spool(settings),
        references=references(settings, images, max(room // 4, CACHE_BYTES)),
        formats=PillowFormats(),
        lanes={**lanes, **others},
        interactions=background_calls(settings, lanes),
        batches=gemini_batches(settings),
        webhooks=webhooks(settings),
        live_quota=live_quota(settings, models, clock),
        flag_source=flag_source(settings, models, emitted),
        signals=emitted,
        clock=clock,
        chance=chance.random,
        fresh=lambda digits: f"{chance.getrandbits(4 * digits):0{digits}x}",
        catalogue=models,
        quota=configured,
        capacity=settings.capacity,
        boot=boot,
        project=settings.project,
        key_kind=key_kind(settings),
        room=ByteRoom(room),
        keep_rules=keep_rules(settings),
        signatures=signatures(settings),
        background=settings.background,
        has_webhooks=settings.webhook_url is not None or settings.webhook_secret is not None,
        webhooks_name_attempts=settings.webhook_url is not None,
        interactive_per_minute=settings.interactive_per_minute,
        default_budget=default_budget(settings),
        gateways=gateways,
        account=account(settings, models),
        vertex=vertex_use(settings) or "fallback",
        vertex_project=settings.vertex.project if settings.vertex else "",
        release=settings.release,
        probe_every=settings.probe_every,
    )


def spool(settings: Settings) -> Spool:
    """Raises InvalidSetting."""
    if settings.spool.startswith("file://"):
        from shared.adapters.object_storage.disk_spool import DiskSpool

        return DiskSpool(Path(unquote(urlsplit(settings.spool).path)))
    from shared.adapters.object_storage.object_spool import ObjectSpool

    return _set_by("RENDERLANE_SPOOL", lambda: ObjectSpool(settings.spool))


def signatures(settings: Settings) -> Signatures:
    """Raises InvalidSetting. What checks them is imported with the first webhook."""
    if settings.webhook_url is None and settings.webhook_secret is None:
        return NoSignatures()
    from shared.adapters.signatures import gemini_signatures
    from shared.adapters.signatures.key_set import KeySet, over_http
    from shared.adapters.signatures.shared_secret import SharedSecret
    from shared.adapters.signatures.token import Tokens

    tokens, secret = None, None
    if settings.webhook_url is not None:
        address = gemini_signatures.keys_address(settings.base_url)
        audiences = settings.webhook_audiences or (settings.webhook_url,)
        tokens = Tokens(KeySet(over_http(address)), audiences, settings.webhook_issuers or (gemini_signatures.GOOGLE,))
    if (text := settings.webhook_secret) is not None:
        secret = _set_by("RENDERLANE_WEBHOOK_SECRET", lambda: SharedSecret(text))
    return gemini_signatures.GeminiSignatures(tokens, secret)


def webhooks(settings: Settings) -> Webhooks:
    from shared.adapters.webhooks.https_webhooks import HttpsWebhooks

    # The emulators are no cloud: what runs on them is called on this machine, too.
    emulated = any(os.environ.get(name, "").strip() for name in EMULATORS)
    return HttpsWebhooks(allow_this_machine=settings.one_machine or emulated)


def keep_rules(settings: Settings) -> KeepRules:
    """A process of one machine can hold an image in memory for as long as it lives; a function, as long as a push."""
    in_a_push = KeepRules(settings.keep_paid)
    return KeepRules(settings.keep_paid, settings.keep_paid) if settings.one_machine else in_a_push


def default_budget(settings: Settings) -> Budget | None:
    limit = settings.default_budget_micros
    return None if limit is None else budget.default_budget(limit)


def _check_proxies(settings: Settings, models: Catalogue) -> None:
    """Before the first call, not in its middle. Raises InvalidSetting."""
    urls: list[str | None] = [models.gateways[name].base_url for name in gateway_keys(settings, models)]
    if settings.api_key is not None or settings.base_url is not None:
        urls.append(settings.base_url)
    if settings.vertex is not None:
        urls.append(settings.vertex.base_url)
    if settings.console_audience is not None:
        urls.append(None)  # the proxy's keys are Google's
    try:
        proxies.check(urls)
    except ValueError as error:
        raise InvalidSetting(str(error)) from error


def google_lanes(settings: Settings, models: Catalogue) -> dict[str, Lane]:
    """By name, those that answer at once. Raises InvalidSetting."""
    lanes: dict[str, Lane] = {}
    if vertex_use(settings) != "only":
        google = _set_by("GEMINI_API_KEY or GOOGLE_GEMINI_BASE_URL", lambda: google_lane(settings, models))
        lanes |= dict.fromkeys(AT_ONCE, google)
    if settings.vertex is not None:
        lanes[VERTEX] = vertex_lane(settings.vertex)
    return lanes


def vertex_use(settings: Settings) -> VertexUse | None:
    """None where there is no Vertex lane."""
    return settings.vertex.use if settings.vertex else None


def vertex_lane(vertex: Vertex) -> Lane:
    """Raises InvalidSetting."""
    from shared.adapters.gemini.vertex_lane import VertexLane

    return _set_by("GOOGLE_VERTEX_BASE_URL", lambda: VertexLane(vertex.project, vertex.location, vertex.base_url))


def google_lane(settings: Settings, models: Catalogue) -> Lane:
    """Google's, in the forms that the catalogue names. Raises ValueError for a key or address that cannot work."""
    if settings.api_key is None and settings.base_url is None:
        return KeylessLane()
    from shared.adapters.gemini.api_router import ByApiLane
    from shared.adapters.gemini.generate_content_lane import GenerateContentLane
    from shared.adapters.gemini.interactions_lane import GeminiLane

    api_key = settings.api_key or NO_KEY
    lanes: dict[Api, Lane] = {
        "interactions": GeminiLane(api_key, settings.base_url),
        "generate_content": GenerateContentLane(api_key, settings.base_url),
    }
    return ByApiLane(models, lanes)


def background_calls(settings: Settings, lanes: Mapping[str, Lane]) -> Interactions:
    """By the client of the lane beside it."""
    from shared.adapters.gemini.api_router import ByApiLane

    router = lanes.get(STANDARD)
    if not isinstance(router, ByApiLane):
        return KeylessInteractions()
    from shared.adapters.gemini.background_calls import GeminiInteractions
    from shared.adapters.gemini.interactions_lane import GeminiLane

    lane = router.of("interactions")
    assert isinstance(lane, GeminiLane), "google_lane() made it"
    return GeminiInteractions(lane, webhook_url=settings.webhook_url)


def gemini_batches(settings: Settings) -> Batches:
    if settings.api_key is None and settings.base_url is None:
        return KeylessBatches()
    from shared.adapters.gemini_batch.batches import GeminiBatches

    return GeminiBatches(settings.api_key or NO_KEY, settings.base_url)


def key_kind(settings: Settings) -> str:
    """What sort of key it is, for the record of each attempt; `none` without one."""
    if settings.api_key is None:
        return "none"
    from shared.adapters.gemini import interactions_lane

    return interactions_lane.key_kind(settings.api_key)


def references(settings: Settings, images: ObjectImages | None = None, cache_bytes: int = CACHE_BYTES) -> References:
    """Raises InvalidSetting. Without `images` they are opened as `settings` say."""
    images = images or _set_by("RENDERLANE_IMAGES", lambda: ObjectImages(settings.images))
    return _set_by(
        "RENDERLANE_REFERENCES", lambda: AllowedReferences(settings.references, images, cache_bytes=cache_bytes)
    )


def gateway_keys(settings: Settings, models: Catalogue) -> dict[str, str]:
    """By the gateway's name. Raises InvalidSetting for a key of one that the catalogue does not have."""
    keys = settings.gateway_keys
    return {_named_gateway(name, models, f"{GATEWAY_KEY}{name.upper()}"): key for name, key in keys.items()}


def gateways_in_use(settings: Settings, models: Catalogue) -> frozenset[str]:
    """Those that have a key here, and those of which the worker that renders has one. Raises InvalidSetting."""
    named = {_named_gateway(gateway, models, GATEWAYS) for gateway in settings.gateways}
    return frozenset(named | set(gateway_keys(settings, models)))


def _named_gateway(written: str, models: Catalogue, variable: str) -> str:
    """The catalogue's name of a gateway. Raises InvalidSetting."""
    names = {name.lower().replace("-", "_"): name for name in models.gateways}
    if written in names:
        return names[written]
    allowed = ", ".join(names[name] for name in sorted(names)) or "none"
    raise InvalidSetting(
        f"{variable}: found a gateway that the catalogue does not have ({written}); allowed: {allowed}"
    )


def gateway_lane(settings: Settings, models: Catalogue) -> Lane:
    """All gateways that have a key. Raises InvalidSetting."""
    from shared.adapters.gateway.router import GatewayLane, lane_of

    lanes: dict[str, Lane] = {}
    for name, key in gateway_keys(settings, models).items():
        provider = models.gateways[name]
        variable = f"{GATEWAY_KEY}{name.upper().replace('-', '_')}"
        lanes[name] = _set_by(variable, partial(lane_of, provider, key))
    return GatewayLane(models.gateways, lanes)


def one_gateway_lane(models: Catalogue, name: str, key: str) -> Lane:
    """One gateway by itself, with other keys left out: for its logged test. Raises InvalidSetting."""
    from shared.adapters.gateway.router import GatewayLane, lane_of

    provider = models.gateways[name]
    variable = f"{GATEWAY_KEY}{name.upper().replace('-', '_')}"
    lane = _set_by(variable, partial(lane_of, provider, key))
    return GatewayLane(models.gateways, {name: lane})


def _set_by(variable: str, make: Callable[[], T]) -> T:
    """What `make` makes; its ValueError under the name of the variable that caused it."""
    try:
        return make()
    except ValueError as error:
        raise InvalidSetting(f"{variable}: {error}") from error


def catalogue(settings: Settings) -> Catalogue:
    """Raises BrokenCatalogue with the file, the line and the reason."""
    path = settings.catalogue
    name = str(path) if path else "shared/catalogue.toml"
    try:
        file = path or resources.files("shared").joinpath("catalogue.toml")
        read = read_catalogue(file.read_text("utf-8"))
    except (BrokenCatalogue, UnicodeDecodeError, OSError) as error:
        raise BrokenCatalogue(f"{name}: {error}") from error
    barred = barred_lanes(account(settings, read), read.account, PRIORITY)
    read = msgspec.structs.replace(read, barred=barred) if barred else read
    return read if settings.vertex is None else priced_in(read, settings.vertex.location)


def account(settings: Settings, models: Catalogue) -> Account:
    """The billing account as it is configured. Raises InvalidSetting for a tier that the catalogue does not have."""
    tiers = models.account.tiers
    if settings.tier is not None and settings.tier not in tiers:
        allowed = ", ".join(tiers) or "nothing: the catalogue has no [account] tiers"
        raise InvalidSetting(f"RENDERLANE_TIER: found {settings.tier!r}; allowed: {allowed}")
    tier = None if settings.tier is None else tiers[settings.tier]
    return Account(tier, settings.monthly_cap_micros, models.account.warn_percent)


def quota(settings: Settings, models: Catalogue) -> Quota:
    """Raises InvalidSetting for a model that the catalogue does not have."""
    configured = _set_by("RENDERLANE_QUOTA", lambda: settings.quota.for_models(models.ids_by_name))
    tier = account(settings, models).tier
    return configured if tier is None else configured.with_spend_window(tier.spend10m_micros)


def live_quota(settings: Settings, models: Catalogue, clock: Clock) -> LiveQuotaSource:
    match settings.live_quota:
        case LiveQuotaOff():
            return NoLiveQuota()
        case LiveQuotaOn(reads, server):
            from shared.adapters.google_cloud import cloud_quotas

            return cloud_quotas.CloudQuotas(settings.project, server, models.ids_by_name, clock, reads)


def telemetry(
    settings: Settings, events: JsonSignals, boot: str, traces: Path | None, meters: Sequence[MetricExport] = ()
) -> Telemetry:
    """Nothing of OpenTelemetry is imported unless something is to be sent, or a sampler is named."""
    resource = {
        "service.name": "renderlane",
        "service.version": settings.release.name,
        "service.instance.id": boot,
        "gcp.project_id": settings.project,
    }
    exports: list[SpanExport] = []
    if traces is not None:
        from shared.adapters.telemetry.span_file import SpanFile

        exports.append(SpanFile(traces, resource))
    if "traces" in settings.exports:
        exports.append(LateSpans(partial(_otlp_spans, resource)))
    sampler: Sampler | None = None
    if settings.sampler is not None and exports:
        from shared.adapters.telemetry.otlp_spans import NamedSampler

        sampler = NamedSampler()
    if "metrics" in settings.exports:
        meters = (*meters, LateMetrics(partial(_otlp_metrics, resource)))
    return Telemetry(events, exports, sampler, meters)


def _otlp_spans(resource: Mapping[str, str]) -> SpanExport:
    from shared.adapters.telemetry.otlp_spans import OtlpSpans

    return OtlpSpans(resource)


def _otlp_metrics(resource: Mapping[str, str]) -> MetricExport:
    from shared.adapters.telemetry.otlp_metrics import OtlpMetrics

    return OtlpMetrics(resource)


def flag_source(settings: Settings, models: Catalogue, emitted: Signals | None = None) -> FlagSource:
    """An ill-formed flag is an event of `emitted`. Raises InvalidSetting for a provider that cannot be made."""
    named = settings.flag_provider
    if named is None:
        return NoFlagSource()
    from shared.adapters.flag_sources.openfeature import OpenFeatureFlags

    live_ids = {name: models.live(name).id for name in models.names}

    def report(flag: str, value: str, allowed: str) -> None:
        if emitted is not None:
            emitted.emit(FLAG_ILL_FORMED, flag=flag, found=value, allowed=allowed)

    return _set_by("RENDERLANE_FLAG_PROVIDER", lambda: OpenFeatureFlags.of(named, live_ids, report))


def callers(settings: Settings) -> Callers:
    """Of the API."""
    if settings.api_audience is None:
        from shared.adapters.identity.loopback import LoopbackCallers

        return LoopbackCallers()
    from shared.adapters.identity.cloud_run import CloudRunCallers

    return CloudRunCallers(settings.api_audience, settings.api_callers)


def identities(settings: Settings) -> Identities:
    """Who may use the console."""
    if settings.console_audience is None:
        from shared.adapters.identity.loopback import LoopbackIdentities

        return LoopbackIdentities()
    from shared.adapters.identity.iap import IapIdentities

    return IapIdentities(settings.console_audience)


def spans(settings: Settings, trace_id: str) -> list[SpanView]:
    """Those of one trace in the file of the one-machine home; none where there is no such file."""
    from shared.adapters.telemetry import span_file
    from shared.core.observability import trace_tree

    return [trace_tree.of_otlp(item) for item in span_file.read(settings.traces, trace_id)]


def body_of(order: Order) -> Mapping[str, Any]:
    """What a call of Google leaves with, for a person who wants to repeat it."""
    from shared.adapters.gemini import interactions_lane

    return interactions_lane.body_of(order)


def store(settings: Settings, clock: Clock) -> Store:
    match settings.store:
        case SqliteSettings(path):
            from shared.adapters.sqlite import store
            from shared.core.lifecycle.queries import INDEXES

            path.parent.mkdir(parents=True, exist_ok=True)
            return store.SqliteStore(path, clock, INDEXES)
        case FirestoreSettings(project, database):
            from shared.adapters.google_cloud import firestore_store

            return firestore_store.FirestoreStore(project, database)


def topics(settings: Settings, clock: Clock) -> Messaging:
    """Publishing for everybody; pulling for the courier of the one-machine home and of the emulators."""
    match settings.topics:
        case LocalTopicsSettings():
            from shared.adapters.sqlite import topics

            assert isinstance(settings.store, SqliteSettings), "Settings.read() has refused it"
            settings.store.path.parent.mkdir(parents=True, exist_ok=True)
            return topics.LocalTopics(settings.store.path, clock, settings.project)
        case PubsubSettings(project):
            from shared.adapters.google_cloud import pubsub_topics

            return pubsub_topics.PubsubTopics(project)
