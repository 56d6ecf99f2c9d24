"""The functions of the bundle, each started by its name: `--source functions/main.py --target render`.

Each imports its flow when it runs: a function that starts loads nothing of the others.
"""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions import push
from functions.unacknowledged import delivery_of
from shared.flows.requests.message import Message
from shared.wiring import Worker


@functions_framework.aio.http
async def intake(request: Request) -> Response:
    """Push of `render-requests`: a message becomes a queued request, a cancellation or a rejection."""
    from shared.flows.intake.intake import accept_message

    async def flow(worker: Worker, message: Message) -> None:
        await accept_message(worker.ports, worker.kicks, worker.tags, message)

    return await push.answer(request, "intake", flow)


@functions_framework.aio.http
async def pump(request: Request) -> Response:
    """Push of `pump-kicks`: run or wake the one loop that grants slots."""
    from shared.core.messages.pubsub_messages import Kick

    async def flow(worker: Worker, message: Message) -> None:
        await worker.pump.kicked(Kick.parse(message.data).queues)

    return await push.answer(request, "pump", flow)


@functions_framework.aio.http
async def render(request: Request) -> Response:
    """Push of `render-releases`: a released request becomes an attempt and is settled."""
    from shared.flows.render import render as story

    async def flow(worker: Worker, message: Message) -> None:
        await story.render(worker.ports, worker.kicks, worker.evidence, message)

    return await push.answer(request, "render", flow)


@functions_framework.aio.http
async def collect(request: Request) -> Response:
    """Push of `render-arrivals`: an interaction that may have ended is looked at and settled."""
    from shared.flows.collect import collect as story

    async def flow(worker: Worker, message: Message) -> None:
        await story.collect(worker.ports, worker.kicks, worker.collector, message)

    return await push.answer(request, "collect", flow)


@functions_framework.aio.http
async def watch(request: Request) -> Response:
    """Called once a minute by Cloud Scheduler, with any body."""
    from shared.flows.upkeep import watch as story

    delivery = delivery_of("watch", request.headers)
    worker = push.worker_or_crash(request, delivery)
    if isinstance(worker, Response):
        return worker
    answer = await push.guarded(worker, delivery, story.watch(worker.ports, worker.kicks, worker.collector))
    await worker.presence.tell("watch")
    return answer


@functions_framework.aio.http
async def bury(request: Request) -> Response:
    """Push of `render-dead-letters`: a delivery that kept crashing."""
    from shared.flows.upkeep import dead_letters as story

    async def flow(worker: Worker, message: Message) -> None:
        await story.bury(worker.ports, worker.kicks, worker.tags, worker.evidence, worker.webhook_room, message)

    return await push.answer(request, "bury", flow)


@functions_framework.aio.http
async def arrive(request: Request) -> Response:
    """The provider's webhooks: the one function that anyone can call. A signature decides before everything else."""
    from functions import webhook

    return await webhook.answer(request)


@functions_framework.aio.http
async def deliver(request: Request) -> Response:
    """Push of `render-results` and `webhook-deliveries`: results go to the endpoints of their tenants."""
    from shared.flows.webhooks import deliver as story

    async def flow(worker: Worker, message: Message) -> None:
        await story.deliver(worker.ports, worker.webhook_room, message)

    return await push.answer(request, "deliver", flow)


@functions_framework.aio.http
async def console(request: Request) -> Response:
    """The page for on-call, behind Identity-Aware Proxy."""
    from functions.application import FunctionAnswer
    from functions.console.app import of_this_process

    return FunctionAnswer("console", of_this_process)


@functions_framework.aio.http
async def api(request: Request) -> Response:
    """HTTP requests for images, behind Cloud Run's own check of callers."""
    from functions.api.app import of_this_process
    from functions.application import FunctionAnswer

    return FunctionAnswer("api", of_this_process)
