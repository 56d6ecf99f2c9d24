"""Where the answers differ from the catalogue, and the catalogue's text with the corrections. Pure.

A correction is proposed only where the API made a statement: an image with its tokens, or a refusal of what was asked.
A rejected key, a full quota or a broken connection says nothing about a model.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from msgspec import Struct

from scripts.doctor_live.outcome import ProbeOutcome
from shared.core.catalogue.catalogue import Catalogue
from shared.core.values.lanes import STANDARD


class CatalogueDifference(Struct, frozen=True):
    table: str
    """Of the catalogue: `models."ID"` or `google."ID".LANE`."""
    key: str
    """Inside it; empty = the whole table."""
    catalogue: str
    answer: str
    because: str


def differences(outcomes: Sequence[ProbeOutcome], catalogue: Catalogue) -> list[CatalogueDifference]:
    """In the order of the probes, each once."""
    return list(dict.fromkeys(change for outcome in outcomes for change in _of(outcome, catalogue)))


def _of(outcome: ProbeOutcome, catalogue: Catalogue) -> Iterator[CatalogueDifference]:
    probe, model = outcome.probe, catalogue.models[outcome.probe.model]
    if not outcome.is_statement:
        return
    table, because = f'models."{model.id}"', _because(outcome)
    refused = not outcome.made
    if outcome.made:
        yield from _tokens(outcome, catalogue)
    match probe.kind:
        case "answers" if refused and outcome.code == "model_gone":
            yield CatalogueDifference(table, "status", model.status, "retired", because)
        case "size" if refused and probe.expected == "image":
            yield CatalogueDifference(table, f"image_tokens.{probe.image_size}", "made", "refused", because)
        case "thinking" if refused == (probe.expected == "image"):
            levels = [level for level in model.capabilities.thinking if level != probe.thinking]
            levels_now = levels if refused else [*levels, probe.thinking or ""]
            yield CatalogueDifference(table, "thinking", _list(model.capabilities.thinking), _list(levels_now), because)
        case "lane" if refused and probe.expected == "image":
            yield CatalogueDifference(f'google."{model.id}".{probe.lane}', "", "offered", "refused", because)
        case "lane" if outcome.made and probe.expected == "refused":
            yield CatalogueDifference(f'google."{model.id}".{probe.lane}', "", "not offered", "offered", because)
        case "background" if model.capabilities.background_in(STANDARD) != ("no" if refused else "yes"):
            believed = model.capabilities.background_in(STANDARD)
            yield CatalogueDifference(table, f"background.{STANDARD}", believed, "no" if refused else "yes", because)
        case "ratio" if refused == (probe.expected == "image"):
            word = "refused" if refused else "made"
            yield CatalogueDifference(table, "aspect_ratios", f"{probe.aspect_ratio} not {word}", word, because)
        case "vertex" if refused:
            yield CatalogueDifference(f'google."{model.id}".vertex', "", "offered", "refused", because)
        case _:
            pass


def _tokens(outcome: ProbeOutcome, catalogue: Catalogue) -> Iterator[CatalogueDifference]:
    """Of an image in the size that was asked for; a size the catalogue does not have is new."""
    probe, model, usage = outcome.probe, catalogue.models[outcome.probe.model], outcome.usage
    if usage is None or not usage.image_out or outcome.model_served not in ("", model.id):
        return
    believed = model.image_tokens.get(probe.image_size)
    if believed != usage.image_out:
        key = f"image_tokens.{probe.image_size}"
        was = "not made" if believed is None else str(believed)
        yield CatalogueDifference(f'models."{model.id}"', key, was, str(usage.image_out), _because(outcome))


def _because(outcome: ProbeOutcome) -> str:
    """The evidence, in words."""
    if not outcome.made:
        return f"{outcome.probe.about}: HTTP {outcome.http_status} {outcome.code}: {outcome.message}"[:300]
    usage = outcome.usage
    counted = f"{usage.image_out} image and {usage.thought} thinking tokens" if usage else "no usage"
    return f"{outcome.probe.about}: an image of {outcome.width} x {outcome.height}, {counted}"


def _list(levels: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{level}"' for level in levels) + "]"


def corrected(text: str, changes: Sequence[CatalogueDifference], today: date) -> str:
    """The catalogue's text with what can be written in one line; the rest stays for a person."""
    for difference in changes:
        start, end = _bounds(text, difference.table)
        if start < 0:
            continue
        block = _edited(text[start:end], difference)
        if block != text[start:end]:
            block = re.sub(r"(?m)^checked = .*$", f"checked = {today.isoformat()}", block, count=1)
            text = text[:start] + block + text[end:]
    return text


def _edited(block: str, difference: CatalogueDifference) -> str:
    key, _, member = difference.key.partition(".")
    match key:
        case "":
            offered = difference.answer == "offered"
            return block if offered else re.sub(r"(?m)^(?=.)", "# ", block)
        case "status":
            return re.sub(r"(?m)^status = .*$", 'status = "retired"', block)
        case "thinking":
            block = re.sub(r"(?m)^thinking = .*$", f"thinking = {difference.answer}", block)
            return re.sub(r"(?m)^thought_tokens = \{(.*)\}$", lambda row: _allowances(row[1], difference.answer), block)
        case "image_tokens" if difference.answer.isdecimal():
            return re.sub(rf'(?m)^(image_tokens = .*"{member}" = )\d+', rf"\g<1>{difference.answer}", block)
        case "background":
            value = "true" if difference.answer == "yes" else "false"
            return re.sub(rf'(?m)^(background = .*\b{member} = )("unknown"|true|false)', rf"\g<1>{value}", block)
        case _:
            return block


def _allowances(by_level: str, levels: str) -> str:
    """One for each level that there is now; a new one gets the largest that is known."""
    tokens = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", by_level)}
    most = max(tokens.values(), default=0)
    kept = ", ".join(f"{level} = {tokens.get(level, most)}" for level in re.findall(r"\w+", levels))
    return f"thought_tokens = {{ {kept} }}" if kept else f"thought_tokens = {most}"


def _bounds(text: str, table: str) -> tuple[int, int]:
    """Where the lines of that table are; -1 where there is none."""
    head = f"[{table}]\n"
    start = text.find(head)
    if start < 0:
        return -1, -1
    following = re.search(r"(?m)^(\[|# [A-Z])", text[start + len(head) :])
    return start, len(text) if following is None else start + len(head) + following.start()


def diff(before: str, after: str, name: str) -> str:
    """Unified, as `patch` takes it; empty where nothing is proposed."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(lines)
