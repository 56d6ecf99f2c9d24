"""The checks that a program can make, each under its owner. Pure: facts in, findings out."""

from __future__ import annotations

from datetime import timedelta

from scripts.doctor import quota
from scripts.doctor.facts import MOST_LEFT, MOST_TENANTS, Facts, StoreFacts
from scripts.doctor.finding import CheckResult, fails, passes, unknown
from scripts.doctor.quota import START, Load, closed
from shared.core.catalogue.catalogue import Catalogue
from shared.core.observability import display
from shared.core.observability.display import count
from shared.core.records.tenant import TenantRecord
from shared.core.routing import gateway
from shared.core.routing.flag import BREAKER
from shared.core.routing.flag_board import MOST_FLAGS
from shared.core.values.lanes import FLEX

WEBHOOKS_LATE = timedelta(minutes=10)
"""By so much the newest webhook may be older than the end of the newest background call."""
PRICES_KEEP = timedelta(days=60)
NO_TENANT = TenantRecord()
NAMED = 5
"""Tenants that a line names."""


def examine(facts: Facts, load: Load) -> list[CheckResult]:
    return [
        *_model(facts), *_price(facts), *_credential(facts), *quota.examine(facts, load), *_cost(facts), *_data(facts),
        *_fallback(facts), *_rollback(facts),
    ]  # fmt: skip


def _model(facts: Facts) -> list[CheckResult]:
    catalogue = facts.catalogue
    old = {purpose: name for purpose, name in catalogue.purposes.items() if catalogue.find(name).status != "live"}
    falling = [name for name in catalogue.ladder if catalogue.models[name].status == "deprecated"]
    served = ", ".join(f"{purpose} = {catalogue.live(name).id}" for purpose, name in catalogue.purposes.items())
    default, best = catalogue.live(catalogue.purposes["default"]).id, catalogue.ladder[0]
    findings = [
        fails("model", "models", f"deprecated: {', '.join(falling)}", "Move to the successor: shared/catalogue.toml.")
        if falling
        else passes("model", "models", served + (f" (retired: {', '.join(old.values())})" if old else ""))
    ]
    if default == best:
        remedy = "Let [purposes] default name a cheaper model, and `final` the dearest."
        return [
            *findings,
            fails("model", "pro-is-no-default", f"{default} is the default, and the dearest model", remedy),
        ]
    return [*findings, passes("model", "pro-is-no-default", f"the default is {default}")]


def _price(facts: Facts) -> list[CheckResult]:
    catalogue, today = facts.catalogue, facts.now.date()
    old = sorted(
        f"{name} {lane} ({rates.checked})"
        for name, model in catalogue.models.items()
        for lane, rates in model.lanes.items()
        if name in catalogue.ladder and today - rates.checked > PRICES_KEEP
    )
    old += [f"{name} ({row.checked})" for name, row in catalogue.gateways.items() if today - row.checked > PRICES_KEEP]
    if old:
        remedy = "Compare them with the provider's price page, and set `checked` in shared/catalogue.toml."
        return [fails("price", "catalogue-age", f"not checked for {PRICES_KEEP.days} days: {'; '.join(old)}", remedy)]
    return [passes("price", "catalogue-age", f"the oldest price was checked on {catalogue.oldest_price}")]


def _credential(facts: Facts) -> list[CheckResult]:
    match facts.key:
        case "auth":
            kind = passes("credential", "key-kind", "an auth key")
        case "standard":
            remedy = "Create an auth key in AI Studio and set GEMINI_API_KEY."
            kind = fails("credential", "key-kind", "a standard key, rejected by Google since September 2026", remedy)
        case "none" if facts.settings.only_vertex:
            kind = passes("credential", "key-kind", "application default credentials (Vertex alone); no key is needed")
        case "none":
            kind = unknown(
                "credential", "key-kind", "no GEMINI_API_KEY is set here", "Run doctor where the key is set."
            )
        case _:
            kind = unknown("credential", "key-kind", "a key of unknown form", "See to it in AI Studio.")
    return [kind, _key_works(facts), _permissions(facts), *_webhooks(facts)]


def _webhooks(facts: Facts) -> list[CheckResult]:
    """Whether the provider can tell that an interaction has ended, and does. Without, interactions are polled."""
    settings = facts.settings
    ways = [
        *([f"dynamic, to {settings.webhook_url}"] if settings.webhook_url else []),
        *(["static, by RENDERLANE_WEBHOOK_SECRET"] if settings.webhook_secret else []),
    ]
    if not ways:
        return [passes("credential", "webhooks", "none are set up here: interactions are found by polling")]
    configured = [passes("credential", "webhooks", "; ".join(ways)), *_registered(facts)]
    if isinstance(facts.in_store, str):
        return [*configured, unknown("credential", "webhooks-arrive", facts.in_store, START)]
    ended = [end.finished_at for end in facts.in_store.ended if end.way != "foreground"]
    newest = facts.in_store.webhook_at
    if not ended:
        remedy = "Let one background call end; see docs/webhooks.md."
        return [*configured, unknown("credential", "webhooks-arrive", "no background call has ended yet", remedy)]
    if newest is None or newest < max(ended) - WEBHOOKS_LATE:
        when = f"the last came at {newest:%Y-%m-%d %H:%M} UTC" if newest else "none has come in the last 25 hours"
        remedy = "Look for events webhook_refused; is the address public, and is a static webhook registered?"
        late = fails("credential", "webhooks-arrive", f"{when}, and background calls ended since", remedy)
        return [*configured, late]
    return [*configured, passes("credential", "webhooks-arrive", f"the last came at {newest:%Y-%m-%d %H:%M} UTC")]


def _registered(facts: Facts) -> list[CheckResult]:
    """Whether the provider has the static webhook whose secret is here; and whether the secret of one is missing."""
    settings, hooks = facts.settings, facts.registered
    if hooks is None:
        return []
    check, register = ("credential", "webhook-registered"), "Register it: docs/webhooks.md, and store its secret."
    if isinstance(hooks, str):
        return [unknown(*check, hooks, "Run doctor where the provider can be reached with the key.")]
    here = [one for one in hooks if settings.webhook_url in (None, one.uri)]
    if not settings.webhook_secret:
        if not here:
            return [passes(*check, "none is needed: each background call names its address")]
        what = f"{here[0].uri} is registered, and RENDERLANE_WEBHOOK_SECRET is not set: its webhooks are refused"
        return [fails(*check, what, "Set the secret that its registration showed, or remove it there.")]
    working = [one for one in hooks if one.state == "enabled"]
    if not working:
        left = "; ".join(one.words for one in hooks) or "none is registered"
        return [fails(*check, f"no webhook of this project is enabled: {left}", register)]
    if all(one.missing for one in working):
        remedy = "Subscribe it to them: PATCH /v1/webhooks/ID with subscribed_events."
        return [fails(*check, "; ".join(one.words for one in working), remedy)]
    return [passes(*check, "; ".join(one.words for one in working))]


def _key_works(facts: Facts) -> CheckResult:
    call = "Let one draft go through: renderlane submit 'a red cube' --purpose draft --wait"
    if isinstance(facts.in_store, str):
        return unknown("credential", "key-works", facts.in_store, START)
    models = closed(facts.in_store, "credential")
    if models:
        return fails("credential", "key-works", f"rejected for {models}", "Create or migrate the key in AI Studio.")
    ended = [end.finished_at for end in facts.in_store.ended if end.status == "succeeded"]
    if not ended:
        return unknown("credential", "key-works", "no request has succeeded yet", call)
    if facts.simulated:
        return unknown("credential", "key-works", "the images come from the simulator", "Set GEMINI_API_KEY.")
    return passes("credential", "key-works", f"a request succeeded at {max(ended):%Y-%m-%d %H:%M} UTC")


def _permissions(facts: Facts) -> CheckResult:
    if facts.topics is not None:
        remedy = "Give the account roles/pubsub.publisher on the topics, and make them (terraform)."
        return fails("credential", "permissions", f"nothing can be published: {facts.topics}", remedy)
    if isinstance(facts.in_store, str):
        return unknown("credential", "permissions", facts.in_store, START)
    models = closed(facts.in_store, "permission")
    if models:
        remedy = "Give the project and the key the right to call this model."
        return fails("credential", "permissions", f"refused for {models}", remedy)
    return passes("credential", "permissions", "the store answers, the topics take messages, no model is refused")


def _cost(facts: Facts) -> list[CheckResult]:
    if isinstance(facts.in_store, str):
        return [unknown("cost", item, facts.in_store, START) for item in ("costs-known", "budgets")]
    ended = facts.in_store.ended
    open_bills = [end for end in ended if end.cost_unknown_attempts]
    attempts = sum(open_bill.cost_unknown_attempts for open_bill in open_bills)
    latest = f"the last {count(len(ended), 'request')} that ended after a call"
    if not ended:
        finding = unknown("cost", "costs-known", "no request has ended yet", "Let one draft go through.")
    elif len(open_bills) * 20 > len(ended):
        what = f"{len(open_bills):,} of {latest} have {count(attempts, 'attempt')} of unknown cost"
        finding = fails(
            "cost", "costs-known", what, "Look at them with `renderlane packet`, and at the provider's bill."
        )
    else:
        finding = passes("cost", "costs-known", f"the cost of {len(ended) - len(open_bills):,} of {latest}")
    return [finding, _budgets(facts, facts.in_store)]


def _budgets(facts: Facts, state: StoreFacts) -> CheckResult:
    """Of the tenants that are written down, and of those of the newest requests and the latest ends."""
    active = {request.tenant for request in state.recent} | {end.tenant for end in state.ended}
    tenants = sorted(active | set(state.tenants))
    without = [tenant for tenant in tenants if state.tenants.get(tenant, NO_TENANT).budget is None]
    more = " or more" if len(state.tenants) >= MOST_TENANTS else ""
    all_of_them = f"{len(tenants):,}{more} tenant{'' if len(tenants) == 1 else 's'}"
    default = facts.settings.default_budget_micros
    if not tenants:
        return unknown("cost", "budgets", "no tenant is known yet", "Let one draft go through.")
    if default is not None:
        own, limit = len(tenants) - len(without), display.money(default)
        what = f"{all_of_them}: {own:,} with their own budget, {len(without):,} with the default of {limit}"
        return passes("cost", "budgets", what)
    if without:
        remedy = "Set one for each tenant: renderlane budget TENANT --limit USD --period day."
        others = f" and {len(without) - NAMED:,} more" if len(without) > NAMED else ""
        what = f"{len(without):,} of {all_of_them} without a budget: {', '.join(without[:NAMED])}{others}"
        return unknown("cost", "budgets", what, remedy)
    return passes("cost", "budgets", f"{all_of_them}, each with a budget")


def _data(facts: Facts) -> list[CheckResult]:
    where = facts.settings.images
    bucket = (
        passes("data", "bucket", f"{where} can be read")
        if facts.images is None
        else unknown("data", "bucket", f"{where} is made at the first start", START)
        if isinstance(facts.in_store, str) and facts.settings.one_machine
        else fails("data", "bucket", facts.images, "Make it, and give the account roles/storage.objectUser on it.")
    )
    machine = _machine(facts)
    places = ", ".join(facts.settings.references) or "none but the image store"
    references = passes("data", "references", f"reference images come from: {places}")
    if isinstance(facts.in_store, str):
        return [
            bucket,
            *machine,
            references,
            *(unknown("data", item, facts.in_store, START) for item in ("indexes", "retention")),
        ]
    slow, late = facts.in_store.slow, facts.in_store.outlived
    indexes = (
        fails("data", "indexes", "; ".join(slow), "Make the indexes (terraform), and wait until they are built.")
        if slow
        else passes("data", "indexes", "every query is answered")
    )
    retention = (
        fails("data", "retention", f"kept beyond their time: {', '.join(late)}", "Let `watch` run; set the TTL policy.")
        if late
        else passes("data", "retention", "nothing is kept beyond its time")
    )
    return [bucket, *machine, references, _kept_by_provider(facts, facts.in_store), indexes, retention]


def _kept_by_provider(facts: Facts, state: StoreFacts) -> CheckResult:
    """Prompts and images of background calls rest with the provider until they are deleted there."""
    if facts.settings.background == "off":
        return passes("data", "kept-by-provider", "nothing: no call runs in the background")
    left = state.left_with_provider
    if left:
        requests = f"{left:,} or more requests" if left >= MOST_LEFT else count(left, "request")
        what = f"interactions of {requests} are still to be deleted at the provider"
        return unknown("data", "kept-by-provider", what, "`watch` deletes them; look again in a few minutes.")
    what = "prompt, references and image of a background call, until it is collected; then they are deleted"
    return passes("data", "kept-by-provider", what)


def _machine(facts: Facts) -> list[CheckResult]:
    """File descriptors, memory and disk of this machine, where the work is done on it."""
    if facts.limits is None:
        return []
    if facts.limits:
        return [fails("data", "machine", "; ".join(facts.limits), "Give it more, or lower RENDERLANE_CAPACITY.")]
    return [passes("data", "machine", f"descriptors, memory and disk carry a capacity of {facts.settings.capacity}")]


def _fallback(facts: Facts) -> list[CheckResult]:
    catalogue = facts.catalogue
    stuck = [item for item in ("default", "final") if not _steps_down(catalogue, item)]
    steps = (
        fails("fallback", "steps-down", f"no cheaper size, model or lane for: {', '.join(stuck)}", "Widen [ladder].")
        if stuck
        else passes(
            "fallback", "steps-down", f"{len(catalogue.ladder)} models on the ladder; what is no draft has a step"
        )
    )
    return [steps, _gateway_proof(facts)]


def _gateway_proof(facts: Facts) -> CheckResult:
    """A gateway of which nothing is recorded is off, and nobody counts on it."""
    configured = facts.catalogue.gateways
    if isinstance(facts.in_store, str) and configured:
        return unknown("fallback", "gateway-proof", facts.in_store, START)
    proofs = {} if isinstance(facts.in_store, str) else facts.in_store.proofs
    lacking = [
        off
        for name, proof in proofs.items()
        if (off := proof.off(name, gateway.fingerprint(configured[name]), facts.now, configured[name].fresh_for))
        is not None
    ]
    if lacking:
        remedy = "Complete it: `renderlane gateway record NAME ITEM`, `renderlane gateway prove NAME`."
        return fails("fallback", "gateway-proof", "; ".join(lacking), remedy)
    texts = [f"{name}: {'proved' if name in proofs else 'off, nothing is recorded'}" for name in configured]
    return passes("fallback", "gateway-proof", "; ".join(texts) or "no gateway is configured")


def _steps_down(catalogue: Catalogue, purpose: str) -> bool:
    model = catalogue.live(catalogue.purposes[purpose])
    below = catalogue.ladder.index(model.id) + 1 < len(catalogue.ladder)
    return below or len(model.sizes) > 1 or FLEX in model.lanes


def _rollback(facts: Facts) -> list[CheckResult]:
    if isinstance(facts.in_store, str):
        return [unknown("rollback", item, facts.in_store, START) for item in ("flags-left-tripped", "flag-ready")]
    in_force = facts.in_store.board.in_force(facts.in_store.read_at)
    left = [flag for flag in in_force if not flag.shadow and flag.actor != BREAKER]
    broken = [flag for flag in in_force if flag.actor == BREAKER]
    texts = [f"{flag.id} by {flag.actor}: {flag.reason}" for flag in left]
    texts += [f"{flag.circuit} is out by its breaker" for flag in broken]
    flags = (
        fails("rollback", "flags-left-tripped", "; ".join(texts), "Reset what is no longer needed: `renderlane flags`.")
        if texts
        else passes("rollback", "flags-left-tripped", "none")
    )
    room, ladder = MOST_FLAGS - len(facts.in_store.board.flags), facts.catalogue.ladder
    ready = (
        passes("rollback", "flag-ready", f"`pause`, or `use-nano-banana-2`; the cheapest model is {ladder[-1]}")
        if room > 0 and len(ladder) > 1
        else fails("rollback", "flag-ready", "no room for a flag, or no cheaper model", "Reset flags; widen [ladder].")
    )
    return [flags, ready]
