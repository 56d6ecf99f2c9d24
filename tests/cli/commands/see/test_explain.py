"""`renderlane explain`: the ladder of a request in a file or in the store, with nothing called and nothing changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.admission import model_state
from shared.core.admission.model_state import ModelState
from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import Calendar
from shared.core.catalogue import gateway_proof
from shared.core.catalogue.gateway_proof import ITEMS, GatewayProof, ProofEvidence
from shared.core.conclusions.claims import Claim
from shared.core.routing.context import RequestHistory, RoutingContext
from shared.core.routing.gateway import fingerprint
from shared.core.routing.ladder import Ladder, ladder
from shared.core.routing.requirements import Requirements
from shared.core.values.documents import Create
from shared.core.values.lanes import BUILT
from tests.builders import a_catalogue, a_payload, a_request
from tests.cli.conftest import json_lines, renderlane
from tests.cli.stores import (
    LITE,
    NB21,
    PRO,
    UNTIL,
    a_breaker,
    a_conclusion,
    a_flag,
    concluded,
    flags,
    pump,
    queued,
    read,
    write,
)

FINAL_4K: dict[str, Any] = {"purpose": "final", "image_size": "4K"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "request.json"


def explained(file: Path, *payloads: dict[str, Any]) -> list[dict[str, Any]]:
    file.write_text("".join(json.dumps(payload) + "\n" for payload in payloads), "utf-8")
    return json_lines(renderlane("explain", str(file), "--json").stdout)


def one(file: Path, **fields: Any) -> dict[str, Any]:
    (explanation,) = explained(file, a_payload(**fields))
    return explanation


def by_id(request_id: str) -> dict[str, Any]:
    (explanation,) = json_lines(renderlane("explain", request_id, "--json").stdout)
    return explanation


def route(lane: str, model: str, image_size: str) -> dict[str, str]:
    return {"lane": lane, "model": model, "image_size": image_size}


def why(explanation: dict[str, Any], wanted: dict[str, str]) -> str | None:
    (option,) = (item for item in explanation["rungs"] if wanted.items() <= item.items())
    assert option["kept"] == (option["reason"] is None)
    return None if option["reason"] is None else str(option["reason"])


def test_a_request_that_was_never_sent_is_explained_without_any_store(home: Path, file: Path) -> None:
    file.write_text(json.dumps(a_payload(**FINAL_4K), indent=2), "utf-8")
    result = renderlane("explain", str(file))
    assert result.exit_code == 0, result.output
    assert f"takes standard {PRO} 4K, estimate $0.2520" in result.stdout
    assert "lane unavailable: gateway is not built" in result.stdout
    assert "no flags are known" in result.stderr
    assert "keyboard" not in result.output
    assert not home.exists()


def test_every_rung_is_there_in_the_ladder_s_own_order_with_its_reason(home: Path, file: Path) -> None:
    explanation = one(file, **FINAL_4K)
    expected = ladder(
        Requirements.of(a_request(**FINAL_4K)), RoutingContext(a_catalogue(), BUILT), RequestHistory("spring-hero-001")
    )
    assert isinstance(expected, Ladder)
    assert explanation["rungs"] == [option.to_json() for option in expected.options]
    assert (explanation["takes"], explanation["estimate_usd"]) == (route("standard", PRO, "4K"), "0.252014")


def test_the_table_fits_the_terminal(home: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, flags(a_flag("use-nano-banana-2", reason="a long reason " * 10)))
    file.write_text(json.dumps(a_payload(**FINAL_4K)), "utf-8")
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        output = renderlane("explain", str(file)).stdout
        assert max(map(len, output.splitlines())) <= width
        assert "chosen" in output
        assert "$0.1284" in output


def test_the_same_reason_is_said_once_for_a_person(home: Path, file: Path) -> None:
    file.write_text(json.dumps(a_payload(**FINAL_4K)), "utf-8")
    output = renderlane("explain", str(file)).stdout
    assert output.count("lane unavailable: gateway") == 1
    assert output.count("as above") > 5


def test_of_json_lines_each_is_explained_and_a_rejected_one_makes_the_exit_code_1(home: Path, file: Path) -> None:
    good, bad = a_payload(), a_payload(request_id="bad", image_size="2k")
    file.write_text(f"{json.dumps(good)}\n\n{json.dumps(bad)}\nno json\n", "utf-8")
    result = renderlane("explain", str(file), "--json")
    assert result.exit_code == 1
    assert [json_line["request_id"] for json_line in json_lines(result.stdout)] == [good["request_id"], "bad", "line 4"]
    assert renderlane("explain", "-", stdin=json.dumps(good)).exit_code == 0
    shown = renderlane("explain", "-", stdin=json.dumps(bad))
    assert shown.exit_code == 1
    assert 'Write "2K": the K is a capital letter.' in shown.stdout


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"image_size": "8K"}, "image_size"),
        ({"model": "dall-e"}, "model"),
        ({"model": "nano-banana-2-lite", "lane": "flex"}, "lane"),
        ({"model": "nano-banana-2-lite", "image_size": "4K"}, "image_size"),
        ({"image_size": "1K", "floor": {"image_size": "4K"}}, "floor.image_size"),
        ({"floor": {"model": "dall-e"}}, "floor.model"),
        ({"references": [{"uri": "gs://not-ours/x.png"}]}, "references[0].uri"),
        ({"purpose": "final", "floor": "exact", "max_cost_usd": "0.01"}, "max_cost_usd"),
        ({"deadline": "2026-01-01T00:00:00Z"}, "deadline"),
    ],
)
def test_what_intake_would_reject_is_shown_with_its_problem(
    home: Path, file: Path, fields: dict[str, Any], field: str
) -> None:
    explanation = one(file, **fields)
    assert [problem["field"] for problem in explanation["problems"]] == [field]
    assert (explanation["takes"], explanation["rungs"]) == (None, [])
    assert all(explanation["problems"][0].values())


def test_a_cancellation_has_no_route(home: Path, file: Path) -> None:
    (explanation,) = explained(file, {"cancel": "hero"})
    assert explanation["request_id"] == "hero"
    assert "a cancellation" in explanation["problems"][0]["found"]


def test_flags_in_the_store_bend_it_and_those_without_effect_say_so(home: Path, file: Path) -> None:
    down = a_flag("lower-resolution", to="2K", tenant="web")
    write(home, flags(down, a_flag("use-gateway"), a_flag("use-flex", shadow=True), a_flag("pause", tenant="other")))
    explanation = one(file, **FINAL_4K, tenant="web")
    assert explanation["takes"] == route("standard", PRO, "2K")
    assert why(explanation, route("standard", PRO, "4K")) == "flag lower-resolution by ann: quota is short"
    assert (explanation["flags"], explanation["saved_usd"]) == ([down.id], "0.105600")
    assert explanation["without_effect"] == [
        "flag use-gateway by ann: quota is short: no route within the request's floor, cap and consent"
    ]
    assert one(file, **FINAL_4K, tenant="app")["takes"] == route("standard", PRO, "4K")
    shown = renderlane("explain", str(file)).stdout
    assert "no effect: flag use-gateway by ann" in shown


def test_a_flag_whose_time_is_over_bends_nothing(home: Path, file: Path) -> None:
    write(home, flags(replace(a_flag("use-nano-banana-2"), expires_at=datetime(2026, 11, 22, 13, tzinfo=UTC))))
    assert one(file, **FINAL_4K)["takes"] == route("standard", PRO, "4K")


def test_an_open_breaker_a_model_that_is_gone_and_a_closed_one_strike_their_routes(home: Path, file: Path) -> None:
    gone = Routing(conclusions=concluded(a_conclusion(Claim.MODEL_GONE, f"*/{NB21}")))
    write(home, flags(a_breaker(PRO)), pump(gone))
    explanation = one(file, **FINAL_4K)
    assert explanation["takes"] == route("flex", PRO, "4K")
    assert why(explanation, route("standard", PRO, "2K")) == f"breaker: standard/{PRO}: overload, 9 of 9 calls in 10 s"
    assert (why(explanation, route("standard", NB21, "4K")) or "").startswith(f"{NB21} is gone (404)")


@pytest.mark.parametrize("known_by", ["calendar", "pump"])
def test_a_model_that_opens_after_the_deadline_is_passed_over(home: Path, file: Path, known_by: str) -> None:
    closed = ModelState(calendar=Calendar().close(UNTIL, "quota_day") if known_by == "calendar" else Calendar())
    blocked = {PRO: {"reason": "day", "until": UNTIL, "why": ""}} if known_by == "pump" else {}
    write(home, Create(model_state.path(PRO), closed.to_json()), pump(held=blocked))
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    explanation = one(file, **FINAL_4K, deadline=soon)
    assert explanation["takes"] == route("standard", NB21, "4K")
    assert (
        why(explanation, route("standard", PRO, "4K"))
        == f"quota: {PRO} opens at 2096-11-23T08:00:00Z, after the deadline"
    )
    assert explanation["opens_at"] is None
    patient = one(file, **FINAL_4K)
    assert patient["takes"] == route("standard", PRO, "4K"), "without a deadline it can wait"
    assert patient["opens_at"] == "2096-11-23T08:00:00Z"
    assert f"{PRO} is closed until 2096-11-23 08:00:00 UTC" in renderlane("explain", str(file)).stdout


def test_a_pause_says_that_it_waits_and_for_whom(home: Path, file: Path) -> None:
    write(home, flags(a_flag("pause", tenant="web")))
    explanation = one(file, tenant="web")
    assert explanation["waits"] == {"reason": "flag pause by ann: quota is short", "paused": True}
    assert explanation["takes"] is None
    assert "blocked, paused: flag pause by ann" in renderlane("explain", str(file)).stdout


def test_a_request_of_the_store_is_planned_by_what_it_has_been_through(home: Path) -> None:
    been = {"avoided": {f"standard/{PRO}": "timeout"}, "cost_micros": 60_000}
    write(home, queued("r-1", **FINAL_4K, max_cost_usd="0.30", changes=been), queued("r-2", **FINAL_4K))
    before = {document.path: document.version for document in read("requests")}
    explanation = by_id("r-1")
    assert explanation["takes"] == route("standard", NB21, "4K")
    assert why(explanation, route("standard", PRO, "4K")) == "over the cap of 0.300000: 0.252014 after 0.060000"
    assert why(explanation, route("standard", PRO, "2K")) == "this request met timeout there"
    assert by_id("r-2")["takes"] == route("standard", PRO, "4K")
    assert before == {document.path: document.version for document in read("requests")}


@pytest.mark.parametrize(
    ("status", "about"),
    [
        ("queued", "queued"),
        ("rendering", "rendering; this is the plan for another attempt now"),
        ("succeeded", "succeeded; this is the plan if it were submitted now"),
    ],
)
def test_a_request_that_does_not_wait_is_told_as_a_matter_of_now(home: Path, status: str, about: str) -> None:
    write(home, queued("r-1", changes={"status": status}))
    assert by_id("r-1")["about"] == about


def test_a_second_try_in_a_file_knows_the_model_that_was_not_good_enough(home: Path, file: Path) -> None:
    write(home, queued("first"))
    assert one(file, escalates="first")["takes"] == route("standard", PRO, "1K")
    assert one(file, escalates="never-seen")["takes"] == route("standard", NB21, "1K")


def test_one_id_of_two_tenants_is_two_second_tries(home: Path, file: Path) -> None:
    write(home, queued("first", tenant="web"))
    tries = [{"request_id": "again", "tenant": tenant, "escalates": "first"} for tenant in ("web", "shop")]
    of_web, of_shop = explained(file, *({"prompt": "a red cube"} | second for second in tries))
    assert [of_web["takes"], of_shop["takes"]] == [route("standard", PRO, "1K"), route("standard", NB21, "1K")]


def test_a_draft_s_ladder_begins_at_the_cheapest_model(home: Path, file: Path) -> None:
    explanation = one(file, purpose="draft")
    assert explanation["takes"] == route("standard", LITE, "1K")
    assert explanation["asked_model"] == LITE


def test_what_is_neither_a_file_nor_a_request_is_told_so(home: Path) -> None:
    write(home)
    unknown, no_id, no_file = (renderlane("explain", what) for what in ("never-seen", "no such/id", "nowhere.json"))
    assert [result.exit_code for result in (unknown, no_id, no_file)] == [1, 2, 2]
    assert "never-seen: no such request, and no such file" in unknown.stderr
    assert "neither a file here nor a request id" in no_id.stderr
    assert "cannot be read" in no_file.stderr
    assert renderlane("explain", "-", stdin="\n").exit_code == 2


CONSENT: dict[str, Any] = {"purpose": "final", "allow": {"gateway": True}}
GATEWAY = "laozhang"


def a_proof(*but: str) -> Create:
    """Everything about the shipped row, as of now, but some items."""
    about, now = fingerprint(a_catalogue().gateways[GATEWAY]), datetime.now(UTC)
    items = {item: ProofEvidence("seen", "ann", now, about, {"passed": True}) for item in ITEMS if item not in but}
    return Create(gateway_proof.path(GATEWAY), GatewayProof(items).to_json())


def test_a_proven_gateway_is_on_the_ladder_as_the_pump_would_plan_it(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RENDERLANE_GATEWAY_KEY_LAOZHANG", "sk-a-key")
    write(home, a_proof(), flags(a_flag("use-gateway")))
    explanation = one(file, **CONSENT)
    assert explanation["takes"] == route("gateway", PRO, "1K")
    assert explanation["estimate_usd"] == "0.090000"
    assert one(file, purpose="final")["takes"] == route("standard", PRO, "1K"), "without consent nothing leaves"


def test_what_the_proof_of_a_gateway_lacks_is_its_reason(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RENDERLANE_GATEWAYS", "laozhang")
    write(home, a_proof("price"), flags(a_flag("use-gateway")))
    explanation = one(file, **CONSENT)
    assert explanation["takes"] == route("standard", PRO, "1K")
    assert "its proof is incomplete: price is missing" in (why(explanation, route("gateway", PRO, "1K")) or "")


def test_a_gateway_whose_key_is_only_where_the_pump_runs_is_known_from_the_pump(home: Path, file: Path) -> None:
    write(home, a_proof(), flags(a_flag("use-gateway")), pump(gateways=[GATEWAY]))
    assert one(file, **CONSENT)["takes"] == route("gateway", PRO, "1K")


def test_a_gateway_without_balance_is_passed_over_while_it_is_not_asked(home: Path, file: Path) -> None:
    denied = Routing(conclusions=concluded(a_conclusion(Claim.BALANCE, f"gateway:{PRO}")))
    write(home, a_proof(), flags(a_flag("use-gateway")), pump(denied, gateways=[GATEWAY]))
    explanation = one(file, **CONSENT)
    assert explanation["takes"] == route("standard", PRO, "1K")
    text = why(explanation, route("gateway", PRO, "1K"))
    assert text is not None
    assert text.startswith(f"gateway {GATEWAY}: gateway:{PRO} has no balance")
    assert "next probe 2096-11-23T08:00:00Z" in text


def test_a_cap_that_is_enough_for_a_proven_gateway_alone_is_no_reason_to_reject(home: Path, file: Path) -> None:
    write(home, a_proof(), pump(gateways=[GATEWAY]))
    within = CONSENT | {"max_cost_usd": "0.10", "image_size": "4K", "floor": {"model": PRO, "image_size": "4K"}}
    assert one(file, **within)["takes"] == route("gateway", PRO, "4K")
    (problem,) = one(file, **(within | {"allow": {"gateway": False}}))["problems"]
    assert problem["field"] == "max_cost_usd"
