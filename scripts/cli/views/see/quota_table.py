"""How limits are shown: a table, what is wrong with the reading, what is closed, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from scripts.cli.data.see.quota_state import ModelQuotaUse, QuotaReading
from scripts.cli.views.responsive_table import Cell, Column, Narrowing
from scripts.cli.views.see.request_view import age, dollars, moment
from shared.core.accounting import account_cap
from shared.core.accounting.account_cap import UNKNOWN_ACCOUNT, Account
from shared.core.limits.effective import DIMENSIONS, EffectiveLimit
from shared.core.limits.live_quota import LiveQuota, QuotaProblem
from shared.core.routing.background_proof import BackgroundProof, shown

NOBODY_READS_AFTER = timedelta(minutes=3)
WORDS = {"spend10m_micros": "spend10m_usd"}
"""Where RENDERLANE_QUOTA has another word."""


def table(reading: QuotaReading) -> RenderableType:
    columns = (
        Column("model", least=8),
        Column("limit"),
        Column("in force", right=True),
        Column("source"),
        Column("age", right=True, leaves=2),
        Column("used", right=True),
        Column("project", right=True, leaves=1),
    )
    return Narrowing(columns, [row for model in reading.models for row in _rows(model, reading)])


def _rows(model: ModelQuotaUse, reading: QuotaReading) -> Iterator[tuple[Cell, ...]]:
    name = model.model.removeprefix("gemini-").removesuffix("-image")
    shown = [dimension for dimension in DIMENSIONS if dimension in model.limits or model.used.get(dimension)]
    if not shown:
        yield name, "-", "unknown", "-", "-", "-", "-"
    for number, dimension in enumerate(shown):
        limit = model.limits.get(dimension)
        yield (
            "" if number else name,
            WORDS.get(dimension, dimension),
            _value(dimension, limit),
            limit.source if limit else "-",
            age(limit.at, reading.now) if limit and limit.at else "-",
            _count(model.used.get(dimension)),
            _count((model.project_used or {}).get(dimension)),
        )


def _value(dimension: str, limit: EffectiveLimit | None) -> str:
    if limit is None:
        return "unknown"
    if limit.value is None:
        return "unlimited"
    return dollars(limit.value) if dimension == "spend10m_micros" else f"{limit.value:,}"


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def lines(reading: QuotaReading, *, reads_live: bool) -> list[Text]:
    """Where the live values come from, and what is wrong with them. `reads_live`: a worker of this home reads them."""
    live = reading.live
    if live is None:
        nobody = "live limits: off (RENDERLANE_LIVE_QUOTA); shown limits are configured or were named in a 429"
        why = "live limits: not read yet; a running worker reads them once a minute" if reads_live else nobody
        return [Text(why)]
    texts = [Text(_read(live, reading))]
    if live.problem:
        texts += _problem("limits", live.problem, reading)
    if live.usage_problem:
        texts += _problem("usage", live.usage_problem, reading)
    return texts


def of_account(account: Account, quota: QuotaReading) -> list[Text]:
    """The billing account: what this month has cost against its cap, and what its tier brings."""
    figures = account_cap.summary(account, quota.spend, quota.now)
    if figures["monthly_cap_micros"] is None:
        return [Text("billing account: its tier is unknown (RENDERLANE_TIER); its monthly cap is not watched")]
    name = f"tier {figures['tier']}" if figures["tier"] else "cap set by hand"
    cap = dollars(figures["monthly_cap_micros"])
    extras = []
    if figures["spend10m_micros"] is not None:
        extras.append(f"{dollars(figures['spend10m_micros'])} in any ten minutes")
        extras.append("with Priority" if figures["priority"] else "without Priority")
    tail = f"; {', '.join(extras)}" if extras else ""
    if figures["spent_micros"] is None:
        return [Text(f"billing account ({name}): {cap} a month, spend not read yet; a running worker reads it{tail}")]
    unclear = f" and up to {dollars(figures['unknown_micros'])} of unknown cost" if figures["unknown_micros"] else ""
    line = f"billing account ({name}): {dollars(figures['spent_micros'])}{unclear} of {cap} in {figures['month']}"
    line += f", {figures['percent']} %" + (
        f", reached on {figures['cap_reached_on']}" if figures["cap_reached_on"] else ""
    )
    style = "bold red" if figures["percent"] >= account.warn_percent else ""
    return [Text(line + tail, style), Text("  this worker's ledger alone: other projects of the account count too")]


def _read(live: LiveQuota, reading: QuotaReading) -> str:
    read = f"live limits read {age(live.read_at, reading.now)} ago" if live.read_at else "live limits: never read"
    if live.usage_read_at:
        read += f", the project's usage {age(live.usage_read_at, reading.now)} ago"
    if reading.now - live.tried_at > NOBODY_READS_AFTER:
        read += f"; last tried {age(live.tried_at, reading.now)} ago: is a worker running?"
    return read


def _problem(what: str, problem: QuotaProblem, reading: QuotaReading) -> list[Text]:
    since = age(problem.since, reading.now)
    return [
        Text(f"{what} cannot be read, for {since}: {problem.code}: {problem.message}", "bold red"),
        Text(f"  {problem.remedy}"),
    ]


def closed(reading: QuotaReading) -> list[Text]:
    return [
        Text(f"{model.model} is closed until {moment(model.closed_until)} ({model.closed_why})", "yellow")
        for model in reading.models
        if model.closed_until is not None
    ]


def background(state: QuotaReading) -> list[Text]:
    """What is known of background calls, a line for each lane of a model."""
    return [Text(_background(circuit, proof, state)) for circuit, proof in sorted(state.proofs.by_circuit.items())]


def _background(circuit: str, proof: BackgroundProof, state: QuotaReading) -> str:
    line = f"background calls of {circuit}: {proof.state}"
    if proof.since is not None:
        line += f" for {age(proof.since, state.now)}"
    if proof.state == "proven" and proof.usual is not None:
        line += f", usually {proof.usual.total_seconds():.0f} s"
    if proof.state == "refused":
        again = f"; the next canary comes {moment(proof.probe_at)}" if proof.probe_at is not None else ""
        line += f" ({proof.why}){again}; sooner by `renderlane flags reset background:{circuit} --reason TEXT`"
    if proof.has_canary(state.now):
        line += f"; request {proof.canary} is the canary"
    return line


def document(model: ModelQuotaUse, state: QuotaReading, account: Account = UNKNOWN_ACCOUNT) -> dict[str, Any]:
    """One model for a program: a dimension that is not there is unknown. The account is the same on each line."""
    live = state.live
    return {
        "model": model.model,
        "limits": {dimension: _limit(model, dimension) for dimension in DIMENSIONS if dimension in model.limits},
        "used": dict(model.used),
        "project_used": model.project_used,
        "background": _proofs(model, state),
        "closed_until": model.closed_until,
        "closed_why": model.closed_why or None,
        "live_read_at": live.read_at if live else None,
        "live_tried_at": live.tried_at if live else None,
        "live_problem": live.problem.to_json() if live and live.problem else None,
        "usage_read_at": live.usage_read_at if live else None,
        "account": account_cap.summary(account, state.spend, state.now),
        "usage_problem": live.usage_problem.to_json() if live and live.usage_problem else None,
    }


def _proofs(model: ModelQuotaUse, state: QuotaReading) -> dict[str, Any]:
    """By lane; one that is not there was never tried."""
    by_circuit = state.proofs.by_circuit.items()
    circuits = [(circuit.partition("/"), proof) for circuit, proof in by_circuit]
    return {lane: shown(proof) for (lane, _, of), proof in circuits if of == model.model}


def _limit(model: ModelQuotaUse, dimension: str) -> dict[str, Any]:
    limit = model.limits[dimension]
    return {"value": limit.value, "unlimited": limit.value is None, "source": limit.source, "at": limit.at}
