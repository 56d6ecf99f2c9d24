"""On-call's verbs for flags, on a real store: what they change, show and refuse."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from scripts.cli.data import worker_home
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.core.admission.route_memory import Effect, Routing
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.core.routing.breaker import OVERRULED
from shared.core.routing.flag import Scope
from tests.cli.conftest import json_lines, renderlane
from tests.cli.stores import (
    GONE,
    NB21,
    PRO,
    UNTIL,
    a_breaker,
    a_flag,
    concluded,
    flags,
    probed,
    pump,
    queued,
    read,
    tripped,
    write,
)

WHY = ("--reason", "quota is short", "--actor", "ann")
FLEX = a_flag("use-flex", tenant="web")
BREAKER = a_breaker()
CIRCUIT = f"standard/{PRO}"


def trip(*arguments: str) -> dict[str, Any]:
    result = renderlane("flags", "trip", *arguments, *WHY, "--json")
    assert result.exit_code == 0, result.output
    payload: dict[str, Any] = json.loads(result.stdout)
    return payload


def kicks() -> list[Kick]:
    async def pull() -> list[bytes]:
        topics = wiring.topics(worker_home.read_settings(), SystemClock())
        await topics.ensure(SUBSCRIPTIONS)
        deliveries = await topics.pull("pump-kicks-pump", 100, timedelta(0))
        await topics.acknowledge("pump-kicks-pump", [delivery.handle for delivery in deliveries])
        await topics.close()
        return [delivery.data for delivery in deliveries]

    return [Kick.parse(item) for item in asyncio.run(pull())]


def test_a_flag_is_tripped_with_who_why_and_for_how_long_and_the_pump_is_woken(home: Path) -> None:
    write(home)
    result = renderlane("flags", "trip", "lower-resolution", "--to", "1K", "--tenant", "web", "--share", "20", *WHY)
    assert result.exit_code == 0, result.output
    (flag,) = tripped().flags.values()
    assert (flag.name, flag.to, flag.scope) == ("lower-resolution", "1K", Scope(tenant="web", share=20))
    assert (flag.actor, flag.reason, flag.shadow) == ("ann", "quota is short", False)
    assert flag.expires_at - flag.tripped_at == timedelta(hours=2)
    assert abs(flag.tripped_at - datetime.now(UTC)) < timedelta(minutes=1)
    stem, _, digits = flag.id.rpartition("-")
    assert (stem, len(digits), int(digits, 16) >= 0) == ("lower-resolution", 4, True)
    assert f"tripped {flag.id}: lower-resolution to 1K for tenant=web share=20, by ann" in result.stdout
    assert f"renderlane flags reset {flag.id}" in result.stderr
    assert kicks() == [Kick()]
    (event,) = json_lines((home / "events.jsonl").read_text("utf-8"))
    assert (event["message"], event["flag"], event["actor"]) == ("flag_changed", flag.id, "ann")


@pytest.mark.parametrize(
    ("text", "lasts"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("2h", timedelta(hours=2)), ("7d", timedelta(7))],
)
def test_a_duration_is_a_number_and_a_unit(home: Path, text: str, lasts: timedelta) -> None:
    write(home)
    trip("use-flex", "--for", text)
    (flag,) = tripped().flags.values()
    assert flag.expires_at - flag.tripped_at == lasts


@pytest.mark.parametrize("name", ["nano-banana-pro", PRO])
def test_a_model_may_be_named_by_its_alias(home: Path, name: str) -> None:
    write(home)
    assert trip("pause", "--model", name)["flag"]["scope"]["model"] == PRO


def test_a_retired_model_stands_for_its_successor(home: Path) -> None:
    write(home)
    assert trip("pause", "--model", "gemini-3-pro-image-preview")["flag"]["scope"]["model"] == PRO
    assert trip("pause", "--model", "nano-banana-2")["flag"]["scope"]["model"] == "gemini-3.1-flash-image", "deprecated"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lower-colour",), "lower-resolution"),
        (("lower-resolution",), "allowed with lower-resolution: --to 2K or 1K"),
        (("lower-resolution", "--to", "8K"), "2K"),
        (("use-flex", "--to", "2K"), "allowed with use-flex: no --to"),
        (("pause", "--model", "dall-e"), "nano-banana-pro"),
        (("pause", "--tenant", "no/such"), "letters, digits"),
        (("pause", "--purpose", "fun"), "draft"),
        (("pause", "--lane", "gateway"), "standard"),
        (("pause", "--share", "0"), "1<=x<=100"),
        (("pause", "--share", "101"), "1<=x<=100"),
        *((("pause", "--for", text), "at most 7 days") for text in ("8d", "0h", "2", "2 h", "-1h", "1w", "forever")),
        (("pause", "--actor", "breaker"), "which is reserved"),
        (("pause", "--actor", "a" * 65), "1 to 64 characters"),
        (("pause", "--reason", "  "), "found nothing"),
        (("pause", "--reason", "x" * 301), "1 to 300 characters"),
    ],
)
def test_a_wrong_value_is_told_what_is_allowed_and_trips_nothing(
    home: Path, arguments: tuple[str, ...], message: str
) -> None:
    write(home)
    given = {*arguments}
    why = [word for name, value in (WHY[:2], WHY[2:]) if name not in given for word in (name, value)]
    result = renderlane("flags", "trip", *arguments, *why)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert tripped().flags == {}
    assert read("flag_history") == []


@pytest.mark.parametrize(
    "arguments",
    [("trip", "pause"), ("reset", "use-flex-1a2b"), ("extend", "use-flex-1a2b", "--for", "1h")],
    ids=["trip", "reset", "extend"],
)
def test_without_a_reason_nothing_is_changed_and_a_terminal_is_asked_for_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    write(home, flags(FLEX))
    result = renderlane("flags", *arguments, "--actor", "ann")
    assert result.exit_code == 2
    assert "--reason: found nothing" in result.stderr
    assert tripped().flags == {FLEX.id: FLEX}
    monkeypatch.setattr("scripts.cli.data.steer.flag_options.at_terminal", lambda: True)
    assert renderlane("flags", *arguments, "--actor", "ann", stdin="because  I can\n").exit_code == 0
    (line,) = read("flag_history")
    assert line.data["reason"] == "because I can"


def test_who_is_logged_in_acts_unless_somebody_else_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home)
    monkeypatch.setenv("LOGNAME", "grace")
    assert renderlane("flags", "trip", "use-flex", "--reason", "r").exit_code == 0
    assert [flag.actor for flag in tripped().flags.values()] == ["grace"]


def test_a_trip_on_no_home_makes_none(home: Path) -> None:
    result = renderlane("flags", "trip", "pause", *WHY)
    assert result.exit_code == 2
    assert "RENDERLANE_HOME" in result.stderr
    assert not home.exists()


def three_queues(home: Path) -> None:
    """12 of web and 5 of app wait for Pro, of which web's first asked for its size exactly; 3 wait for a draft."""
    web = [queued(f"w-{n:02d}", purpose="final", image_size="4K", tenant="web") for n in range(11)]
    exact = queued("w-exact", purpose="final", image_size="4K", tenant="web", floor="exact")
    app = [queued(f"a-{n}", purpose="final", image_size="4K", tenant="app", priority="bulk") for n in range(5)]
    drafts = [queued(f"d-{n}", purpose="draft") for n in range(3)]
    write(home, *web, exact, *app, *drafts)


def test_a_trip_says_first_what_it_meets_and_how_the_next_heads_change(home: Path) -> None:
    three_queues(home)
    output = renderlane("flags", "trip", "use-nano-banana-2", *WHY).stdout
    assert "16 of the next 20 requests change (estimates: $1.9776 less)" in output
    assert f"16  standard {PRO} 4K -> standard {NB21} 4K" in output
    rows = [line.split() for line in output.splitlines() if "/" in line and not line.startswith("tripped")]
    assert rows[:2] == [[f"{PRO}/normal", "12", "12", "12", "11"], [f"{PRO}/bulk", "5", "5", "5", "5"]]


def test_a_preview_counts_what_is_in_scope_and_trips_nothing(home: Path) -> None:
    three_queues(home)
    before = {document.path: document.version for document in read("requests")}
    result = renderlane("flags", "trip", "pause", "--tenant", "app", "--preview", "--json")
    assert result.exit_code == 0, result.output
    result_ = json.loads(result.stdout)
    assert result_["flag"] is None
    (queue,) = result_["preview"]
    assert queue == {
        "queue": f"{PRO}/bulk", "waiting": 5, "looked_at": 5, "in_scope": 5, "changed": 5,
        "changes": {"waits, paused": 5}, "saved_usd": "0.000000",
    }  # fmt: skip
    assert tripped().flags == {}
    assert before == {document.path: document.version for document in read("requests")}
    assert "nothing was tripped" in renderlane("flags", "trip", "pause", "--preview").stdout


def test_a_preview_goes_by_what_is_tripped_already_and_says_so(home: Path) -> None:
    three_queues(home)
    trip("pause", "--tenant", "web")
    result = renderlane("flags", "trip", "pause", *WHY)
    assert "8 of the next 20 requests change" in result.stdout
    assert "(tenant=web) is already active, by ann: quota is short" in result.stderr


def test_a_lane_that_is_not_built_is_told_beforehand(home: Path) -> None:
    three_queues(home)
    output = renderlane("flags", "trip", "use-gateway", *WHY).stdout
    assert "no effect: the" in output
    assert "0 of the next 20 requests change" in output


def test_batches_without_consent_are_foreseen_to_change_nothing(home: Path) -> None:
    three_queues(home)
    output = renderlane("flags", "trip", "use-batch", *WHY).stdout
    assert "0 of the next 20 requests change" in output
    assert "no effect: the" not in output


def test_nothing_tripped_is_said_plainly(home: Path) -> None:
    write(home)
    assert "no active flags" in renderlane("flags").stdout
    assert renderlane("flags", "list", "--json").stdout == ""


def test_a_conclusion_is_reset_by_its_id_and_the_history_says_by_whom(home: Path) -> None:
    everything(home)
    result = renderlane("flags", "reset", GONE.id, "--reason", "it is back", "--actor", "ann")
    assert f"reset {GONE.id}: it can only return because of calls that fail from now on" in result.stdout
    assert set(tripped().resets) == {GONE.id}
    assert kicks(), "a pump that has left is woken"
    (line,) = json_lines(renderlane("flags", "history", "--json", "--limit", "1").stdout)
    assert (line["action"], line["flag_id"], line["actor"], line["reason"]) == ("reset", GONE.id, "ann", "it is back")
    assert GONE.id in renderlane("flags", "history").stdout


def everything(home: Path) -> None:
    """Two flags of on-call's, one in shadow, an open breaker, an overruled one, and a model that is gone."""
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    routing = Routing(
        circuits={CIRCUIT: probed()},
        conclusions=concluded(GONE),
        in_force=(f"{FLEX.id}@2096", "pause@flagd@2096"),
        effects={FLEX.id: Effect(57, 3_200_000), "lower-resolution-1a2b": Effect(1, -500_000)},
    )
    shadow = a_flag("lower-resolution", to="2K", shadow=True)
    write(home, flags(FLEX, shadow, BREAKER, overruled={"flex/x": UNTIL, "old/x": at}), pump(routing))


def test_the_list_shows_each_flag_with_its_effect_and_what_breakers_do(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything(home)
    monkeypatch.setenv("COLUMNS", "240")
    output = renderlane("flags").stdout
    assert renderlane("flags", "list").stdout == output
    for part in (
        FLEX.id, "tenant=web", "quota is short", "57 requests, $3.2000 less",
        "lower-resolution-1a2b to 2K (dry run)", "1 request, $0.5000 more",
        BREAKER.id, "overload, 9 of 9 calls in 10 s",
        f"breaker open: {CIRCUIT}: last probe", "closes after 4 successful ones, tripped 2 times in a row",
        "the breaker of flex/x will not trip before 2096-11-23 08:00:00 UTC",
        "concluded: gemini-2.5-flash-image is gone (404)", "next probe 2096-11-23T08:00:00Z", GONE.id,
        "pause@flagd is also active in the pump",
    ):  # fmt: skip
        assert part in output, part
    assert "old/x" not in output


def test_the_list_fits_a_narrow_terminal_and_keeps_ids_whole(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything(home)
    monkeypatch.setenv("COLUMNS", "80")
    output = renderlane("flags").stdout
    table = output.partition("breaker open")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert FLEX.id in table
    assert "lower-resolution-1a2b" in table


def test_the_list_for_a_program_tells_kinds_apart(home: Path) -> None:
    everything(home)
    flags = json_lines(renderlane("flags", "--json").stdout)
    assert [item["kind"] for item in flags] == [
        "flag",
        "flag",
        "breaker",
        "overruled",
        "conclusion",
        "lacking",
        "elsewhere",
    ]
    shadow, flex, breaker = flags[:3]
    assert (flex["id"], flex["scope"]["tenant"], flex["changed_requests"], flex["saved_usd"]) == (
        FLEX.id, "web", 57, "3.200000",
    )  # fmt: skip
    assert flex["left_seconds"] > 0
    assert (shadow["shadow"], shadow["to"]) == (True, "2K")
    assert (breaker["circuit"], breaker["actor"]) == (CIRCUIT, "breaker")


def test_a_flag_whose_time_is_over_is_not_shown(home: Path) -> None:
    over = replace(a_flag("pause"), expires_at=datetime(2026, 11, 22, 12, 30, tzinfo=UTC))
    write(home, flags(over, FLEX))
    assert [json_line["id"] for json_line in json_lines(renderlane("flags", "--json").stdout)] == [FLEX.id]
    assert over.id not in renderlane("flags").stdout


@pytest.mark.parametrize("named", [FLEX.id, "use-flex"], ids=["by id", "by name"])
def test_a_flag_is_reset_with_what_it_did_and_the_pump_is_woken(home: Path, named: str) -> None:
    write(home, flags(FLEX, BREAKER), pump(Routing(effects={FLEX.id: Effect(57, 3_200_000)})))
    result = renderlane("flags", "reset", named, *WHY)
    assert result.exit_code == 0, result.output
    assert f"reset {FLEX.id} (use-flex for tenant=web); it changed 57 requests, $3.2000 less" in result.stdout
    assert set(tripped().flags) == {BREAKER.id}
    assert kicks() == [Kick()]


def test_a_breaker_s_flag_that_is_reset_by_hand_stays_reset_for_a_while(home: Path) -> None:
    write(home, flags(BREAKER))
    output = renderlane("flags", "reset", "use-nano-banana-2", *WHY).stdout
    assert f"the breaker of {CIRCUIT} will not trip before" in output
    until = tripped().overruled[CIRCUIT]
    assert timedelta(0) < until - datetime.now(UTC) <= OVERRULED


def test_a_breaker_s_flag_that_is_extended_is_held_by_who_did_it(home: Path) -> None:
    write(home, flags(BREAKER))
    result = renderlane("flags", "extend", BREAKER.id, "--for", "3h", *WHY)
    assert result.exit_code == 0, result.output
    assert f"{CIRCUIT} stays open until then" in result.stdout
    flag = tripped().flags[BREAKER.id]
    assert flag.held_by == "ann"
    assert timedelta(hours=2, minutes=59) < flag.expires_at - datetime.now(UTC) <= timedelta(hours=3)
    assert "kept open by ann until" in renderlane("flags").stdout


@pytest.mark.parametrize("verb", [("reset",), ("extend", "--for", "1h")], ids=["reset", "extend"])
def test_a_flag_that_is_not_tripped_or_not_meant_clearly_is_told_which_are(home: Path, verb: tuple[str, ...]) -> None:
    write(home, flags(FLEX, a_flag("use-flex", "use-flex-3c4d"), BREAKER))
    unknown = renderlane("flags", *verb, "pause", *WHY)
    several = renderlane("flags", *verb, "use-flex", *WHY)
    assert unknown.exit_code == several.exit_code == 2
    assert "found 'pause'; allowed: breaker-standard" in unknown.stderr
    assert "which matches 2 flags; allowed: one of use-flex-1a2b, use-flex-3c4d" in several.stderr
    assert len(tripped().flags) == 3


def test_history_names_who_did_what_and_why_newest_first(home: Path) -> None:
    write(home)
    assert "no flag has been tripped" in renderlane("flags", "history").stderr
    flag_id = trip("lower-resolution", "--to", "2K", "--shadow")["flag"]["id"]
    renderlane("flags", "extend", flag_id, "--for", "3h", "--reason", "not yet over", "--actor", "bob")
    renderlane("flags", "reset", flag_id, "--reason", "over", "--actor", "cleo")
    output = renderlane("flags", "history").stdout
    for part in (f"{flag_id} to 2K", "trip (shadow)", "everybody", "not yet over"):
        assert part in output
    history = json_lines(renderlane("flags", "history", "--json").stdout)
    assert [(item["action"], item["actor"]) for item in history] == [
        ("reset", "cleo"),
        ("extend", "bob"),
        ("trip", "ann"),
    ]
    assert len(json_lines(renderlane("flags", "history", "--json", "--limit", "2").stdout)) == 2


def test_flags_of_another_flag_system_are_shown_and_changed_over_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, flags(FLEX))
    module = ModuleType("a_team_s_flags_of_the_command")
    vars(module)["FLAGS"] = InMemoryProvider({"renderlane-pause": InMemoryFlag("on", {"on": {"tenant": "web"}})})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("RENDERLANE_FLAG_PROVIDER", f"{module.__name__}:FLAGS")
    try:
        theirs = "pause@In-Memory-Provider"
        assert [json_line["id"] for json_line in json_lines(renderlane("flags", "--json").stdout)] == [FLEX.id, theirs]
        result = renderlane("flags", "reset", theirs, *WHY)
        assert result.exit_code == 2
        assert "is managed by In-Memory Provider; change it there" in result.stderr
        assert set(tripped().flags) == {FLEX.id}
    finally:
        api.clear_providers()


def wait_until_in_force(flag_id: str) -> None:
    """Until the pump plans under it."""
    ends = time.monotonic() + 30
    while not any(
        flag_id in item for pump in read("pump") for item in pump.data.get("routing", {}).get("in_force", ())
    ):
        assert time.monotonic() < ends, read("pump")
        time.sleep(0.05)


@pytest.mark.usefixtures("in_running_home")
def test_a_running_worker_bends_what_is_in_scope_and_lets_go_after_the_reset() -> None:
    flag_id = trip("use-nano-banana-2", "--tenant", "web")["flag"]["id"]
    wait_until_in_force(flag_id)
    models = {}
    for tenant in ("web", "app"):
        arguments = ("--purpose", "final", "--tenant", tenant, "--id", f"bent-{tenant}", "--wait", "--raw")
        (document,) = json_lines(renderlane("submit", "a red cube", *arguments).stdout)
        models[tenant] = (document["receipt"]["delivered"]["model"], document["receipt"]["flags"])
    assert models == {"web": (NB21, [flag_id]), "app": (PRO, [])}
    assert renderlane("flags", "reset", flag_id, *WHY).exit_code == 0
    wait_until_in_force(trip("pause", "--tenant", "web", "--for", "1h")["flag"]["id"])
    renderlane("submit", "a red cube", "--tenant", "web", "--id", "held-web")
    assert json.loads(renderlane("explain", "held-web", "--json").stdout or "{}").get("waits") in (None, {
        "reason": "flag pause by ann: quota is short", "paused": True,
    })  # fmt: skip
    assert renderlane("flags", "reset", "pause", *WHY).exit_code == 0
    waited = renderlane("submit", "a red cube", "--tenant", "web", "--id", "held-web", "--wait", "--timeout", "60")
    assert waited.exit_code == 0, waited.output
