"""How a ladder is shown: the routes in order with what stands against them, and what becomes of the request."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from msgspec.structs import asdict
from rich.console import RenderableType
from rich.text import Text

from scripts.cli.data.explanation import Explained
from scripts.cli.views.request_view import dollars, moment
from scripts.cli.views.responsive_table import Cell, Column, Narrowing
from shared.core.routing.eligibility import RouteOption
from shared.core.routing.ladder import Ladder, Planned, Waits
from shared.core.values.money import usd
from shared.core.values.route import Route


def sheet(found: Explained) -> Iterator[RenderableType]:
    yield Text(f"{found.name}: {found.about}", "bold")
    yield from _outcome(found)
    if found.ladder is None:
        return
    for note in found.ladder.notes:
        yield Text(f"note: {note}")
    for idle in found.ladder.without_effect:
        yield Text(f"no effect: {idle}")
    yield _table(found.ladder, _taken(found))


def _outcome(found: Explained) -> Iterator[Text]:
    match found.plan:
        case Planned() as planned:
            thinks = f", thinking {planned.thinking}" if planned.thinking else ""
            yield Text(f"takes {planned.route}{thinks}, estimate {dollars(planned.estimate_micros)}", "green")
            notes = found.ladder.notes if found.ladder else ()
            yield from (Text(f"because: {reason}") for reason in planned.reasons if reason not in notes)
            if found.opens_at is not None:
                yield Text(f"{planned.route.model} is closed until {moment(found.opens_at)}", "yellow")
        case Waits(reason, paused):
            yield Text(f"blocked, {'paused' if paused else 'every route is unavailable'}: {reason}", "yellow")
        case _:
            pass
    for problem in found.problems:
        yield Text(str(problem), "red")


def _table(found: Ladder, taken: Route | None) -> RenderableType:
    columns = (
        Column("#", right=True, leaves=1),
        Column("lane"),
        Column("model", least=8),
        Column("size"),
        Column("estimate", right=True),
        Column("verdict"),
        Column("why", least=20),
    )
    above = [None, *(rung.struck for rung in found.rungs)]
    numbered = zip(itertools.count(1), found.rungs, above)
    return Narrowing(columns, [_row(number, rung, taken, said) for number, rung, said in numbered])


def _row(number: int, rung: RouteOption, taken: Route | None, said: str | None) -> tuple[Cell, ...]:
    """`said` is what strikes the rung above: the same is not said twice."""
    verdict = {"chosen": "bold green", "possible": "green", "rejected": "dim"}
    word = "chosen" if rung.route == taken else "possible" if rung.struck is None else "rejected"
    why = f"{rung.struck or ''}{f' ({rung.flag_id})' if rung.flag_id else ''}"
    return (
        str(number),
        rung.route.lane,
        rung.route.model.removeprefix("gemini-").removesuffix("-image"),
        rung.route.image_size,
        dollars(rung.estimate_micros) if rung.estimate_micros else "-",
        Text(word, verdict[word]),
        "as above" if rung.struck is not None and rung.struck == said else why,
    )


def _taken(found: Explained) -> Route | None:
    return found.plan.route if isinstance(found.plan, Planned) else None


def document(found: Explained) -> dict[str, Any]:
    """One request for a program."""
    planned = found.plan if isinstance(found.plan, Planned) else None
    waits = found.plan if isinstance(found.plan, Waits) else None
    return {
        "request_id": found.name,
        "about": found.about,
        "asked_model": found.ladder.asked_model if found.ladder else None,
        "takes": planned.route.to_json() if planned else None,
        "thinking": planned.thinking if planned else None,
        "estimate_usd": usd(planned.estimate_micros) if planned else None,
        "saved_usd": usd(planned.saved_micros) if planned else None,
        "opens_at": found.opens_at,
        "reasons": list(planned.reasons) if planned else [],
        "flags": list(planned.flags) if planned else [],
        "waits": {"reason": waits.reason, "paused": waits.paused} if waits else None,
        "problems": [asdict(each) for each in found.problems],
        "notes": list(found.ladder.notes) if found.ladder else [],
        "without_effect": list(found.ladder.without_effect) if found.ladder else [],
        "rungs": [each.to_json() for each in found.ladder.rungs] if found.ladder else [],
    }
