"""The control endpoints: read the bill and the calls, set faults, limits and latency. No part of the simulated API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider import faults as fault_script
from scripts.simulator.provider.bill import BillTotal, RecordedCall, usage_json
from scripts.simulator.provider.faults import InvalidFaults
from scripts.simulator.provider.latency import InvalidLatency
from shared.core.limits.quota import InvalidQuota
from shared.core.validation.numbers import whole_number

Endpoint = Callable[[Request], Awaitable[Response]]


class ControlSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """{"limits": "*=rpm:60"} or {"latency": "fixed:1"}."""

    limits: str | None = None
    latency: str | None = None


def routes(simulation: Simulation) -> list[Route]:
    return [
        Route("/control/bill", _bill(simulation), methods=["GET"]),
        Route("/control/calls", _calls(simulation), methods=["GET"]),
        Route("/control/webhooks", _webhooks(simulation), methods=["GET"]),
        Route("/control/state", _state(simulation), methods=["GET"]),
        Route("/control/faults", _faults(simulation), methods=["GET", "POST", "DELETE"]),
        Route("/control/limits", _setting(simulation, "limits"), methods=["POST"]),
        Route("/control/latency", _setting(simulation, "latency"), methods=["POST"]),
        Route("/control/reset", _reset(simulation), methods=["POST"]),
    ]


def state(simulation: Simulation) -> dict[str, Any]:
    return {
        "limits": simulation.limits_text,
        "latency": simulation.latency_text,
        "window": simulation.window,
        "rejected_counts": simulation.rejected_counts,
        "pictures": simulation.pictures,
        "error_form": simulation.error_form,
        "takes_background": simulation.takes_background,
        "interactions": simulation.backgrounds.counts(),
        "seed": simulation.seed,
        "faults": simulation.faults.report(),
        "quota_api": simulation.quota_api_fault,
    }


def bill(simulation: Simulation) -> dict[str, Any]:
    settled = simulation.ledger.bill()
    return {
        "total": _total(settled.total),
        "by_model": {model: _total(total) for model, total in settled.by_model.items()},
        "by_tier": {tier: _total(total) for tier, total in settled.by_tier.items()},
        "by_outcome": dict(settled.by_outcome),
    }


def call_json(call: RecordedCall) -> dict[str, Any]:
    return {
        "number": call.number,
        "received_at": call.received_at.isoformat(),
        "finished_at": call.finished_at.isoformat() if call.finished_at is not None else None,
        "api": call.api,
        "model": call.model,
        "served_model": call.served_model,
        "size": call.size,
        "ratio": call.ratio,
        "tier": call.tier,
        "status": call.status,
        "outcome": call.outcome,
        "prompt_sha256": call.prompt_sha256,
        "parameters": call.parameters.to_json(),
        "marker": call.marker,
        "client_disconnected": call.client_disconnected,
        "usage": usage_json(call.usage),
        "charged": call.charged,
        "cost_micros": call.cost_micros,
    }


def _total(total: BillTotal) -> dict[str, int]:
    return msgspec.structs.asdict(total)


def _bill(simulation: Simulation) -> Endpoint:
    async def answer(request: Request) -> Response:
        return _json(bill(simulation))

    return answer


def _calls(simulation: Simulation) -> Endpoint:
    async def answer(request: Request) -> Response:
        text = request.query_params.get("since", "0")
        since = whole_number(text, 15)
        if since is None or not text.isascii():
            return _error(f"since: found {text[:80]!r}, allowed is the number of a call")
        return _json({"calls": [call_json(call) for call in simulation.ledger.since(since)]})

    return answer


def _state(simulation: Simulation) -> Endpoint:
    async def answer(request: Request) -> Response:
        return _json(state(simulation))

    return answer


def _webhooks(simulation: Simulation) -> Endpoint:
    async def answer(request: Request) -> Response:
        sent = simulation.webhooks.deliveries
        return _json({"deliveries": [msgspec.structs.asdict(delivery) for delivery in sent]})

    return answer


def _faults(simulation: Simulation) -> Endpoint:
    async def answer(request: Request) -> Response:
        match request.method:
            case "POST":
                try:
                    simulation.set_faults(fault_script.parse(await request.body()))
                except InvalidFaults as error:
                    return _error(str(error))
            case "DELETE":
                simulation.set_faults(())
            case _:
                pass
        return _json({"faults": simulation.faults.report()})

    return answer


def _setting(simulation: Simulation, name: str) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            setting = msgspec.json.decode(await request.body(), type=ControlSetting)
            text = setting.limits if name == "limits" else setting.latency
            if text is None:
                return _error(f'the body is {{"{name}": "..."}}')
            if name == "limits":
                simulation.set_limits(text)
            else:
                simulation.set_latency(text)
        except (msgspec.DecodeError, InvalidQuota, InvalidLatency) as error:
            return _error(str(error))
        return _json(state(simulation))

    return answer


def _reset(simulation: Simulation) -> Endpoint:
    async def answer(request: Request) -> Response:
        simulation.reset()
        return _json(state(simulation))

    return answer


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")


def _error(message: str) -> Response:
    return _json({"error": message}, 400)
