"""How a ladder is shown: the routes in order with what stands against them, and what becomes of the request."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from msgspec.structs import asdict
from rich.console import RenderableType
from rich.text import Text

from scripts.cli.data.see.explanation import Explained
from scripts.cli.views.responsive_table import Cell, Column, Narrowing
from scripts.cli.views.see.request_view import dollars, moment
from shared.core.routing.eligibility import RouteOption
from shared.core.routing.ladder import Ladder, Planned, Waits
from shared.core.values.money import usd
from shared.core.values.route import Route


def sheet(explanation: Explained) -> Iterator[RenderableType]:
    yield Text(f"{explanation.name}: {explanation.about}", "bold")
    yield from _outcome(explanation)
    if explanation.ladder is None:
        return
    for note in explanation.ladder.notes:
        yield Text(f"note: {note}")
    for idle in explanation.ladder.without_effect:
        yield Text(f"no effect: {idle}")
    yield _table(explanation.ladder, _taken(explanation))


def _outcome(explanation: Explained) -> Iterator[Text]:
    match explanation.plan:
        case Planned() as planned:
            thinks = f", thinking {planned.thinking}" if planned.thinking else ""
            yield Text(f"takes {planned.route}{thinks}, estimate {dollars(planned.estimate_micros)}", "green")
            notes = explanation.ladder.notes if explanation.ladder else ()
            yield from (Text(f"because: {reason}") for reason in planned.reasons if reason not in notes)
            if explanation.opens_at is not None:
                yield Text(f"{planned.route.model} is closed until {moment(explanation.opens_at)}", "yellow")
        case Waits(reason, paused):
            yield Text(f"blocked, {'paused' if paused else 'every route is unavailable'}: {reason}", "yellow")
        case _:
            pass
    for problem in explanation.problems:
        yield Text(str(problem), "red")


def _table(ladder: Ladder, taken: Route | None) -> RenderableType:
    columns = (
        Column("#", right=True, leaves=1),
        Column("lane"),
        Column("model", least=8),
        Column("size"),
        Column("estimate", right=True),
        Column("verdict"),
        Column("why", least=20),
    )
    above = [None, *(option.rejected_because for option in ladder.options)]
    numbered = zip(itertools.count(1), ladder.options, above)
    return Narrowing(columns, [_row(number, option, taken, text) for number, option, text in numbered])


def _row(number: int, option: RouteOption, taken: Route | None, text: str | None) -> tuple[Cell, ...]:
    """`text` is why the route above is rejected: the same reason is not shown twice."""
    verdict = {"chosen": "bold green", "possible": "green", "rejected": "dim"}
    word = "chosen" if option.route == taken else "possible" if option.rejected_because is None else "rejected"
    why = f"{option.rejected_because or ''}{f' ({option.flag_id})' if option.flag_id else ''}"
    return (
        str(number),
        option.route.lane,
        option.route.model.removeprefix("gemini-").removesuffix("-image"),
        option.route.image_size,
        dollars(option.estimate_micros) if option.estimate_micros else "-",
        Text(word, verdict[word]),
        "as above" if option.rejected_because is not None and option.rejected_because == text else why,
    )


def _taken(explanation: Explained) -> Route | None:
    return explanation.plan.route if isinstance(explanation.plan, Planned) else None


def document(explanation: Explained) -> dict[str, Any]:
    """One request for a program."""
    planned = explanation.plan if isinstance(explanation.plan, Planned) else None
    waits = explanation.plan if isinstance(explanation.plan, Waits) else None
    return {
        "request_id": explanation.name,
        "about": explanation.about,
        "asked_model": explanation.ladder.asked_model if explanation.ladder else None,
        "takes": planned.route.to_json() if planned else None,
        "thinking": planned.thinking if planned else None,
        "estimate_usd": usd(planned.estimate_micros) if planned else None,
        "saved_usd": usd(planned.saved_micros) if planned else None,
        "opens_at": explanation.opens_at,
        "reasons": list(planned.reasons) if planned else [],
        "flags": list(planned.flags) if planned else [],
        "waits": {"reason": waits.reason, "paused": waits.paused} if waits else None,
        "problems": [asdict(problem) for problem in explanation.problems],
        "notes": list(explanation.ladder.notes) if explanation.ladder else [],
        "without_effect": list(explanation.ladder.without_effect) if explanation.ladder else [],
        "rungs": [option.to_json() for option in explanation.ladder.options] if explanation.ladder else [],
    }
