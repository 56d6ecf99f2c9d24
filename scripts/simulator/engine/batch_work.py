"""What the model makes of the lines of a batch, one by one: answers, errors, and the provider's own slips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from scripts.simulator.engine.batch_job import BatchCounts
from scripts.simulator.engine.making import make
from scripts.simulator.formats import fault_replies, generate_content
from scripts.simulator.formats.fields import need
from scripts.simulator.provider import tokens
from scripts.simulator.provider.accepted_request import Headline, accept
from scripts.simulator.provider.bill import RecordedCall, cost_micros
from scripts.simulator.provider.faults import GATE_KINDS, SICK_KINDS, Fault
from scripts.simulator.provider.models import ImageModel
from scripts.simulator.provider.problems import ApiProblem, RequestRefused, invalid
from scripts.simulator.provider.tokens import NOTHING, TokenUsage

if TYPE_CHECKING:
    from scripts.simulator.engine.files import File
    from scripts.simulator.engine.simulation import Simulation

_RPC_NUMBER = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14, 504: 4}
"""google.rpc.Code of an HTTP status."""


async def lines_of(file: File) -> list[bytes]:
    """Those that hold something."""
    whole = b"".join([chunk async for chunk in file.chunks()])
    return [line for line in whole.splitlines() if line.strip()]


async def work(simulation: Simulation, model: ImageModel, lines: list[bytes], out: File, counts: BatchCounts) -> None:
    """Answer every line of a batch into `out`."""
    for line in lines:
        for answer in await _answers(simulation, model, line, counts):
            out.write(answer + b"\n")
    out.is_whole = True


async def _answers(simulation: Simulation, model: ImageModel, line: bytes, counts: BatchCounts) -> list[bytes]:
    """What comes back for one line: as a rule one answer."""
    key, request = "", {}
    try:
        body = msgspec.json.decode(line, type=dict[str, Any])
        key = str(body.get("key", ""))
        request = need(body, "request", dict)
    except (msgspec.DecodeError, RequestRefused):
        counts.bad += 1
        return [_error(key, ApiProblem("invalid_request", "The line is not a request."))]
    headline = generate_content.headline(request, model.id)
    fault = simulation.faults.judge("batch", headline, now=simulation.monotonic()).fault
    made = await _made(simulation, model, request, headline, fault)
    if isinstance(made, ApiProblem):
        counts.bad += 1
        return [] if fault is not None and fault.kind in ("hang", "reset") else [_error(key, made)]
    counts.good += 1
    answers = [_line(key, made)]
    match fault:
        case Fault(kind="missing_key"):
            return []
        case Fault(kind="duplicate_key", copies=copies):
            for _ in range(copies - 1):
                again = await _made(simulation, model, request, headline, None)
                answers += [] if isinstance(again, ApiProblem) else [_line(key, again)]
        case Fault(kind="strange_key"):
            return [_line(f"{key}-strange", made)]
        case Fault(kind="malformed"):
            return [answers[0][:-2] + b',"']
        case _:
            pass
    return answers


async def _made(
    simulation: Simulation, model: ImageModel, request: Mapping[str, Any], headline: Headline, fault: Fault | None
) -> dict[str, Any] | ApiProblem:
    """The response to one request, on the bill."""
    line = simulation.ledger.open(simulation.now(), "batch")
    line = replace(
        line, model=model.id, size=headline.size, ratio=headline.ratio, tier="batch",
        prompt_sha256=headline.prompt_sha256, marker=headline.marker,
    )  # fmt: skip
    try:
        _at_the_door(fault, headline)
        order = generate_content.order(request)
        ask = replace(await accept(replace(order, tier="standard"), model, simulation.models, simulation.painter),
                      tier="batch")  # fmt: skip
        line = replace(line, parameters=ask.parameters)
        made, outcome = await make(simulation, line, ask, fault)
    except RequestRefused as refused:
        simulation.ledger.update(_ended(simulation, line, refused.problem.code, refused.problem.http_status, None))
        if fault is not None and fault.charged:
            _charge(simulation, line, model, headline)
        return refused.problem
    usage = made.usage if made.usage is not None else NOTHING
    charged = made.usage is not None and (fault is None or fault.charged is not False)
    simulation.ledger.update(_ended(simulation, line, outcome, 200, (made.model, usage) if charged else None))
    return generate_content.response(made)


def _at_the_door(fault: Fault | None, headline: Headline) -> None:
    if fault is None or fault.kind not in (*GATE_KINDS, *SICK_KINDS):
        return
    if fault.kind in ("hang", "reset"):
        raise invalid("this text is not shown")
    raise RequestRefused(fault_replies.gate_problem(fault, headline))


def _charge(simulation: Simulation, line: RecordedCall, model: ImageModel, headline: Headline) -> None:
    """A picture that was made and did not come back."""
    text, image = tokens.of_input(model, headline.prompt, headline.references)
    usage = TokenUsage(text_in=text, image_in=image, image_out=model.image_tokens.get(headline.size, 0))
    simulation.ledger.update(
        replace(line, finished_at=simulation.now(), served_model=model.id, outcome="lost", usage=usage, charged=True,
                cost_micros=cost_micros(model, "batch", usage))
    )  # fmt: skip


def _ended(
    simulation: Simulation, line: RecordedCall, outcome: str, status: int, paid: tuple[ImageModel, TokenUsage] | None
) -> RecordedCall:
    ended = replace(line, finished_at=simulation.now(), status=status, outcome=outcome, served_model=line.model)
    if paid is None:
        return ended
    served, usage = paid
    cost = cost_micros(served, "batch", usage)
    return replace(ended, served_model=served.id, usage=usage, charged=True, cost_micros=cost)


def _line(key: str, response: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"key": key, "response": response})


def _error(key: str, problem: ApiProblem) -> bytes:
    error: dict[str, Any] = {"code": _RPC_NUMBER.get(problem.http_status, 2), "message": problem.message}
    if problem.details:
        error["details"] = list(problem.details)
    return msgspec.json.encode({"key": key, "error": error})
