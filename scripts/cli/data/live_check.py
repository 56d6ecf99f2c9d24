"""`renderlane doctor --live`: the estimate, the confirmation, the calls, and the two files of the report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import httpx2

from scripts.cli.data import worker_home
from scripts.cli.data.json_output import to_json
from scripts.doctor_live import differences, report, run
from scripts.doctor_live.api import GOOGLE, Api
from scripts.doctor_live.outcome import ProbeOutcome
from scripts.doctor_live.probes import ProbePlan, plan
from scripts.doctor_live.report import Circumstances
from scripts.doctor_live.run import Examined
from shared import wiring
from shared.adapters.process import proxies
from shared.adapters.process.system_clock import SystemClock
from shared.config import InvalidSetting, Settings
from shared.core.catalogue.catalogue import Catalogue
from shared.core.limits.live_quota import UsageByModel
from shared.core.values.money import micros_from_usd, usd
from shared.ports.quota import NotAsked, QuotaUnreadable

NOT_CONFIRMED = 2
DIFFERS = 1


async def carry_out(settings: Settings, catalogue: Catalogue, chosen: ProbePlan, *, quiet: bool) -> Examined:
    """All probes, each reported on standard error when it is done."""
    quota = wiring.live_quota(settings, catalogue, SystemClock())

    async def usage() -> UsageByModel | None:
        try:
            usage_now = await quota.usage()
        except QuotaUnreadable:
            return None
        return None if isinstance(usage_now, NotAsked) else usage_now

    def tell(outcome: ProbeOutcome) -> None:
        if not quiet:
            click.echo(f"{outcome.probe.model}: {outcome.probe.about}: {outcome.code}", err=True)

    vertex = wiring.vertex_lane(settings.vertex) if settings.vertex is not None else None
    trust = proxies.trusted(settings.base_url)
    async with httpx2.AsyncClient(base_url=settings.base_url or GOOGLE, trust_env=trust, timeout=30) as client:
        api = Api(
            client, settings.api_key or wiring.NO_KEY, catalogue, _now, time.monotonic, webhook_url=settings.webhook_url
        )
        try:
            return await run.examine(api, chosen, catalogue, usage, vertex, tell)
        finally:
            if vertex is not None:
                await vertex.close()


async def check(out: Path, budget: str, *, confirmed: bool, as_json: bool) -> int:
    """The exit code."""
    settings = worker_home.read_settings()
    if settings.api_key is None and settings.base_url is None:
        raise InvalidSetting(
            "GEMINI_API_KEY: found nothing; allowed: an auth key of Google AI Studio, whose calls --live pays for, or "
            "GOOGLE_GEMINI_BASE_URL with the address of a stand-in."
        )
    catalogue = wiring.catalogue(settings)
    chosen = plan(catalogue, vertex=settings.vertex is not None, budget_micros=_budget(budget))
    _say_estimate(chosen, settings)
    if not confirmed:
        click.echo("Nothing was sent. To go on: --live --yes", err=True)
        return NOT_CONFIRMED
    made_at = _now()
    examined = await carry_out(settings, catalogue, chosen, quiet=as_json)
    outcomes, changes = examined.outcomes, differences.differences(examined.outcomes, catalogue)
    document = report.document(
        _circumstances(settings, made_at), chosen, examined, changes, _proposed(settings, changes, made_at)
    )
    _write(out, made_at, document)
    if as_json:
        click.echo(to_json(document))
    else:
        click.echo(report.markdown(document))
    return DIFFERS if changes or not all(outcome.made for outcome in outcomes if outcome.probe.kind == "answers") else 0


def _say_estimate(chosen: ProbePlan, settings: Settings) -> None:
    left_out = len(chosen.probes) - len(chosen.expected)
    click.echo(
        f"calls to {settings.base_url or GOOGLE}: {len(chosen.expected)} that are paid for, about "
        f"${usd(chosen.expected_micros)[:-4]}, and {left_out} that are free or left out. Before a call that could "
        f"bring the cost above ${usd(chosen.budget_micros)[:-4]} it stops (by the catalogue's prices).",
        err=True,
    )


def _proposed(settings: Settings, changes: Sequence[differences.CatalogueDifference], now: datetime) -> str:
    """The diff of the catalogue in use."""
    file = settings.catalogue or resources.files("shared").joinpath("catalogue.toml")
    name = str(settings.catalogue) if settings.catalogue else "shared/catalogue.toml"
    text = file.read_text("utf-8")
    return differences.diff(text, differences.corrected(text, changes, now.date()), name)


def _circumstances(settings: Settings, now: datetime) -> Circumstances:
    address = urlsplit(settings.base_url or GOOGLE)
    vertex = settings.vertex
    return Circumstances(
        made_at=now,
        address=f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else ""),
        simulated=settings.base_url is not None and not (address.hostname or "").endswith("googleapis.com"),
        key_kind=wiring.key_kind(settings),
        project=settings.project,
        tier=settings.tier,
        sdk=metadata.version("google-genai"),
        vertex=f"{vertex.project}/{vertex.location}" if vertex else None,
    )


def _write(out: Path, now: datetime, document: dict[str, Any]) -> None:
    """Two files with the time in their names; an existing one is never overwritten."""
    stem = f"doctor-live-{now:%Y%m%dT%H%M%SZ}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for suffix, text in ((".json", to_json(document) + "\n"), (".md", report.markdown(document))):
            path = out / f"{stem}{suffix}"
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"wrote {path}", err=True)
    except OSError as error:
        raise click.UsageError(f"--out: {out} cannot be written ({error.strerror})") from error


def _budget(text: str) -> int:
    try:
        micros = micros_from_usd(text)
    except ValueError:
        micros = 0
    if micros <= 0:
        raise click.UsageError(f"--budget: found {text!r}; allowed: dollars above zero, such as 1.00")
    return micros


def _now() -> datetime:
    return datetime.now(UTC)
