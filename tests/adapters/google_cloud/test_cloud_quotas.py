"""Google's own client libraries against a local server: what is read, and what is said where nothing can be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from shared.adapters.google_cloud import cloud_quotas
from shared.adapters.google_cloud.api_errors import unreadable
from shared.adapters.google_cloud.cloud_quotas import CloudQuotas
from shared.adapters.google_cloud.no_live_quota import NoLiveQuota
from shared.core.limits.live_quota import LiveLimits, UsageByModel
from shared.ports.quota import NotAsked, QuotaUnreadable
from tests.fakes.google_cloud import google_quota
from tests.fakes.google_cloud.google_quota import PROJECT, GoogleQuota, QuotaAnswer, counted, info, page, series, value
from tests.fakes.loopback import serving
from tests.fakes.virtual_clock import VirtualClock

PRO, LITE = "gemini-3-pro-image", "gemini-3.1-flash-lite-image"
IDS = {PRO: PRO, "nano-banana-pro": PRO, LITE: LITE}
MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"
DAY = "GenerateRequestsPerDayPerProjectPerModel"
TOKENS = "GenerateContentPaidTierInputTokensPerModelPerMinute"
TOKENS_METRIC = "generate_content_paid_tier_input_token_count"
REQUESTS = "generate_requests_per_model"
NOW = datetime(2026, 11, 22, 18, 0, 30, tzinfo=UTC)


@dataclass
class Reading:
    """The stand-in, and the adapter that asks it."""

    google: GoogleQuota
    url: str
    now: datetime = NOW

    def source(self, reads: Literal["limits", "limits and usage"] = "limits and usage") -> CloudQuotas:
        return CloudQuotas(PROJECT, self.url, IDS, VirtualClock(self.now), reads)

    async def limits(self) -> dict[str, dict[str, int | None]]:
        live = await self.source("limits").limits()
        assert not isinstance(live, NotAsked)
        return {model: dict(limits.dims) for model, limits in live.items()}

    async def usage(self) -> UsageByModel:
        source = self.source()
        await source.limits()
        used = await source.usage()
        assert not isinstance(used, NotAsked)
        return used

    async def refused(self) -> QuotaUnreadable:
        with pytest.raises(QuotaUnreadable) as refused:
            await self.source("limits").limits()
        return refused.value


@pytest.fixture
async def reading() -> AsyncIterator[Reading]:
    google = GoogleQuota(pages=[page(info(MINUTE, value(60, model=PRO)))])
    async with serving(google.app) as server:
        yield Reading(google, server.url)


# -- limits -----------------------------------------------------------------------------------------------------------


async def test_limits_are_read_page_by_page(reading: Reading) -> None:
    reading.google.pages = [
        page(info(MINUTE, value(60, model=PRO), value(100, model=LITE)), following=1),
        page(following=2),
        page(info(DAY, value(1_000, model=PRO)), info(TOKENS, value(4_000_000, model=PRO), metric=TOKENS_METRIC)),
    ]
    assert await reading.limits() == {PRO: {"rpm": 60, "rpd": 1_000, "tpm": 4_000_000}, LITE: {"rpm": 100}}
    tokens = [request.query_params.get("pageToken") for request in reading.google.requests]
    assert tokens == [None, "1", "2"]


async def test_a_reading_says_when_it_was_made(reading: Reading) -> None:
    assert await reading.source("limits").limits() == {PRO: LiveLimits({"rpm": 60}, NOW)}


@pytest.mark.parametrize("number", [-1, 9_223_372_036_854_775_807])
async def test_unlimited_is_read_in_both_its_forms(reading: Reading, number: int) -> None:
    reading.google.pages = [page(info(MINUTE, value(number, model=PRO)))]
    assert await reading.limits() == {PRO: {"rpm": None}}


async def test_a_row_without_dimensions_holds_for_each_model(reading: Reading) -> None:
    reading.google.pages = [page(info(MINUTE, value(60)), info(DAY, value(7, model=LITE)))]
    assert await reading.limits() == {PRO: {"rpm": 60}, LITE: {"rpm": 60, "rpd": 7}}


async def test_a_row_without_details_says_nothing_and_a_value_that_is_left_out_is_0(reading: Reading) -> None:
    """Protobuf's JSON leaves out what is 0."""
    reading.google.pages = [page(info(MINUTE, {"dimensions": {"model": PRO}}), info(DAY, {"details": {}}))]
    assert await reading.limits() == {PRO: {"rpd": 0}, LITE: {"rpd": 0}}


async def test_fields_and_quotas_that_nobody_knows_yet_do_not_matter(reading: Reading) -> None:
    strange = info(MINUTE, value(60, model=PRO) | {"colour": "blue"}) | {"tierInfo": {"tier": 3}, "dimensions": []}
    reading.google.pages = [page(strange, info("SomethingPerModelPerMinute", value(1, model=PRO)), {"quotaId": "Bare"})]
    assert await reading.limits() == {PRO: {"rpm": 60}}


async def test_it_asks_for_the_quotas_of_the_gemini_api_of_its_project(reading: Reading) -> None:
    await reading.limits()
    (request,) = reading.google.requests
    assert request.url.path.endswith(
        f"/projects/{PROJECT}/locations/global/services/generativelanguage.googleapis.com/quotaInfos"
    )
    assert "authorization" not in request.headers


# -- where nothing can be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "message", "remedy"),
    [
        (google_quota.denied(), "denied", "cloudquotas.quotas.get", "roles/cloudquotas.viewer"),
        (
            google_quota.disabled("cloudquotas.googleapis.com"),
            "disabled",
            "has not been used",
            "gcloud services enable cloudquotas.googleapis.com",
        ),
        (google_quota.error(503, "UNAVAILABLE", "try later"), "unreachable", "try later", "again in a minute"),
        (QuotaAnswer("<html>bad gateway</html>", 502), "unreachable", "bad gateway", "again in a minute"),
        (google_quota.error(429, "RESOURCE_EXHAUSTED", "slow down"), "unreachable", "slow down", "again in a minute"),
        (google_quota.error(401, "UNAUTHENTICATED", "who"), "no credentials", "cannot be refreshed", "service account"),
        (google_quota.error(404, "NOT_FOUND", "no project"), "refused", "no project", "GOOGLE_CLOUD_PROJECT"),
        (google_quota.error(400, "INVALID_ARGUMENT", "no"), "refused", "no", "GOOGLE_CLOUD_PROJECT"),
        (QuotaAnswer("<html>sign in</html>"), "refused", "something else", "proxies"),
        (QuotaAnswer({"quotaInfos": [{"dimensionsInfos": "none"}]}), "refused", "something else", "proxies"),
        (QuotaAnswer({}), "empty", "name no model", "GOOGLE_CLOUD_PROJECT"),
        (page(info(MINUTE, value(60, model="gemini-3-pro"))), "empty", "name no model", "GOOGLE_CLOUD_PROJECT"),
    ],
)
async def test_a_refusal_says_what_is_wrong_and_what_to_do(
    reading: Reading, answer: QuotaAnswer, code: str, message: str, remedy: str
) -> None:
    reading.google.pages = [answer]
    refused = await reading.refused()
    assert refused.code == code
    assert message in refused.message
    assert remedy in refused.remedy
    assert len(refused.message) <= 300
    assert len(reading.google.requests) == 1  # the next minute asks again


async def test_a_page_that_fails_fails_the_reading(reading: Reading) -> None:
    reading.google.pages = [page(info(MINUTE, value(60, model=PRO)), following=1), google_quota.error(503, "X", "no")]
    assert (await reading.refused()).code == "unreachable"


async def test_a_server_that_is_not_there_is_unreachable(reading: Reading) -> None:
    async with serving(reading.google.app) as gone:
        pass
    reading.url = gone.url
    refused = await reading.refused()
    assert (refused.code, refused.message) == ("unreachable", f"no connection to {gone.url} (ConnectionError)")


async def test_a_server_that_does_not_answer_is_given_up(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(cloud_quotas, "CALL_TIMEOUT", timedelta(milliseconds=50))
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        reading.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        refused = await reading.refused()
    assert (refused.code, refused.message) == ("unreachable", f"no answer from {reading.url} in time")


async def test_without_credentials_google_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    for reads in ("limits", "limits and usage"):
        source = CloudQuotas(PROJECT, None, IDS, VirtualClock(), reads)
        with pytest.raises(QuotaUnreadable) as refused:
            await source.limits()
        assert refused.value.code == "no credentials"
        assert "gcloud auth application-default login" in refused.value.remedy


def test_what_is_unforeseen_is_told_as_what_it_is() -> None:
    """The watch has other work to do: a fault here must not end it."""
    quota_unreadable = unreadable(
        ZeroDivisionError("division\nby zero"), api="a.googleapis.com", server="http://a", role="viewer"
    )
    assert (quota_unreadable.code, quota_unreadable.message) == ("broken", "ZeroDivisionError: division by zero")
    assert "report" in quota_unreadable.remedy


# -- usage ------------------------------------------------------------------------------------------------------------


async def test_usage_is_the_newest_minute_and_the_pacific_day(reading: Reading) -> None:
    reading.google.pages = [page(info(MINUTE, value(60, model=PRO)), info(DAY, value(1_000, model=PRO)))]
    minutes = series({"2026-11-22T17:58:00Z": 7, "2026-11-22T17:59:00Z": 9, "2026-11-22T17:57:00Z": 8}, PRO)
    reading.google.series = {
        f"{REQUESTS}/{MINUTE}": counted(minutes, series({"2026-11-22T17:59:00Z": 99}, "gemini-3-pro")),
        f"{REQUESTS}/{DAY}": counted(series({"2026-11-22T18:00:30Z": 640}, f"models/{PRO}"), series({}, LITE)),
    }
    assert await reading.usage() == {PRO: {"rpm": 9, "rpd": 640}}
    questions = {request.query_params["filter"]: request.query_params for request in reading.google.requests[1:]}
    by_minute = next(question for text, question in questions.items() if MINUTE in text)
    by_day = next(question for text, question in questions.items() if DAY in text)
    assert (by_minute["interval.startTime"], by_minute["interval.endTime"]) == (
        "2026-11-22T17:55:00Z",
        "2026-11-22T18:00:00Z",
    )
    assert by_minute["aggregation.alignmentPeriod"] == "60s"
    # Midnight in Los Angeles is 08:00 UTC in November.
    assert (by_day["interval.startTime"], by_day["interval.endTime"]) == (
        "2026-11-22T08:00:00Z",
        "2026-11-22T18:00:30Z",
    )
    assert by_day["aggregation.alignmentPeriod"] == "36030s"
    for question in questions.values():
        assert question["aggregation.perSeriesAligner"] == "ALIGN_SUM"
        assert question["aggregation.crossSeriesReducer"] == "REDUCE_SUM"
        assert question["aggregation.groupByFields"] == "metric.labels.model"


async def test_in_the_first_minute_of_the_day_a_whole_minute_is_asked_for(reading: Reading) -> None:
    """Monitoring adds up over a minute at least."""
    reading.now = datetime(2026, 11, 22, 8, 0, 5, tzinfo=UTC)
    reading.google.pages = [page(info(DAY, value(1_000, model=PRO)))]
    assert await reading.usage() == {}
    assert reading.google.requests[-1].query_params["aggregation.alignmentPeriod"] == "60s"


async def test_a_metric_on_which_nothing_was_ever_counted_is_no_problem(reading: Reading) -> None:
    assert await reading.usage() == {}
    reading.google.series = {f"{REQUESTS}/{MINUTE}": counted()}
    assert await reading.usage() == {}


async def test_usage_is_not_asked_for_where_only_limits_are_wanted(reading: Reading) -> None:
    source = reading.source("limits")
    await source.limits()
    assert await source.usage() == NotAsked()
    assert len(reading.google.requests) == 1


@pytest.mark.parametrize(
    ("answer", "code", "remedy"),
    [
        (google_quota.denied(), "denied", "roles/monitoring.viewer"),
        (
            google_quota.disabled("monitoring.googleapis.com"),
            "disabled",
            "gcloud services enable monitoring.googleapis.com",
        ),
        (google_quota.error(500, "INTERNAL", "oh"), "unreachable", "again in a minute"),
        (QuotaAnswer("<html>"), "refused", "not monitoring.googleapis.com"),
    ],
)
async def test_limits_are_read_though_usage_cannot_be(
    reading: Reading, answer: QuotaAnswer, code: str, remedy: str
) -> None:
    reading.google.pages = [
        page(info(MINUTE, value(60, model=PRO)), info(f"{MINUTE}-PaidTier2", value(300, model=PRO)))
    ]
    reading.google.series = {f"{REQUESTS}/{MINUTE}": answer}
    source = reading.source()
    assert PRO in await source.limits()  # type: ignore[operator]
    with pytest.raises(QuotaUnreadable) as refused:
        await source.usage()
    assert refused.value.code == code
    assert remedy in refused.value.remedy


# -- tiers ------------------------------------------------------------------------------------------------------------

TIERS = page(
    info(f"{MINUTE}-FreeTier", value(5, model=PRO), metric="generate_content_free_tier_requests"),
    info(MINUTE, value(60, model=PRO)),
    info(f"{MINUTE}-PaidTier2", value(300, model=PRO), metric="generate_content_paid_tier_2_requests"),
    info(f"{MINUTE}-PaidTier3", value(1_000, model=PRO), metric="generate_content_paid_tier_3_requests"),
)
TIER_2 = f"generate_content_paid_tier_2_requests/{MINUTE}-PaidTier2"


@pytest.mark.parametrize(
    ("used", "limit"),
    [
        ({}, 1_000),
        ({f"{REQUESTS}/{MINUTE}": counted(series({"2026-11-20T18:00:30Z": 9}))}, 60),
        ({f"{REQUESTS}/{MINUTE}": counted(series({"2026-11-20T18:00:30Z": 0}))}, 1_000),
        ({TIER_2: counted(series({"2026-11-20T18:00:30Z": 9}))}, 300),
        (
            {
                f"{REQUESTS}/{MINUTE}": counted(series({"2026-11-20T18:00:30Z": 9, "2026-11-19T18:00:30Z": 900})),
                TIER_2: counted(series({"2026-11-21T18:00:30Z": 9, "2026-11-22T18:00:30Z": 0})),
            },
            300,
        ),
    ],
    ids=["nothing was called", "tier 1", "nothing was counted", "tier 2", "moved up from 1 to 2"],
)
async def test_the_tier_is_the_one_that_calls_are_counted_on(
    reading: Reading, used: dict[str, QuotaAnswer], limit: int
) -> None:
    reading.google.pages, reading.google.series = [TIERS], used
    live = await reading.source().limits()
    assert live == {PRO: LiveLimits({"rpm": limit}, NOW)}


async def test_a_tier_that_was_known_stays_while_nothing_says_otherwise(reading: Reading) -> None:
    reading.google.pages, reading.google.series = [TIERS], {TIER_2: counted(series({"2026-11-20T18:00:30Z": 9}))}
    source = reading.source()
    first = await source.limits()
    for silent in ({}, {f"{REQUESTS}/{MINUTE}": google_quota.error(503, "UNAVAILABLE", "no")}):
        reading.google.series = silent
        assert await source.limits() == first


async def test_only_the_known_tier_s_use_is_counted(reading: Reading) -> None:
    reading.google.pages = [TIERS]
    reading.google.series = {
        TIER_2: counted(series({"2026-11-22T17:59:00Z": 9}, PRO)),
        f"{REQUESTS}/{MINUTE}": counted(series({"2026-11-21T17:59:00Z": 4}, PRO)),
    }
    assert await reading.usage() == {PRO: {"rpm": 9}}
    assert len(reading.google.requests) == 1 + 4 + 1


# -- nobody -----------------------------------------------------------------------------------------------------------


async def test_where_nobody_is_asked_that_is_the_answer() -> None:
    assert await NoLiveQuota().limits() == NotAsked()
    assert await NoLiveQuota().usage() == NotAsked()


def test_the_libraries_are_not_imported_before_the_first_reading() -> None:
    code = (
        "import sys; from shared.adapters.google_cloud.cloud_quotas import CloudQuotas; "
        "sys.exit(any(name in sys.modules for name in ('google.cloud.cloudquotas_v1', 'google.cloud.monitoring_v3')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
