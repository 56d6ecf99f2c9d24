"""What a project used of its Gemini API, and of which tier, from Cloud Monitoring.

Import it where it is used: it loads the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType

from google.api_core.exceptions import NotFound
from google.auth.credentials import Credentials
from google.cloud.monitoring_v3 import Aggregation, ListTimeSeriesRequest, MetricServiceClient, TimeSeries

from shared.adapters.google_cloud.monitoring_rest import RestMetrics
from shared.adapters.google_cloud.quota_ids import Counter
from shared.core.times.pacific import PACIFIC, pacific_day

CALL_TIMEOUT = timedelta(seconds=10)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
RECENT = timedelta(minutes=5)
"""A minute's points are available three minutes after its end; older ones are outdated."""
TIER_WITHIN = timedelta(days=7)


class MonitoredUsage:
    """One connection to Monitoring. Every method raises what the library raises."""

    def __init__(self, project: str, server: str | None, credentials: Credentials | None) -> None:
        self._project = project
        self._client = MetricServiceClient(transport=RestMetrics(server, credentials))

    def __enter__(self) -> MonitoredUsage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.transport.close()  # type: ignore[no-untyped-call]

    def used(self, counter: Counter, now: datetime) -> Iterator[tuple[str, int]]:
        """By the model's name: the newest known minute, or the Pacific day so far."""
        end, period, span = now.replace(second=0, microsecond=0), MINUTE, RECENT
        if counter.dimension == "rpd":
            day = pacific_day(now)
            began = datetime(day.year, day.month, day.day, tzinfo=PACIFIC)
            end, period = now, max(timedelta(seconds=int((now - began).total_seconds())), MINUTE)
            span = period
        for series in self._sums(counter, end - span, end, period, by=["metric.labels.model"]):
            if series.points:
                newest = max(series.points, key=lambda point: point.interval.end_time)
                yield series.metric.labels.get("model", ""), int(newest.value.int64_value)

    def tier(self, counters: Iterable[Counter], now: datetime) -> int | None:
        """The tier on which something was counted last; of two on the same day the higher one."""
        counted = [
            (point.interval.end_time, counter.tier)
            for counter in counters
            for series in self._sums(counter, now - TIER_WITHIN, now, DAY, by=[])
            for point in series.points
            if point.value.int64_value
        ]
        return max(counted)[1] if counted else None

    def _sums(
        self, counter: Counter, start: datetime, end: datetime, period: timedelta, *, by: Sequence[str]
    ) -> Iterator[TimeSeries]:
        service, _, name = counter.metric.partition("/")
        request = ListTimeSeriesRequest(
            name=f"projects/{self._project}",
            filter=f'metric.type = "{service}/quota/{name}/usage" AND metric.labels.limit_name = "{counter.quota_id}"',
            interval={"start_time": start, "end_time": end},
            aggregation=Aggregation(
                alignment_period=period,
                per_series_aligner=Aggregation.Aligner.ALIGN_SUM,
                cross_series_reducer=Aggregation.Reducer.REDUCE_SUM,
                group_by_fields=by,
            ),
            view=ListTimeSeriesRequest.TimeSeriesView.FULL,
        )
        try:
            yield from self._client.list_time_series(request, retry=None, timeout=CALL_TIMEOUT.total_seconds())
        except NotFound:
            return  # nothing was ever counted on this metric
