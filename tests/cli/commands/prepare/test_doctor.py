"""`renderlane doctor`: eight owners, and each item passes, fails or is unknown, with its remedy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scripts.doctor import checks, owners
from scripts.doctor.facts import Facts, StoreFacts, gather
from scripts.doctor.finding import CheckResult
from scripts.doctor.owners import BY_HAND, Owner
from scripts.doctor.registered import WANTED, RegisteredWebhook
from scripts.simulator.api.server import served
from scripts.simulator.engine.simulation import Simulation
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.catalogue.gateway_proof import ITEMS, GatewayProof, ProofEvidence
from shared.core.catalogue.toml_errors import BrokenCatalogue
from shared.core.lifecycle import request_record
from shared.core.limits.effective import EffectiveLimit
from shared.core.limits.live_quota import LiveLimits, LiveQuota
from shared.core.records.request import CalledRow
from shared.core.routing.flag import Flag
from shared.core.routing.flag_board import Board
from shared.core.routing.gateway import fingerprint
from shared.core.values.documents import Create
from shared.flows.operations import flags, tenants
from tests.builders import NOW, a_record, a_request
from tests.cli.conftest import renderlane
from tests.fakes.memory import RecordedSignals

TODAY = date(2026, 11, 22)
OWNERS = Path("shared/owners.toml").read_text("utf-8")
SEED = ("model", "price", "credential", "quota", "cost", "data", "fallback", "rollback")


async def at_home(tmp_path: Path, **given: str) -> Facts:
    """A home whose store has been opened once, and nothing more."""
    settings = Settings.read({"RENDERLANE_HOME": "home", "GEMINI_API_KEY": "AQ.test"} | given, tmp_path)
    (tmp_path / "home" / "images").mkdir(parents=True, exist_ok=True)
    store = wiring.store(settings, SystemClock())
    await store.get("flags/board")
    await store.close()
    return await gather(settings)


def one(facts: Facts, check: str, load: dict[str, int] | None = None) -> CheckResult:
    (finding,) = (finding for finding in checks.examine(facts, load or {}) if finding.check == check)
    return finding


def an_end(**changes: Any) -> CalledRow:
    return replace(CalledRow(status="succeeded", tenant="web", finished_at=NOW, attempt_count=1), **changes)


def with_store_facts(facts: Facts, **changes: Any) -> Facts:
    assert isinstance(facts.in_store, StoreFacts)
    return replace(facts, in_store=replace(facts.in_store, **changes))


def test_the_shipped_file_names_the_eight_owners_of_the_checklist_and_leaves_them_unknown() -> None:
    named = owners.read_owners(OWNERS)
    assert tuple(named) == SEED
    findings = owners.examine(named, TODAY, "shared/owners.toml")
    assert {finding.verdict for finding in findings} == {"unknown"}
    assert all(finding.remedy for finding in findings)
    assert {(finding.owner, finding.check) for finding in findings} == {
        (owner, item) for owner, items in BY_HAND.items() for item in ("owner", *items)
    }


@pytest.mark.parametrize(("days_ago", "verdict"), [(0, "pass"), (90, "pass"), (91, "unknown"), (-1, "unknown")])
def test_what_an_owner_saw_to_counts_for_ninety_days(days_ago: int, verdict: str) -> None:
    owners_ = {"quota": Owner("limits", "Ada", {"tier": TODAY - timedelta(days=days_ago)})}
    findings = owners.examine(owners_, TODAY, "owners.toml")
    assert [(finding.check, finding.verdict) for finding in findings] == [("owner", "pass"), ("tier", verdict)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWNERS.replace("[model.checked]", "[model.checked]\ntaste = 2026-11-22"), "model.checked.taste: found an"),
        (OWNERS.replace("[model.checked]", "[model.checked]\nquality-bar = 7"), "quality-bar: found 7; allowed: a day"),
        ("", "model: found nothing; allowed: a table"),
    ],
)
def test_a_wrong_file_is_refused_with_what_was_found_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(BrokenCatalogue, match=message):
        owners.read_owners(text)


async def test_every_owner_has_checks_and_whatever_does_not_pass_has_a_remedy(tmp_path: Path) -> None:
    findings = checks.examine(await at_home(tmp_path), {})
    assert {finding.owner for finding in findings} == set(SEED)
    assert all(bool(finding.remedy) == (finding.verdict != "pass") for finding in findings)
    keys = [(finding.owner, finding.check) for finding in findings]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("key", "verdict"), [("AQ.test", "pass"), ("AIzaOld", "fail"), ("", "unknown")])
async def test_an_auth_key_passes_and_a_standard_key_fails(key: str, verdict: str, tmp_path: Path) -> None:
    finding = one(await at_home(tmp_path, GEMINI_API_KEY=key), "key-kind")
    assert finding.verdict == verdict
    assert "AIzaOld" not in finding.found


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(500, "pass"), (450, "pass"), (449, "fail"), (None, "pass"), ("unknown", "unknown")],
)
async def test_the_planned_load_is_held_against_the_limit_in_force(limit: Any, verdict: str, tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    assert isinstance(facts.in_store, StoreFacts)
    model = facts.in_store.models[1]
    limits = {} if limit == "unknown" else {"rpm": EffectiveLimit(limit, "live", NOW)}
    facts = with_store_facts(facts, models=[replace(model, limits=limits)])
    assert one(facts, "planned-load", {model.model: 450}).verdict == verdict
    assert one(facts, "planned-load").verdict == "unknown"


@pytest.mark.parametrize(("minutes", "verdict"), [(1, "pass"), (11, "fail")])
async def test_live_limits_must_be_fresh(minutes: int, verdict: str, tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    assert isinstance(facts.in_store, StoreFacts)
    read_at = facts.in_store.read_at - timedelta(minutes=minutes)
    facts = with_store_facts(facts, live=LiveQuota(tried_at=read_at).with_limits({}, read_at))
    assert one(facts, "live-limits").verdict == verdict


async def test_a_model_without_balance_fails_the_billing_project(tmp_path: Path) -> None:
    facts = await at_home(tmp_path, GOOGLE_CLOUD_PROJECT="renders")
    assert one(facts, "billing-project").verdict == "pass"
    assert isinstance(facts.in_store, StoreFacts)
    later = facts.in_store.read_at + timedelta(minutes=5)
    shut = replace(facts.in_store.models[0], closed_until=later, closed_why="balance")
    assert one(with_store_facts(facts, models=[shut]), "billing-project").verdict == "fail"
    shut = replace(shut, closed_why="credential")
    assert one(with_store_facts(facts, models=[shut]), "key-works").verdict == "fail"


async def test_flags_left_tripped_fail_until_they_are_reset(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    assert one(facts, "flags-left-tripped").verdict == "pass"
    assert isinstance(facts.in_store, StoreFacts)
    now = facts.in_store.read_at
    left = Flag("pause-1234", "pause", "ada", "a fire", now, now + timedelta(hours=1))
    finding = one(with_store_facts(facts, board=Board({left.id: left})), "flags-left-tripped")
    assert (finding.verdict, "pause-1234 by ada: a fire" in finding.found) == ("fail", True)
    shadow = replace(left, shadow=True)
    assert one(with_store_facts(facts, board=Board({left.id: shadow})), "flags-left-tripped").verdict == "pass"


async def test_prices_that_nobody_checked_for_sixty_days_fail(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    oldest = facts.catalogue.oldest_price
    fresh = replace(facts, now=facts.now.replace(year=oldest.year, month=oldest.month, day=oldest.day))
    assert one(fresh, "catalogue-age").verdict == "pass"
    assert one(replace(fresh, now=fresh.now + timedelta(days=61)), "catalogue-age").verdict == "fail"


async def test_a_default_that_has_nothing_below_it_fails(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    assert one(facts, "steps-down").verdict == "pass"
    lite = facts.catalogue.ladder[-1]
    alone = replace(facts.catalogue, ladder=(lite,), purposes=dict.fromkeys(facts.catalogue.purposes, lite))
    assert one(replace(facts, catalogue=alone), "steps-down").verdict == "fail"
    assert one(replace(facts, catalogue=alone), "pro-is-no-default").verdict == "fail"


async def test_a_gateway_whose_proof_was_begun_and_is_not_complete_fails(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    name, row = next(iter(facts.catalogue.gateways.items()))
    assert one(facts, "gateway-proof").verdict == "pass"
    about = fingerprint(row)
    items = {item: ProofEvidence("seen in the console", "ada", facts.now, about, {"passed": True}) for item in ITEMS}
    assert one(with_store_facts(facts, proofs={name: GatewayProof(items)}), "gateway-proof").verdict == "pass"
    begun = {item: items[item] for item in list(items)[:3]}
    assert one(with_store_facts(facts, proofs={name: GatewayProof(begun)}), "gateway-proof").verdict == "fail"
    old = replace(facts, now=facts.now + timedelta(days=400))
    assert one(with_store_facts(old, proofs={name: GatewayProof(items)}), "gateway-proof").verdict == "fail"


async def test_unknown_costs_fail_and_known_ones_pass(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    ended = an_end()
    bad = an_end(cost_unknown_attempts=1)
    assert one(with_store_facts(facts, ended=[ended] * 20 + [bad]), "costs-known").verdict == "pass"
    assert one(with_store_facts(facts, ended=[ended] * 5 + [bad]), "costs-known").verdict == "fail"


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda facts: replace(facts, images="no such bucket"), "bucket"),
        (lambda facts: replace(facts, limits=["capacity 20 instead of 200"]), "machine"),
        (lambda facts: replace(facts, topics="denied"), "permissions"),
        (lambda facts: with_store_facts(facts, slow=["requests by status: missing index"]), "indexes"),
        (lambda facts: with_store_facts(facts, outlived=["requests"]), "retention"),
        (lambda facts: with_store_facts(facts, asked_at=facts.in_store.asked_at - timedelta(seconds=9)), "clock"),
    ],
)
async def test_each_platform_check_passes_here_and_fails_on_its_own_fault(
    change: Callable[[Facts], Facts], check: str, tmp_path: Path
) -> None:
    facts = await at_home(tmp_path)
    assert one(facts, check).verdict == "pass"
    assert one(change(facts), check).verdict == "fail"


async def test_every_index_of_the_product_is_asked_for_on_the_real_store(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    assert isinstance(facts.in_store, StoreFacts)
    assert facts.in_store.slow == []


@pytest.mark.usefixtures("home")
def test_a_home_that_was_never_started_is_unknown_and_neither_fails_nor_is_ready() -> None:
    result = renderlane("doctor", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ready"], report["fail"]) == (0, False, 0)
    assert "never started" in result.stdout
    assert renderlane("doctor", "--strict").exit_code == 1


@pytest.mark.usefixtures("in_running_home")
def test_on_a_running_home_it_says_what_it_found_and_a_failure_is_the_exit_code(running_home: Path) -> None:
    assert "planned-load" in renderlane("doctor", "--load", "450").stdout
    asyncio.run(_pause(running_home, tripped=True))
    result = renderlane("doctor", "--json")
    asyncio.run(_pause(running_home, tripped=False))
    assert (result.exit_code, json.loads(result.stdout)["ready"]) == (1, False)
    assert "pause-1234" in result.stdout


async def _pause(home: Path, *, tripped: bool) -> None:
    store = wiring.store(Settings.read({"RENDERLANE_HOME": str(home)}, Path.cwd()), SystemClock())
    now = (await store.get("flags/board")).read_at
    if tripped:
        left = Flag("pause-1234", "pause", "ada", "a fire", now, now + timedelta(hours=1))
        await flags.trip(store, RecordedSignals(), left)
    else:
        await flags.reset(store, RecordedSignals(), "pause-1234", "ada", "over")
    await store.close()


@pytest.mark.parametrize("load", ["many", "0", "no-such-model=5", "9" * 5_000])
@pytest.mark.usefixtures("home")
def test_a_load_that_cannot_be_is_refused(load: str) -> None:
    result = renderlane("doctor", "--load", load)
    assert (result.exit_code, "--load: found" in result.stderr) == (2, True)


WEBHOOK = {"RENDERLANE_WEBHOOK_URL": "https://worker.example/arrive"}


async def test_without_webhooks_polling_is_what_is_told(tmp_path: Path) -> None:
    finding = one(await at_home(tmp_path), "webhooks")
    assert (finding.verdict, "polling" in finding.found) == ("pass", True)


@pytest.mark.parametrize(
    ("minutes_after_the_call", "verdict"), [(None, "fail"), (-11, "fail"), (-9, "pass"), (0, "pass")]
)
async def test_webhooks_must_arrive_where_background_calls_end(
    tmp_path: Path, minutes_after_the_call: int | None, verdict: str
) -> None:
    facts = await at_home(tmp_path, **WEBHOOK)
    assert one(facts, "webhooks-arrive").verdict == "unknown", "no background call has ended yet"
    foreground = an_end(way="foreground")
    assert one(with_store_facts(facts, ended=[foreground]), "webhooks-arrive").verdict == "unknown", (
        "its call needed no webhook"
    )
    ended = an_end(way="background")
    at = None if minutes_after_the_call is None else NOW + timedelta(minutes=minutes_after_the_call)
    finding = one(with_store_facts(facts, ended=[ended, foreground], webhook_at=at), "webhooks-arrive")
    assert finding.verdict == verdict
    assert "https://worker.example/arrive" in one(facts, "webhooks").found


SECRET = {"RENDERLANE_WEBHOOK_SECRET": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
ELSEWHERE = RegisteredWebhook("https://other.example/", "enabled", WANTED)
OURS = replace(ELSEWHERE, uri=WEBHOOK["RENDERLANE_WEBHOOK_URL"])
STOPPED = replace(OURS, state="disabled_due_to_failed_deliveries")


@pytest.mark.parametrize(
    ("given", "hooks", "verdict", "words"),
    [
        (WEBHOOK, (), "pass", "none is needed"),
        (WEBHOOK, (ELSEWHERE,), "pass", "none is needed"),
        (WEBHOOK, (OURS,), "fail", "RENDERLANE_WEBHOOK_SECRET is not set"),
        (SECRET, (), "fail", "none is registered"),
        (SECRET, (STOPPED,), "fail", "disabled_due_to_failed_deliveries"),
        (SECRET, (STOPPED, ELSEWHERE), "pass", "https://other.example/ enabled"),
        (SECRET, (replace(OURS, events=WANTED[1:]),), "fail", "without interaction.completed"),
        (SECRET, "GET /v1/webhooks answered 403", "unknown", "403"),
    ],
)
async def test_a_static_webhook_is_registered_where_its_secret_is_set(
    tmp_path: Path, given: dict[str, str], hooks: Any, verdict: str, words: str
) -> None:
    facts = replace(await at_home(tmp_path, **given, GEMINI_API_KEY=""), registered=hooks)
    finding = one(facts, "webhook-registered")
    assert (finding.verdict, words in finding.found) == (verdict, True), finding
    assert finding.verdict == "pass" or finding.remedy


async def test_the_provider_is_asked_for_its_webhooks_where_any_are_set_up(tmp_path: Path) -> None:
    simulation = Simulation(pictures="cached")
    simulation.webhooks.register("ours", OURS.uri, WANTED)
    async with served(simulation) as url:
        facts = await at_home(tmp_path, GOOGLE_GEMINI_BASE_URL=url, **WEBHOOK, **SECRET)
        assert facts.registered == (OURS,)
        assert one(facts, "webhook-registered").verdict == "pass"
        assert (await at_home(tmp_path, GOOGLE_GEMINI_BASE_URL=url)).registered is None
    away = await at_home(tmp_path, GOOGLE_GEMINI_BASE_URL=url, **SECRET)
    assert away.registered == "GET /v1/webhooks answered nothing"


async def test_what_rests_with_the_provider_is_told(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    assert "until it is collected" in one(facts, "kept-by-provider").found
    assert one(with_store_facts(facts, left_with_provider=3), "kept-by-provider").verdict == "unknown"
    off = await at_home(tmp_path, RENDERLANE_BACKGROUND="off")
    assert "nothing" in one(off, "kept-by-provider").found


async def planted(tmp_path: Path, *, ended: int, unknown: int, queued: int, **given: str) -> Facts:
    """A store with so many requests that ended an hour ago, the first of them with two attempts of unknown cost each,
    and a newer backlog; of seven tenants two have a budget.
    """
    facts = await at_home(tmp_path, **given)
    store = wiring.store(facts.settings, SystemClock())
    now = (await store.get("flags/board")).read_at
    writes = [
        _planted(f"end-{number}", number, now - timedelta(hours=1), attempt_count=2, status="succeeded",
                 finished_at=now - timedelta(minutes=30, seconds=number), cost_unknown_attempts=2 * (number < unknown))
        for number in range(ended)
    ]  # fmt: skip
    writes += [_planted(f"queued-{number}", number, now) for number in range(queued)]
    writes += [_planted("uncalled", 0, now, status="cancelled", finished_at=now)]
    for first in range(0, len(writes), 200):
        await store.commit(*writes[first : first + 200])
    for tenant in ("t-0", "t-1"):
        await tenants.set_budget(store, tenant, limit_micros=1_000_000)
    await store.close()
    return await gather(facts.settings)


def _planted(request_id: str, number: int, at: datetime, **changes: Any) -> Create:
    request = a_request(request_id=request_id, tenant=f"t-{number % 7}")
    return Create(request_record.path(f"t-{number % 7}~{request_id}"), a_record(request, now=at, **changes))


@pytest.mark.parametrize(
    ("ended", "unknown", "verdict", "text"),
    [
        (60, 2, "pass", "the cost of 58 of the last 60 requests that ended after a call"),
        (60, 4, "fail", "4 of the last 60 requests that ended after a call have 8 attempts of unknown cost"),
        (130, 2, "pass", "the cost of 98 of the last 100 requests that ended after a call"),
        (1, 0, "pass", "the cost of 1 of the last 1 request that ended after a call"),
    ],
)
async def test_costs_are_counted_over_the_latest_ends_whatever_waits_in_front_of_them(
    ended: int, unknown: int, verdict: str, text: str, tmp_path: Path
) -> None:
    facts = await planted(tmp_path, ended=ended, unknown=unknown, queued=150)
    finding = one(facts, "costs-known")
    assert (finding.verdict, finding.found) == (verdict, text)
    assert one(facts, "key-works").found.startswith("a request succeeded at")


async def test_tenants_without_a_budget_are_counted_and_five_are_named(tmp_path: Path) -> None:
    facts = await planted(tmp_path, ended=20, unknown=0, queued=150)
    assert one(facts, "budgets").found == "5 of 7 tenants without a budget: t-2, t-3, t-4, t-5, t-6"
    facts = await planted(tmp_path / "other", ended=20, unknown=0, queued=10, RENDERLANE_DEFAULT_BUDGET="5")
    assert one(facts, "budgets").found == ("7 tenants: 2 with their own budget, 5 with the default of $5.00")


async def test_models_with_live_limits_are_counted_on_the_ladder_alone(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    assert isinstance(facts.in_store, StoreFacts)
    first, *others = facts.catalogue.ladder
    at = facts.in_store.read_at
    live = LiveQuota(tried_at=at).with_limits({first: LiveLimits({"rpm": 5}, at), "elsewhere": LiveLimits({}, at)}, at)
    finding = one(with_store_facts(facts, live=live), "live-limits")
    total = len(facts.catalogue.ladder)
    assert (
        finding.found
        == f"of 1 of the {total} models on the ladder, read 0 s ago; none are stated of {', '.join(others)}"
    )


async def test_a_count_that_was_cut_off_says_so(tmp_path: Path) -> None:
    facts = await at_home(tmp_path)
    assert "of 1 request are" in one(with_store_facts(facts, left_with_provider=1), "kept-by-provider").found
    assert "1,000 or more requests" in one(with_store_facts(facts, left_with_provider=1_000), "kept-by-provider").found
