"""Limits from the Cloud Quotas API, tier and usage from Cloud Monitoring, by their client libraries over REST.

A client is made for each reading: at one per minute nothing is saved by keeping it, and nothing has to be closed. The
libraries block, so a reading runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from shared.adapters.google_cloud.api_errors import unreadable
from shared.adapters.google_cloud.quota_ids import Counter, Quotas, Row, model_id, read
from shared.adapters.process.daemon import in_daemon
from shared.adapters.process.proxies import trusted
from shared.core.limits.live_quota import LiveLimits, UsageByModel
from shared.ports.clock import Clock
from shared.ports.quota import NotAsked, QuotaUnreadable

if TYPE_CHECKING:
    from google.cloud.cloudquotas_v1 import CloudQuotasClient, QuotaInfo

    from shared.adapters.google_cloud.monitoring_usage import MonitoredUsage

T = TypeVar("T")

SERVICE = "generativelanguage.googleapis.com"
CALL_TIMEOUT = timedelta(seconds=10)
READING_TIMEOUT = timedelta(seconds=30)
"""For all pages of one reading."""


class CloudQuotas:
    """The limits and the usage of one project's Gemini API."""

    def __init__(
        self,
        project: str,
        server: str | None,
        ids_by_name: Mapping[str, str],
        clock: Clock,
        reads: Literal["limits", "limits and usage"],
    ) -> None:
        """`server` None: Google's, with the environment's credentials; any other is called without credentials."""
        self._project = project
        self._server = server
        self._ids_by_name = ids_by_name
        self._clock = clock
        self._reads = reads
        self._tier: int | None = None
        """The tier that calls were last counted on."""
        self._counters: tuple[Counter, ...] = ()

    async def limits(self) -> Mapping[str, LiveLimits] | NotAsked:
        quotas = await self._ask_quotas(self._list_quotas)
        now = self._clock.now()
        if self._reads == "limits and usage":
            await self._find_tier(quotas.counters, now)
        self._counters = tuple(counter for counter in quotas.counters if self._tier in (None, counter.tier))
        by_model = {model: quotas.limits(model, self._tier) for model in sorted(set(self._ids_by_name.values()))}
        live_limits = {model: LiveLimits(dims, now) for model, dims in by_model.items() if dims}
        if not live_limits:
            raise QuotaUnreadable(
                "empty",
                f"the quotas of {self._project} name no model of the catalogue",
                "Check GOOGLE_CLOUD_PROJECT: it must be the project of the key, with the Gemini API enabled.",
            )
        return live_limits

    async def usage(self) -> UsageByModel | NotAsked:
        if self._reads == "limits":
            return NotAsked()
        now = self._clock.now()
        return await self._ask_monitoring(lambda monitoring: self._add_up(monitoring, now))

    async def _find_tier(self, counters: tuple[Counter, ...], now: datetime) -> None:
        """A call only counts on its project's tier. If nothing is counted, or reported, the known tier stays."""
        requests = [counter for counter in counters if counter.dimension == "rpm"]
        if len(requests) < 2:
            return
        try:
            count = await self._ask_monitoring(lambda monitoring: monitoring.tier(requests, now))
        except QuotaUnreadable:
            return  # usage() says so
        self._tier = self._tier if count is None else count

    def _add_up(self, monitoring: MonitoredUsage, now: datetime) -> UsageByModel:
        used: dict[str, dict[str, int]] = {}
        for counter in self._counters:
            for name, count in monitoring.used(counter, now):
                model = model_id(name, self._ids_by_name)
                if model is not None:
                    of_model = used.setdefault(model, {})
                    of_model[counter.dimension] = of_model.get(counter.dimension, 0) + count
        return used

    def _list_quotas(self) -> Quotas:
        parent = f"projects/{self._project}/locations/global/services/{SERVICE}"
        with quotas_client(self._server) as client:
            infos = client.list_quota_infos(parent=parent, retry=None, timeout=CALL_TIMEOUT.total_seconds())
            return read(_rows(infos), self._ids_by_name)

    async def _ask_quotas(self, ask: Callable[[], T]) -> T:
        return await in_a_thread(ask, self._server, "cloudquotas.googleapis.com", "roles/cloudquotas.viewer")

    async def _ask_monitoring(self, ask: Callable[[MonitoredUsage], T]) -> T:
        def asking() -> T:
            from shared.adapters.google_cloud.monitoring_usage import MonitoredUsage

            with MonitoredUsage(self._project, self._server, _nobody() if self._server else None) as monitoring:
                return ask(monitoring)

        return await in_a_thread(asking, self._server, "monitoring.googleapis.com", "roles/monitoring.viewer")


def quotas_client(server: str | None) -> CloudQuotasClient:
    """`server` None means Google's, with the environment's credentials; any other is asked without."""
    from google.cloud.cloudquotas_v1 import CloudQuotasClient
    from google.cloud.cloudquotas_v1.services.cloud_quotas.transports import CloudQuotasRestTransport

    transport: Any = "rest"
    if server is not None:
        scheme, _, host = server.partition("://")
        transport = CloudQuotasRestTransport(host=host, url_scheme=scheme, credentials=_nobody())
        transport._session.trust_env = trusted(server)
    return CloudQuotasClient(transport=transport)


def _rows(infos: Iterable[QuotaInfo]) -> Iterable[Row]:
    """A missing value would read as 0: it is left out."""
    for info in infos:
        for dimensions_info in info.dimensions_infos:
            if "details" in dimensions_info:
                yield Row(info.quota_id, info.metric, dict(dimensions_info.dimensions), dimensions_info.details.value)


def _nobody() -> Any:
    from google.auth.credentials import AnonymousCredentials

    return AnonymousCredentials()  # type: ignore[no-untyped-call]


async def in_a_thread(ask: Callable[[], T], server: str | None, api: str, role: str) -> T:
    """Raises QuotaUnreadable for every error that the libraries raise."""
    try:
        async with asyncio.timeout(READING_TIMEOUT.total_seconds()):
            return await in_daemon(ask, "live-quota")
    except Exception as error:  # an unexpected error is shown, and must not keep the watch from its other work
        raise unreadable(error, api=api, server=server or api, role=role) from error
