"""The shipped catalogue says what the price page says, and a broken one is refused with its line and reason."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.simulator.provider import models as simulated
from shared.core.catalogue import price
from shared.core.catalogue.batch_rules import BatchRules
from shared.core.catalogue.capabilities import Capabilities
from shared.core.catalogue.catalogue import Model, Rates, UnknownModel
from shared.core.catalogue.reader import read_catalogue
from shared.core.catalogue.toml_errors import BrokenCatalogue
from shared.core.provider.usage import Usage
from shared.core.values import lanes
from tests.builders import CATALOGUE_FILE, a_catalogue

TEXT = CATALOGUE_FILE.read_text("utf-8")

PRO, NB21, NB2 = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-image"
LITE, LEGACY = "gemini-3.1-flash-lite-image", "gemini-2.5-flash-image"
PRO_PREVIEW, NB2_PREVIEW = "gemini-3-pro-image-preview", "gemini-3.1-flash-image-preview"

# -- the price page ---------------------------------------------------------------------------------------------------

PAGE: list[tuple[str, str, str, int, str, str]] = [
    # model, lane, size, image tokens, metered by tokens, listed
    (PRO, "standard", "1K", 1120, "0.1344", "0.134"),
    (PRO, "standard", "2K", 1120, "0.1344", "0.134"),
    (PRO, "standard", "4K", 2000, "0.24", "0.24"),
    (NB21, "standard", "1K", 1120, "0.0336", "0.0336"),
    (NB21, "standard", "2K", 1680, "0.0504", "0.0504"),
    (NB21, "standard", "4K", 3780, "0.1134", "0.1134"),
    (NB2, "standard", "512", 747, "0.04482", "0.045"),
    (NB2, "standard", "1K", 1120, "0.0672", "0.067"),
    (NB2, "standard", "2K", 1680, "0.1008", "0.101"),
    (NB2, "standard", "4K", 2520, "0.1512", "0.151"),
    (LITE, "standard", "1K", 1120, "0.0336", "0.0336"),
    (LEGACY, "standard", "1K", 1290, "0.0387", "0.039"),
    (PRO, "batch", "1K", 1120, "0.0672", "0.067"),
    (PRO, "batch", "4K", 2000, "0.12", "0.12"),
    (PRO, "flex", "1K", 1120, "0.0672", "0.067"),
    (PRO, "flex", "4K", 2000, "0.12", "0.12"),
    (NB21, "batch", "1K", 1120, "0.0168", "0.0168"),
    (NB21, "batch", "4K", 3780, "0.0567", "0.0567"),
    (NB2, "batch", "512", 747, "0.02241", "0.022"),
    (NB2, "batch", "1K", 1120, "0.0336", "0.034"),
    (NB2, "batch", "2K", 1680, "0.0504", "0.050"),
    (NB2, "batch", "4K", 2520, "0.0756", "0.076"),
    (LITE, "batch", "1K", 1120, "0.0168", "0.0168"),
    (LEGACY, "batch", "1K", 1290, "0.01935", "0.0195"),
    (LEGACY, "flex", "1K", 1290, "0.01935", "0.0195"),
    (PRO, "priority", "1K", 1120, "0.24192", "0.2419"),
    (NB21, "priority", "1K", 1120, "0.06048", "0.0605"),
    (NB21, "priority", "2K", 1680, "0.09072", "0.0907"),
    (NB21, "priority", "4K", 3780, "0.20412", "0.2041"),
    (NB2, "priority", "512", 747, "0.080676", "0.0807"),
    (NB2, "priority", "1K", 1120, "0.12096", "0.1210"),
    (NB2, "priority", "2K", 1680, "0.18144", "0.1814"),
    (NB2, "priority", "4K", 2520, "0.27216", "0.2722"),
    (LEGACY, "priority", "1K", 1290, "0.06966", "0.0702"),
]

RATES = [
    # model, dollars per million tokens: in, text and thinking out, image out; dollars per search
    (PRO, "2.00", "12", "120", "0.014"),
    (NB21, "1.50", "7.50", "30", "0.014"),
    (NB2, "0.50", "3", "60", "0.014"),
    (LITE, "0.25", "1.50", "30", "0.014"),
    (LEGACY, "0.30", "2.50", "30", "0.035"),
]


def micros(usd: str) -> int:
    return int(Decimal(usd) * 1_000_000)


@pytest.mark.parametrize(("model", "lane", "size", "tokens", "metered", "listed"), PAGE)
def test_each_row_of_the_price_page_stands_in_the_catalogue(
    model: str, lane: str, size: str, tokens: int, metered: str, listed: str
) -> None:
    row = a_catalogue().models[model]
    assert row.image_tokens[size] == tokens
    assert row.lanes[lane].listed[size] == micros(listed)
    assert price.metered(Usage(image_out=tokens), row.lanes[lane]).micros == micros(metered)


def test_the_rows_above_are_every_size_of_the_standard_lane() -> None:
    rows = {(model, size) for model, lane, size, *_ in PAGE if lane == "standard"}
    assert rows == {(model.id, size) for model in a_catalogue().models.values() for size in model.sizes}


@pytest.mark.parametrize(("model", "text_in", "text_out", "image_out", "search"), RATES)
def test_each_rate_of_the_price_page_stands_in_the_catalogue(
    model: str, text_in: str, text_out: str, image_out: str, search: str
) -> None:
    rates = a_catalogue().models[model].lanes["standard"]
    assert (rates.input, rates.text_output, rates.image_output) == (
        Decimal(text_in),
        Decimal(text_out),
        Decimal(image_out),
    )
    assert rates.grounding_search == micros(search)


@pytest.mark.parametrize("lane", ["batch", "flex"])
def test_batch_and_flex_cost_half_a_token(lane: str) -> None:
    halved = [model for model in a_catalogue().models.values() if lane in model.lanes]
    assert halved
    for model in halved:
        cheap, standard = model.lanes[lane], model.lanes["standard"]
        assert (cheap.input * 2, cheap.text_output * 2, cheap.image_output * 2) == (
            standard.input,
            standard.text_output,
            standard.image_output,
        )


def test_priority_costs_one_and_eight_tenths_of_the_standard_in_every_published_figure() -> None:
    dearer = [model for model in a_catalogue().models.values() if "priority" in model.lanes]
    assert {model.id for model in dearer} == {PRO, NB21, NB2, LEGACY}, "Lite has neither Priority nor Flex"
    for model in dearer:
        dear, standard = model.lanes["priority"], model.lanes["standard"]
        for rate in ("input", "text_output", "image_output"):
            assert getattr(dear, rate) == getattr(standard, rate) * Decimal("1.8"), (model.id, rate)


def test_flex_is_offered_only_where_the_price_page_has_a_row_for_it() -> None:
    assert {model.id for model in a_catalogue().models.values() if "flex" in model.lanes} == {PRO, LEGACY}


def test_every_listed_price_is_what_its_tokens_cost_to_half_a_tenth_of_a_cent() -> None:
    for model in a_catalogue().models.values():
        for rates in model.lanes.values():
            for size, listed in rates.listed.items():
                assert abs(listed - model.image_tokens[size] * rates.image_output) <= 1_000, (model.id, size)


@pytest.mark.parametrize(("model", "usd"), [(PRO, "0.00112"), (NB21, "0.00168"), (LITE, "0.00028")])
def test_a_reference_image_costs_what_is_listed_for_it(model: str, usd: str) -> None:
    row = a_catalogue().models[model]
    assert price.metered(Usage(image_in=row.reference_tokens), row.lanes["standard"]).micros == micros(usd)


def test_no_price_of_a_provider_stands_in_googles_tables() -> None:
    tables = tomllib.loads(TEXT, parse_float=Decimal)
    assert tables["gateways"]
    for gateway in tables["gateways"].values():
        assert gateway["prices"].keys() == tables["google"].keys()
        for name, provider_price in gateway["prices"].items():
            for rates in tables["google"][name].values():
                assert provider_price not in rates["listed"].values()
                assert gateway["owner"] not in rates["source"]


def test_every_row_names_its_source_and_the_day_it_was_checked() -> None:
    for model in a_catalogue().models.values():
        rows: list[Model | Rates] = [model, *model.lanes.values()]
        for row in rows:
            assert row.source
            assert a_catalogue().oldest_price <= row.checked <= date(2026, 11, 29)
    assert {row.checked for row in a_catalogue().models.values() if row.status != "retired"} == {date(2026, 11, 29)}


def test_the_simulator_was_told_the_same_by_others() -> None:
    """Its models, written down apart: same ids, aliases, sizes, tokens, ratios, search, thinking, lanes and prices."""
    catalogue, others = a_catalogue(), simulated.load()
    assert catalogue.models.keys() == others.by_id.keys()
    for other in others.by_id.values():
        if other.status == "gone":
            continue
        model = catalogue.models[other.id]
        assert other.alias in model.aliases
        assert dict(model.image_tokens) == dict(other.image_tokens)
        assert model.sends_image_size == other.takes_image_size
        assert model.max_references == other.max_references
        assert set(model.aspect_ratios) == set(other.ratios), other.id
        assert model.capabilities.grounding == other.grounding
        assert model.capabilities.thinking == other.thinking
        assert model.lanes.keys() == other.rates.keys()
        for tier, rates in other.rates.items():
            ours = model.lanes[tier]
            nanos = [int(rate * 1000) for rate in (ours.input, ours.text_output, ours.image_output)]
            assert nanos == [rates.input, rates.text, rates.image], (other.id, tier)
        assert model.lanes["standard"].grounding_search * 1000 == other.grounding_nanos_per_query


# -- names, successors, sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("nano-banana-pro", PRO),
        ("nano-banana-2.1", NB21),
        ("nano-banana-2", NB2),
        ("nano-banana-2-lite", LITE),
        ("nano-banana", LEGACY),
        (PRO, PRO),
        (PRO_PREVIEW, PRO_PREVIEW),
    ],
)
def test_an_alias_and_an_id_mean_their_model(alias: str, model: str) -> None:
    assert a_catalogue().find(alias).id == model
    assert alias in a_catalogue().names


@pytest.mark.parametrize(
    ("name", "called"),
    [
        (PRO, PRO),
        ("nano-banana-2", NB2),  # deprecated without a day: called until a 404 says otherwise
        (NB2, NB2),
        (PRO_PREVIEW, PRO),
        (NB2_PREVIEW, NB2),
        ("nano-banana", LEGACY),
    ],
)
def test_a_retired_model_means_its_successor_and_a_deprecated_one_is_called(name: str, called: str) -> None:
    assert a_catalogue().live(name).id == called


def test_a_retired_model_means_its_successor_all_the_way() -> None:
    text = re.sub(r'status = "deprecated"\nsuccessor', 'status = "retired"\nsuccessor', TEXT)
    catalogue = read_catalogue(text)
    assert catalogue.live(NB2_PREVIEW).id == NB21, "by way of a retired successor"
    assert (catalogue.live(NB2).id, catalogue.live(LEGACY).id) == (NB21, LITE)


@pytest.mark.parametrize(
    ("name", "id_on_ladder"),
    [(PRO, PRO), ("nano-banana-2", NB21), (NB2_PREVIEW, NB21), (LEGACY, LITE), (PRO_PREVIEW, PRO)],
)
def test_a_model_beside_the_ladder_is_compared_by_its_successor(name: str, id_on_ladder: str) -> None:
    assert a_catalogue().on_ladder(name) == id_on_ladder


def test_a_model_without_a_successor_on_the_ladder_is_compared_with_none() -> None:
    alone = TEXT.replace(f'successor = "{LITE}"\n', "")
    assert read_catalogue(alone).on_ladder(LEGACY) is None


@pytest.mark.parametrize("name", ["", "gemini", "Nano-Banana-Pro", "models/gemini-3-pro-image", "gemini-3-pro-image "])
def test_a_name_that_nobody_has_is_unknown(name: str) -> None:
    for look in (a_catalogue().find, a_catalogue().live):
        with pytest.raises(UnknownModel):
            look(name)


def test_the_purposes_name_lite_nano_banana_2_1_and_pro() -> None:
    assert a_catalogue().purposes == {"draft": LITE, "default": NB21, "final": PRO}
    assert (a_catalogue().default_floor_size, a_catalogue().default_floor_model) == ("1K", NB21)
    assert a_catalogue().draft_floor_model == LITE


@pytest.mark.parametrize(
    ("model", "delivered"),
    [
        (PRO, {"512": "1K", "1K": "1K", "2K": "2K", "4K": "4K"}),
        (NB21, {"512": "1K", "1K": "1K", "2K": "2K", "4K": "4K"}),
        (NB2, {"512": "512", "1K": "1K", "2K": "2K", "4K": "4K"}),
        (LITE, {"512": "1K", "1K": "1K", "2K": None, "4K": None}),
        (PRO_PREVIEW, {"512": None, "1K": None, "2K": None, "4K": None}),
    ],
)
def test_a_size_a_model_has_not_is_one_size_up_and_never_one_down(model: str, delivered: dict[str, str | None]) -> None:
    assert {size: a_catalogue().models[model].size_for(size) for size in ("512", "1K", "2K", "4K")} == delivered


def test_the_legacy_model_is_sent_no_size() -> None:
    assert {model.id for model in a_catalogue().models.values() if not model.sends_image_size} == {LEGACY}


# -- capabilities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "grounding", "thinking", "default"),
    [
        (PRO, "web", (), None),
        (NB21, "web+image", ("minimal", "medium", "high"), "medium"),
        (NB2, "web+image", ("minimal", "high"), "minimal"),
        (LITE, "none", ("minimal", "high"), "minimal"),
        (LEGACY, "none", (), None),
    ],
)
def test_search_and_thinking_are_capabilities_of_a_model(
    model: str, grounding: str, thinking: tuple[str, ...], default: str | None
) -> None:
    capabilities = a_catalogue().models[model].capabilities
    assert (capabilities.grounding, capabilities.thinking) == (grounding, thinking)
    assert capabilities.default_thinking == default


def test_lite_makes_fourteen_ratios_and_at_most_4096_tokens() -> None:
    lite, nano = a_catalogue().models[LITE], a_catalogue().models[NB21]
    assert lite.aspect_ratios == nano.aspect_ratios
    assert len(lite.aspect_ratios) == 14
    assert lite.capabilities.output_limit == 4096


def test_references_are_limited_by_kind_and_a_format_by_the_api() -> None:
    by_model = {model.id: dict(model.capabilities.references) for model in a_catalogue().models.values()}
    assert by_model[PRO] == {"objects": 6, "characters": 5}
    assert by_model[NB21] == {"objects": 10, "characters": 4}
    for model in a_catalogue().models.values():
        if model.status != "retired":
            assert dict(model.capabilities.output_formats) == {
                "interactions": ("jpeg",),
                "generate_content": ("jpeg", "png"),
                "vertex": ("png", "jpeg"),
            }


def test_nobody_knows_yet_which_lanes_take_background_calls_and_batch_and_vertex_never_do() -> None:
    for model in a_catalogue().models.values():
        for lane in model.lanes:
            assert model.capabilities.background_in(lane) == ("no" if lane in ("batch", "vertex") else "unknown")
    proven = TEXT.replace('background = { standard = "unknown"', "background = { standard = true", 1)
    assert read_catalogue(proven).models[PRO].capabilities.background_in("standard") == "yes"


def test_a_catalogue_that_says_nothing_about_capabilities_is_read_and_a_grounded_request_is_sent() -> None:
    keys = "grounding|thinking|default_thinking|background|references|output_formats|chosen_formats|reference_uris"
    keys += "|quality_formats|output_limit"
    text = re.sub(r"thought_tokens = \{.*\}", "thought_tokens = 1000", TEXT)
    silent = read_catalogue(re.sub(rf"(?m)^({keys}) = .*\n", "", text)).models[LITE].capabilities
    assert silent == Capabilities()
    assert (silent.grounding, silent.background_in("standard"), silent.thinking) == ("web", "unknown", ())


def test_the_notes_give_both_days_of_the_legacy_model_and_both_counts_of_4k() -> None:
    notes = {name: table["note"] for name, table in tomllib.loads(TEXT)["models"].items()}
    assert "2027-03-15" in notes[LEGACY]
    assert "2026-10-02" in notes[LEGACY]
    assert "3780" in notes[NB21]
    assert "2520" in notes[NB21]
    assert a_catalogue().models[LEGACY].successor == LITE


def test_a_gateways_answer_other_than_200_is_free_and_a_200_without_an_image_is_not() -> None:
    bills = a_catalogue().gateways["laozhang"].bills
    assert [bills[item] for item in ("rejected", "turned_away", "failed")] == ["free"] * 3
    assert (bills["without_image"], bills["broken_off"]) == ("charged", "unknown")
    assert a_catalogue().gateways["laozhang"].checked == date(2026, 10, 7)


# -- broken ones ------------------------------------------------------------------------------------------------------


def line_of(text: str, nth: int = 1) -> int:
    """The number of the nth line that starts so."""
    numbers = [number for number, line in enumerate(TEXT.split("\n"), 1) if line.startswith(text)]
    return numbers[nth - 1]


def with_line(number: int, line: str) -> str:
    lines = TEXT.split("\n")
    lines[number - 1] = line
    return "\n".join(lines)


MODEL, PRICES = line_of(f'[models."{PRO}"]'), line_of(f'[google."{PRO}".standard]')
NB2_TABLE, LITE_TABLE = line_of(f'[models."{NB2}"]'), line_of(f'[models."{LITE}"]')
PREVIEW_TABLE, FLOOR_MODEL = line_of(f'[models."{NB2_PREVIEW}"]'), line_of("model =")


def at(table: int, key: str) -> int:
    """The line of a key of the table whose header stands on line `table`."""
    lines = TEXT.split("\n")
    return next(number for number in range(table, len(lines)) if lines[number - 1].startswith(f"{key} ="))


BREAKAGES: list[tuple[int, str, str]] = [
    # line, what it becomes (`-` leaves it out), the reason
    (at(MODEL, "status"), 'status = "alive"', "'alive'; allowed: live, deprecated, retired"),
    (at(MODEL, "status"), "status = 1", "1; allowed: live, deprecated, retired"),
    (at(MODEL, "aliases"), 'aliases = "nano-banana-pro"', "a list of words in quotes"),
    (at(MODEL, "aliases"), "aliases = [1]", "a list of words in quotes"),
    (at(NB2_TABLE, "aliases"), 'aliases = ["nano-banana-pro"]', f"'nano-banana-pro', which {PRO} has already"),
    (at(MODEL, "aliases"), 'aliases = ["a", "a"]', "has already"),
    (at(MODEL, "aliases"), f'aliases = ["{LITE}"]', "has already"),
    (at(MODEL, "image_tokens"), 'image_tokens = { "1k" = 1120 }', "an unknown name; allowed: 512, 1K, 2K, 4K"),
    (at(MODEL, "image_tokens"), 'image_tokens = { "1K" = 0, "2K" = 1, "4K" = 1 }', "a whole number from 1"),
    (at(MODEL, "image_tokens"), 'image_tokens = { "1K" = "a", "2K" = 1, "4K" = 1 }', "a whole number"),
    (at(MODEL, "image_tokens"), "image_tokens = 1120", "1120; allowed: a table"),
    (at(MODEL, "aspect_ratios"), "aspect_ratios = [[1, 1]]", "a list of words in quotes"),
    (at(MODEL, "sends_image_size"), "sends_image_size = 1", "true or false"),
    (at(MODEL, "max_references"), "max_references = -1", "a whole number"),
    (at(MODEL, "max_references"), "max_references = true", "a whole number"),
    (at(MODEL, "max_references"), "max_references = 1.5", "a whole number"),
    (at(MODEL, "max_references"), "max_references = 0x" + "f" * 5_000, "a number beyond all bounds; allowed"),
    (at(MODEL, "timeout_seconds"), "timeout_seconds = 540", "a whole number from 1 to 539"),
    (at(MODEL, "timeout_seconds"), "timeout_seconds = 0", "a whole number from 1 to 539"),
    (at(MODEL, "source"), "source = 5", "where the row comes from"),
    (at(MODEL, "checked"), 'checked = "2026-11-22"', "a day, such as"),
    (at(MODEL, "checked"), "checked = 2026-11-22T10:00:00Z", "a day, such as"),
    (at(MODEL, "checked"), "check = 2026-11-22", "an unknown name"),
    (at(MODEL, "note"), 'nota = "x"', "an unknown name"),
    (at(NB2_TABLE, "successor"), 'successor = "gemini-9"', "'gemini-9', which is no id of [models]"),
    (at(NB2_TABLE, "successor"), 'successor = ["a"]', "an id in quotes"),
    (at(NB2_TABLE, "successor"), "successor = { a = 1 }", "an id in quotes"),
    (at(NB2_TABLE, "successor"), f'successor = "{NB2}"', f"a circle of successors: {NB2} -> {NB2}"),
    (at(NB2_TABLE, "successor"), f'successor = "{NB2_PREVIEW}"', "a circle of successors"),
    (at(PREVIEW_TABLE, "retired_on"), 'retired_on = "lately"', "a day, such as"),
    (at(PREVIEW_TABLE, "successor"), f'successor = "{NB2_PREVIEW}"', "a circle of successors"),
    (at(MODEL, "grounding"), 'grounding = "images"', "'images'; allowed: none, web, web+image"),
    (at(MODEL, "grounding"), "grounding = true", "True; allowed: none, web, web+image"),
    (at(MODEL, "thinking"), 'thinking = ["hard"]', "['hard']; allowed, each once: minimal, low, medium, high"),
    (at(MODEL, "thinking"), 'thinking = ["low", "low"]', "allowed, each once"),
    (at(NB2_TABLE, "default_thinking"), "default_thinking = 1", "1; allowed: minimal, high"),
    (at(MODEL, "thinking"), "thinking = 3", "a list of words in quotes"),
    (at(NB2_TABLE, "default_thinking"), 'default_thinking = "medium"', "'medium'; allowed: minimal, high"),
    (at(MODEL, "background"), 'background = { standard = "yes" }', "'yes'; allowed: true, false, \"unknown\""),
    (at(MODEL, "background"), "background = { express = true }", "an unknown name; allowed: standard"),
    (at(MODEL, "background"), "background = true", "True; allowed: a table"),
    (at(MODEL, "references"), "references = { objects = 15 }", "15; allowed: a whole number from 0 to 14"),
    (at(MODEL, "references"), "references = { faces = 1 }", "an unknown name; allowed: objects, characters"),
    (at(MODEL, "output_formats"), 'output_formats = { interactions = ["gif"] }', "each once: jpeg, png, webp"),
    (at(MODEL, "output_formats"), 'output_formats = { vortex = ["png"] }', "an unknown name; allowed: interactions"),
    (at(LITE_TABLE, "output_limit"), "output_limit = 1000", "1000; allowed: a whole number from 1120"),
    (at(PRICES, "input"), "input = -2.00", "-2.00; allowed: an amount from 0"),
    (at(PRICES, "input"), 'input = "2.00"', "an amount in dollars"),
    (at(PRICES, "input"), "input = true", "an amount in dollars"),
    (at(PRICES, "input"), "input = nan", "an amount in dollars"),
    (at(PRICES, "input"), "input = inf", "an amount in dollars"),
    (at(PRICES, "input"), "input = 1e40", "1E+40; allowed: an amount from 0 to 1,000,000"),
    (at(PRICES, "input"), "output = 1", "an unknown name"),
    (at(PRICES, "image_output"), "image_output = [120.00]", "an amount in dollars"),
    (at(PRICES, "listed"), 'listed = { "1K" = 0.134, "2K" = 0.134 }', "the model's image_tokens have"),
    (at(PRICES, "listed"), 'listed = { "1K" = 0.134, "2K" = 0.134, "4K" = -1 }', "an amount from 0"),
    (at(PRICES, "listed"), 'listed = { "1K" = 0.134, "2K" = 0.134, "4K" = 1e30 }', "an amount from 0"),
    (at(PRICES, "listed"), "listed = 0.134", "a table"),
    (at(PRICES, "grounding_search"), "grounding_search = {}", "an amount in dollars"),
    (at(PRICES, "checked"), "checked = 2026", "a day, such as"),
    (PRICES, f'[google."{PRO}".express]', f"the lane 'express'; allowed: {', '.join(lanes.ASKABLE)}"),
    (PRICES, '[google."gemini-9".standard]', "prices of a model that has no [models] table"),
    (line_of("[purposes]"), "[purpose]", "an unknown name"),
    (line_of("draft ="), 'draft = "gemini-9"', "'gemini-9'; allowed:"),
    (line_of("draft ="), "draft = 5", "5; allowed:"),
    (line_of("draft ="), 'drafts = "nano-banana-pro"', "an unknown name; allowed: draft, default, final"),
    (
        line_of("final ="),
        'final = "nano-banana"',
        f"which is deprecated and not in [ladder] models; name its successor {LITE}",
    ),
    (line_of("default ="), f'default = "{NB2}"', f"deprecated and not in [ladder] models; name its successor {NB21}"),
    (
        line_of("default ="),
        f'default = "{NB2_PREVIEW}"',
        f"retired and not in [ladder] models; name its successor {NB21}",
    ),
    (line_of("final ="), f'final = "{PRO_PREVIEW}"', f"retired and not in [ladder] models; name its successor {PRO}"),
    (FLOOR_MODEL, 'model = "nano-banana-2"', f"deprecated and not in [ladder] models; name its successor {NB21}"),
    (FLOOR_MODEL, f'model = "{NB2_PREVIEW}"', f"retired and not in [ladder] models; name its successor {NB21}"),
    (line_of("draft_model ="), 'draft_model = "nano-banana"', f"name its successor {LITE}"),
    (line_of("models ="), f'models = ["{PRO}", "{NB2_PREVIEW}"]', "which is no live model of [models]"),
    (line_of("models ="), f'models = ["{PRO}", "gemini-9"]', "which is no live model of [models]"),
    (line_of("models ="), f'models = ["{PRO}", "{NB21}", "{LITE}", "{PRO}"]', "twice"),
    (line_of("models ="), f'models = "{PRO}"', "a list of words in quotes"),
    (line_of("image_size ="), 'image_size = "1k"', "'1k'; allowed: 512, 1K, 2K, 4K"),
    (line_of("draft_model ="), 'draft_model = ["a"]', "allowed:"),
]

LEFT_OUT: list[tuple[int, int, str]] = [
    # the line that is left out, the line of the table that lacks it (as it is then), the field
    (at(MODEL, "status"), MODEL, "status"),
    (at(MODEL, "aliases"), MODEL, "aliases"),
    (at(MODEL, "image_tokens"), MODEL, "image_tokens"),
    (at(MODEL, "max_references"), MODEL, "max_references"),
    (at(MODEL, "timeout_seconds"), MODEL, "timeout_seconds"),
    (at(MODEL, "source"), MODEL, "source"),
    (at(MODEL, "checked"), MODEL, "checked"),
    (at(PREVIEW_TABLE, "successor"), PREVIEW_TABLE, "a retired model without successor"),
    (at(PRICES, "input"), PRICES, "input"),
    (at(PRICES, "listed"), PRICES, "listed"),
    (at(PRICES, "checked"), PRICES, "checked"),
    (at(NB2_TABLE, "default_thinking"), NB2_TABLE, "default_thinking"),
    (line_of("draft ="), line_of("[purposes]"), "draft"),
    (line_of("draft_model ="), line_of("[floor]"), "draft_model"),
    (line_of("models ="), line_of("[ladder]"), "models"),
]


def reason_of(text: str) -> str:
    with pytest.raises(BrokenCatalogue) as broken:
        read_catalogue(text)
    return str(broken.value)


@pytest.mark.parametrize(("number", "line", "reason"), BREAKAGES, ids=lambda value: str(value)[:50])
def test_a_broken_catalogue_is_refused_with_its_line_and_reason(number: int, line: str, reason: str) -> None:
    text = reason_of(with_line(number, line))
    assert reason in text
    assert re.match(rf"line {number}, ", text), text


@pytest.mark.parametrize(("left_out", "table", "field"), LEFT_OUT)
def test_a_field_that_is_missing_is_looked_for_in_its_table(left_out: int, table: int, field: str) -> None:
    reason = reason_of(with_line(left_out, ""))
    assert field in reason
    assert reason.startswith(f"line {table}, ")
    assert "nothing" in reason or "without" in reason


def test_sizes_that_differ_between_a_model_and_its_prices_are_refused_at_the_prices() -> None:
    reason = reason_of(with_line(at(MODEL, "image_tokens"), 'image_tokens = { "1K" = 1120, "2K" = 1120 }'))
    assert reason.startswith(f"line {at(PRICES, 'listed')}, ")
    assert "sizes ['1K', '2K', '4K']; the model's image_tokens have ['1K', '2K']" in reason


def test_text_that_is_no_toml_is_refused_with_its_line() -> None:
    number = at(MODEL, "status")
    assert f"(at line {number}," in reason_of(with_line(number, "status = live"))
    assert reason_of(with_line(number, "status = live")).startswith("not TOML: ")


@pytest.mark.parametrize(
    "line", ["status = " + "[" * 50_000, "status = " + "1" * 5_000, "status = 1e9999999999999999999", "a = 2026-02-30"]
)
def test_toml_beyond_all_bounds_is_a_broken_catalogue_too(line: str) -> None:
    assert "not TOML" in reason_of(with_line(at(MODEL, "status"), line))


@pytest.mark.parametrize("text", ["", "[models]", "models = 5", "[[models]]", "models = {}\ngoogle = 3", "\x00"])
def test_a_file_without_its_tables_is_refused(text: str) -> None:
    assert "found" in reason_of(text) or "not TOML" in reason_of(text)


@pytest.mark.parametrize(
    ("table", "value"), [(f'google."{PRO}"', "5"), (f'google."{PRO}"', "[]"), (f'models."{PRO}"', "5")]
)
def test_a_value_where_a_table_belongs_is_refused(table: str, value: str) -> None:
    kind, name = table.split(".", 1)
    lines, skipping = [], False
    for line in TEXT.split("\n"):
        if line.startswith("["):
            skipping = line.startswith(f"[{table}")
        if not skipping:
            lines.append(line)
    reason = reason_of("\n".join([f"[{kind}]", f"{name} = {value}", *lines]))
    assert "line 2, " in reason
    assert "allowed: a table" in reason


def test_a_live_model_without_standard_prices_is_refused() -> None:
    text = TEXT.replace(f'[google."{LITE}".standard]', f'[google."{LITE}".flex]')
    assert f'no [google."{LITE}".standard] prices' in reason_of(text)


def test_the_line_is_right_after_a_character_that_only_python_takes_for_a_line_end() -> None:
    text = with_line(2, "# a comment with \u2028 and \u0085 in it")
    number = at(MODEL, "source")
    lines = text.split("\n")
    lines[number - 1] = "source = 5"
    assert reason_of("\n".join(lines)).startswith(f"line {number}, ")


garbage = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["[", "]", "=", '"', "[models]", "[google]", "[a.b]", "[[models]]", "a = 1", "successor = 5", "models = {}"]
    ),
)
values = st.sampled_from(
    ["5", "-1", "1.5", "true", "nan", '""', '"x"', "[]", "[[]]", "[1]", '["x"]', "{}", "{ a = 1 }", "2026-01-01",
     "2026-01-01T00:00:00Z", "10:00:00", '{ "1K" = {} }', '{ "1K" = [1] }', "1e99", "0x" + "f" * 4_000]
)  # fmt: skip


def parses_or_is_broken(text: str) -> None:
    try:
        catalogue = read_catalogue(text)
    except BrokenCatalogue:
        return
    for name in catalogue.names:
        assert catalogue.live(name).status != "retired"
    assert catalogue.oldest_price <= max(model.checked for model in catalogue.models.values())


@settings(max_examples=60)
@given(st.integers(1, TEXT.count("\n")), garbage)
def test_any_line_replaced_by_garbage_gives_a_catalogue_or_a_broken_one_and_nothing_else(
    number: int, line: str
) -> None:
    parses_or_is_broken(with_line(number, line))


ASSIGNMENTS = [(number, line.split(" =")[0]) for number, line in enumerate(TEXT.split("\n"), 1) if " = " in line]


@settings(max_examples=200)
@given(st.sampled_from(ASSIGNMENTS), values)
def test_any_key_given_any_value_gives_a_catalogue_or_a_broken_one_and_nothing_else(
    place: tuple[int, str], value: str
) -> None:
    number, key = place
    parses_or_is_broken(with_line(number, f"{key} = {value}"))


@settings(max_examples=60)
@given(st.integers(1, TEXT.count("\n")))
def test_any_line_left_out_gives_a_catalogue_or_a_broken_one_and_nothing_else(number: int) -> None:
    parses_or_is_broken(with_line(number, ""))


@settings(max_examples=100)
@given(
    st.sampled_from(["purposes", "ladder", "floor", "models", "google", "gateways", "batch"]),
    st.sampled_from(["5", "true", '"x"', "[]", "[[]]", "1.5"]),
)
def test_any_value_in_place_of_a_top_level_table_is_refused_or_harmless(name: str, value: str) -> None:
    lines, skipping = [], False
    for line in TEXT.split("\n"):
        if line.startswith("["):
            skipping = re.match(rf"\[{name}[\].]", line) is not None
        if not skipping:
            lines.append(line)
    parses_or_is_broken("\n".join([f"{name} = {value}", *lines]))


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ('owner = "laozhang.ai"', "owner = 7", "gateways.laozhang.owner: found 7"),
        (
            '"gemini-3-pro-image" = 0.09',
            '"gemini-9" = 0.09',
            "gateways.laozhang.prices.gemini-9: found an unknown name",
        ),
        ('"gemini-3-pro-image" = 0.09', '"gemini-3-pro-image" = -0.09', "an amount from 0"),
        ('form = "native"', 'form = "native"\nmodalities = ["video"]', "gateways.laozhang.modalities: found ['video']"),
        ('form = "native"', 'form = "native"\nimage_hosts = ["https://a.b/c"]', "names of hosts, as cdn.example.com"),
    ],
)
def test_a_broken_gateway_is_refused_with_its_line(written: str, instead: str, message: str) -> None:
    text = CATALOGUE_FILE.read_text("utf-8")
    assert written in text
    with pytest.raises(BrokenCatalogue, match=re.escape(message)) as broken:
        read_catalogue(text.replace(written, instead))
    assert str(broken.value).startswith("line ")


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        (
            "collect_seconds = 300",
            "collect_seconds = 0",
            "batch.collect_seconds: found 0; allowed: a whole number from 1 to 43,200",
        ),
        (
            "most_requests = 100",
            "most_requests = 101",
            "batch.most_requests: found 101; allowed: a whole number from 1 to 100",
        ),
        ("\nstuck_hours = 12", "\nstuck_hours = 1.5", "batch.stuck_hours: found 1.5"),
        ("unsent_stuck_hours = 1", "unsent_stuck_days = 1", "batch.unsent_stuck_days: found an unknown name"),
    ],
)
def test_rules_of_the_batch_lane_that_cannot_be_are_refused_with_their_line(
    written: str, instead: str, message: str
) -> None:
    text = CATALOGUE_FILE.read_text("utf-8")
    assert written in text
    with pytest.raises(BrokenCatalogue, match=re.escape(message)) as broken:
        read_catalogue(text.replace(written, instead))
    assert str(broken.value).startswith("line ")


def test_a_catalogue_without_rules_of_the_batch_lane_has_those_that_ship() -> None:
    text = re.sub(r"(?ms)^\[batch\]$.*?(?=^#)", "", CATALOGUE_FILE.read_text("utf-8"))
    assert "collect_seconds" not in text
    assert read_catalogue(text).batch == a_catalogue().batch == BatchRules()


def test_a_providers_prices_are_values_of_their_own() -> None:
    gateway = a_catalogue().gateways["laozhang"]
    assert gateway.prices["gemini-3-pro-image"] == 90_000
    assert gateway.prices.keys() <= a_catalogue().models.keys()


def test_a_gateway_may_name_where_its_pictures_lie_and_ask_for_no_modalities() -> None:
    text = CATALOGUE_FILE.read_text("utf-8")
    more = 'form = "native"\nmodalities = []\nimage_hosts = ["cdn.example.com"]'
    gateway = read_catalogue(text.replace('form = "native"', more, 1)).gateways["laozhang"]
    assert (gateway.modalities, gateway.image_hosts) == ((), ("cdn.example.com",))
    shipped = read_catalogue(text).gateways["laozhang"]
    assert (shipped.modalities, shipped.image_hosts) == (("image", "text"), ())
