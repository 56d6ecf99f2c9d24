"""The quota owner's checks: billing, live limits against the planned load, the clock. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from scripts.doctor.facts import Facts, StoreFacts
from scripts.doctor.finding import CheckResult, fails, passes, unknown
from shared.config import LiveQuotaOn
from shared.core.accounting import account_cap
from shared.core.values.money import usd

READING_KEEPS = timedelta(minutes=10)
CLOCK_MAY_BE_OFF = timedelta(seconds=2)
START = "Start it once: `renderlane up`, or the functions."

Load = Mapping[str, int]
"""Requests a minute that are planned, by model id."""


def examine(facts: Facts, load: Load) -> list[CheckResult]:
    return [
        _billing_project(facts), _monthly_cap(facts), _priority(facts), _live_limits(facts),
        *_planned_load(facts, load), _clock(facts),
    ]  # fmt: skip


def _billing_project(facts: Facts) -> CheckResult:
    remedy = "Link billing to the project, or top the account up."
    if not isinstance(facts.in_store, str):
        broke = closed(facts.in_store, "balance")
        zero = [
            model.model for model in facts.in_store.models if any(limit.value == 0 for limit in model.limits.values())
        ]
        if broke or zero:
            what = f"no balance for {broke}" if broke else f"a limit of 0 for {', '.join(zero)}"
            return fails("quota", "billing-project", what, remedy)
    if facts.project == "local":
        return unknown(
            "quota", "billing-project", "GOOGLE_CLOUD_PROJECT is not set", "Set it to the project that the key is of."
        )
    return passes("quota", "billing-project", f"{facts.project}; nothing was refused for want of a balance")


def _monthly_cap(facts: Facts) -> CheckResult:
    """Against the ledger of this worker; other projects of the account count too."""
    name, cap = "monthly-cap", facts.account.monthly_cap_micros
    if cap is None:
        remedy = "Set RENDERLANE_TIER (AI Studio shows it), or RENDERLANE_MONTHLY_CAP."
        return unknown("quota", name, "the billing account's tier and its monthly cap are not known here", remedy)
    if isinstance(facts.in_store, str):
        return unknown("quota", name, facts.in_store, START)
    account = account_cap.summary(facts.account, facts.in_store.spend, facts.in_store.read_at)
    if account["spent_micros"] is None:
        remedy = "Let `watch` run: it reads the ledger every five minutes."
        return unknown("quota", name, f"${usd(cap)[:-4]} a month; this month's spend is not read yet", remedy)
    gone = account["spent_micros"] + account["unknown_micros"]
    what = f"${usd(gone)[:-4]} of ${usd(cap)[:-4]} in {account['month']} ({account['percent']} %)"
    if account["unknown_micros"]:
        what += f", ${usd(account['unknown_micros'])[:-4]} of it held for attempts of unknown cost"
    if account["cap_reached_on"]:
        what += f"; at this rate it is reached on {account['cap_reached_on']}"
    if account["percent"] >= facts.account.warn_percent or account["cap_reached_on"]:
        return fails("quota", name, what, "Ask for a higher tier or cap, or lower the load: RUNBOOK, monthly-cap.")
    return passes("quota", name, what)


def _priority(facts: Facts) -> CheckResult:
    tier, name = facts.account.tier, "priority-tier"
    if tier is None:
        remedy = "Set RENDERLANE_TIER: on an account without Priority such calls answer 400."
        return unknown("quota", name, "whether the account has Priority is not known here", remedy)
    if tier.priority:
        return passes("quota", name, f"tier {tier.name} has Priority")
    return passes("quota", name, f"tier {tier.name} has no Priority: requests for it are refused, with the reason")


def _live_limits(facts: Facts) -> CheckResult:
    if isinstance(facts.in_store, str):
        return unknown("quota", "live-limits", facts.in_store, START)
    live = facts.in_store.live
    if not isinstance(facts.settings.live_quota, LiveQuotaOn) and live is None:
        remedy = "Set RENDERLANE_LIVE_QUOTA=limits, or limits,usage."
        return unknown("quota", "live-limits", "live limits are not read", remedy)
    if live is None or live.read_at is None:
        problem = live.problem if live else None
        remedy = problem.remedy if problem else "Let `watch` run: once a minute."
        return fails("quota", "live-limits", problem.message if problem else "they were never read", remedy)
    age = facts.in_store.read_at - live.read_at
    if age > READING_KEEPS:
        remedy = live.problem.remedy if live.problem else "Let `watch` run: once a minute."
        return fails("quota", "live-limits", f"last read {age.total_seconds() / 60:.0f} minutes ago", remedy)
    ladder = facts.catalogue.ladder
    without = [model for model in ladder if model not in live.by_model]
    read = f"read {age.total_seconds():.0f} s ago"
    what = f"of {len(ladder) - len(without)} of the {len(ladder)} models on the ladder, {read}"
    return passes("quota", "live-limits", what + (f"; none are stated of {', '.join(without)}" if without else ""))


def _planned_load(facts: Facts, load: Load) -> list[CheckResult]:
    if not load:
        remedy = "Name it: --load 450, or --load MODEL=450. `renderlane plan` says more."
        return [unknown("quota", "planned-load", "no planned load is named", remedy)]
    if isinstance(facts.in_store, str):
        return [unknown("quota", "planned-load", facts.in_store, START)]
    by_model = {model_quota.model: model_quota.limits for model_quota in facts.in_store.models}
    findings = []
    for model, wanted in load.items():
        limit = by_model.get(model, {}).get("rpm")
        day = by_model.get(model, {}).get("rpd")
        if limit is None:
            remedy = "Read the limits (RENDERLANE_LIVE_QUOTA), or name them (RENDERLANE_QUOTA)."
            findings.append(unknown("quota", "planned-load", f"{model}: no limit a minute is known", remedy))
        elif limit.value is not None and limit.value < wanted:
            remedy = "Request quota, lower the load, or let the rest wait: `renderlane plan` shows for how long."
            what = f"{model}: {wanted} a minute planned, {limit.value} allowed ({limit.source})"
            findings.append(fails("quota", "planned-load", what, remedy))
        else:
            allowed = "no limit" if limit.value is None else str(limit.value)
            lasts = f"; a day's {day.value} last {day.value / wanted:.0f} minutes" if day and day.value else ""
            findings.append(
                passes("quota", "planned-load", f"{model}: {wanted} a minute of {allowed} ({limit.source}){lasts}")
            )
    return findings


def _clock(facts: Facts) -> CheckResult:
    if isinstance(facts.in_store, str):
        return unknown("quota", "clock", facts.in_store, START)
    off = abs(facts.in_store.read_at - facts.in_store.asked_at)
    if off > CLOCK_MAY_BE_OFF:
        return fails("quota", "clock", f"{off.total_seconds():.1f} s off the store's", "Synchronise it (NTP).")
    return passes("quota", "clock", f"within {off.total_seconds():.1f} s of the store's")


def closed(store_facts: StoreFacts, why: str) -> str:
    """Models that start nothing for this reason now."""
    return ", ".join(
        model.model
        for model in store_facts.models
        if model.closed_why == why and model.closed_until is not None and model.closed_until > store_facts.read_at
    )
