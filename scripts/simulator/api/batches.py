"""The Batch API: create from a file, look, list, cancel. A batch is made at once and shown when its time has come."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scripts.simulator.engine.batch_job import EXPIRES_AFTER, BatchCounts, Job
from scripts.simulator.engine.batch_work import lines_of, work
from scripts.simulator.formats import webhooks as forms
from scripts.simulator.formats.credential import check_key, key_of
from scripts.simulator.formats.fields import need, read
from scripts.simulator.formats.reply import Reply, WrittenAnswer, deliver, json_answer
from scripts.simulator.provider.accepted_request import Headline
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.models import ImageModel
from scripts.simulator.provider.problems import ApiProblem, RequestRefused, invalid, model_not_found

if TYPE_CHECKING:
    from scripts.simulator.engine.simulation import Simulation

MOST_AT_ONCE = 100
PAGE = 50


def routes(simulation: Simulation) -> list[Route]:
    endpoint = BatchEndpoints(simulation)
    return [
        Route("/v1beta/models/{model}:batchGenerateContent", endpoint, methods=["POST"]),
        Route("/v1beta/batches", endpoint, methods=["GET"]),
        Route("/v1beta/batches/{id}:cancel", endpoint, methods=["POST"]),
        Route("/v1beta/batches/{id}", endpoint, methods=["GET", "DELETE"]),
    ]


class BatchEndpoints:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        try:
            check_key(key_of(http))
            reply = await self._answer(http)
        except RequestRefused as refused:
            reply = json_answer(refused.problem.http_status, refused.problem.rpc_body(), refused.problem.headers)
        await deliver(reply, scope, receive, send)

    async def _answer(self, http: HttpRequest) -> Reply:
        simulation, now = self._simulation, self._simulation.now()
        if "model" in http.path_params:
            return await self._create(http.path_params["model"], await http.body())
        if "id" not in http.path_params:
            return simulation.door("batch_list") or self._list(http)
        job = simulation.jobs.get(f"batches/{http.path_params['id']}")
        if job is None:
            raise RequestRefused(ApiProblem("not_found", f"Batch {http.path_params['id']} is not found.", status=404))
        if http.method == "DELETE":
            del simulation.jobs[job.name]
            return json_answer(200, {})
        if http.method == "POST":
            if job.state(now) in ("PENDING", "RUNNING"):
                job.cancelled_at = now
                self._tell(job)
            return json_answer(200, {})
        return simulation.door("batch_look", headline=Headline(model=job.model.id)) or json_answer(
            200, job.to_json(now)
        )

    async def _create(self, model_id: str, body: bytes) -> Reply:
        simulation = self._simulation
        model = simulation.models.served(model_id)
        if model is None:
            raise RequestRefused(model_not_found(model_id))
        headline = Headline(model=model.id, tier="batch")
        fault = simulation.faults.judge("batch_create", headline, now=simulation.monotonic()).fault
        silent = simulation.bent_by(fault, headline)
        if silent is not None and (isinstance(silent, WrittenAnswer) or not (fault and fault.charged)):
            return silent
        job = await self._begin(model, body, fault)
        return silent or json_answer(200, job.to_json(simulation.now()))

    async def _begin(self, model: ImageModel, body: bytes, fault: Fault | None) -> Job:
        simulation = self._simulation
        if "batch" not in model.rates:
            raise invalid(f"Model {model.id} does not support batchGenerateContent.")
        if (
            sum(job.state(simulation.now()) in ("PENDING", "RUNNING") for job in simulation.jobs.values())
            >= MOST_AT_ONCE
        ):
            raise RequestRefused(
                ApiProblem("rate_limit_exceeded", "Too many concurrent batch requests: 100 are allowed.")
            )
        try:
            payload = need(msgspec.json.decode(body, type=dict[str, Any]), "batch", dict)
        except msgspec.DecodeError as error:
            raise invalid("Request body is not a JSON object.") from error
        config = need(payload, "inputConfig", dict, "batch.")
        source = simulation.files.whole(need(config, "fileName", str, "batch.inputConfig."))
        lines = await lines_of(source)
        if not lines:
            raise invalid("The input file holds no request.")
        identity = simulation.call_id(-1000 - len(simulation.jobs))[:20]
        now = simulation.now()
        seconds = simulation.batch_latency.draw(model.id, simulation.chance)
        results = simulation.files.add(f"files/batch-{identity}", "", "application/jsonl", now)
        job = Job(
            name=f"batches/{identity}",
            display_name=str(payload.get("displayName", "")),
            model=model,
            created_at=now,
            ends_at=now + timedelta(seconds=seconds),
            fault=fault,
            results=results,
            counts=BatchCounts(total=len(lines)),
            webhook=forms.config(
                read(payload, "webhookConfig", dict) or {}, "batch.webhookConfig.", ("uris", "userMetadata")
            ),
        )
        if fault is None or fault.kind not in ("batch_failed", "batch_expired", "stuck"):
            job.work = asyncio.create_task(work(simulation, model, lines, results, job.counts))
        simulation.jobs[job.name] = job
        job.alarm = asyncio.create_task(self._tell_at_end(job))
        return job

    async def _tell_at_end(self, job: Job) -> None:
        """The event of its end, at its end."""
        simulation = self._simulation
        expires = job.fault is not None and job.fault.kind == "batch_expired"
        ends_at = job.created_at + EXPIRES_AFTER if expires else job.ends_at
        await simulation.sleep(max(0.0, (ends_at - simulation.now()).total_seconds()))
        if job.work is not None:
            await asyncio.wait([job.work])
        if job.cancelled_at is None and job.name in simulation.jobs:
            self._tell(job)

    def _tell(self, job: Job) -> None:
        simulation = self._simulation
        state = job.state(max(simulation.now(), job.ends_at))
        event = forms.event_of_batch(state)
        if event is None:
            return
        problem = ApiProblem("api_error", "The batch could not be processed.") if state == "FAILED" else None
        more = {"output_file_uri": job.results.name} if state == "SUCCEEDED" else {}
        headline = Headline(model=job.model.id, tier="batch")
        simulation.webhooks.emit(event, job.name, forms.data(job.name, problem, **more), job.webhook, headline)

    def _list(self, http: HttpRequest) -> WrittenAnswer:
        """Newest first."""
        simulation, now = self._simulation, self._simulation.now()
        first = int(http.query_params.get("pageToken") or 0)
        size = min(int(http.query_params.get("pageSize") or PAGE), PAGE)
        jobs = sorted(simulation.jobs.values(), key=lambda job: job.created_at, reverse=True)
        body: dict[str, Any] = {"operations": [job.to_json(now) for job in jobs[first : first + size]]}
        if first + size < len(jobs):
            body["nextPageToken"] = str(first + size)
        return json_answer(200, body)
