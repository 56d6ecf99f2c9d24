"""The state of one simulated provider: limits, latency, faults, bill, stored interactions. Nothing here is global."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Literal

from msgspec import Struct

from scripts.simulator.engine.background import Backgrounds
from scripts.simulator.engine.batch_job import Job
from scripts.simulator.engine.files import Files
from scripts.simulator.engine.webhooks import SimulatedWebhooks
from scripts.simulator.formats import fault_replies
from scripts.simulator.formats.reply import Cut, Hang, Reply, Reset, WrittenAnswer, json_answer
from scripts.simulator.provider import faults as fault_script
from scripts.simulator.provider import latency as latencies
from scripts.simulator.provider import models as model_list
from scripts.simulator.provider.accepted_request import Headline
from scripts.simulator.provider.bill import Api, Ledger
from scripts.simulator.provider.drawing import Painter, PictureMode
from scripts.simulator.provider.faults import GATE_KINDS, SICK_KINDS, Fault, FaultBook
from scripts.simulator.provider.models import VERTEX, Models
from scripts.simulator.provider.problems import ApiProblem, ErrorForm
from scripts.simulator.provider.quota_windows import ModelQuota, WindowKind, WindowMoment
from scripts.simulator.provider.tariff import Tariff
from shared.core.limits.quota import InvalidQuota, Quota

QuotaApiFault = Literal["none", "denied", "disabled", "down", "missing_dimensions", "unlimited"]
"""How the APIs that tell limits and usage misbehave; none of it touches the image API."""

_STORED_BYTES = 64 * 1024 * 1024
"""Of answers kept for `GET /interactions/{id}`; the oldest go first."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class InteractionState(Struct, frozen=True):
    prompt: str
    body: bytes
    """The answer as it was given."""


class Simulation:
    """One provider with one project.

    `limits` and `latency` are read by `limits.parse` and `latency.parse`. `rejected_counts`: a call that quota rejected
    uses up a request too. `takes_background`: models take background calls. `tariff`: it is a provider
    gateway, which charges by the call. Time comes from `now`
    (aware wall time), `monotonic` and `sleep` (seconds); chance from `seed`, which also decides what is drawn.
    """

    def __init__(
        self,
        *,
        limits: str = "",
        latency: str = "fixed:0",
        batch_latency: str = "fixed:30",
        faults: Sequence[Fault] = (),
        seed: int = 0,
        window: WindowKind = "sliding",
        pictures: PictureMode = "drawn",
        rejected_counts: bool = False,
        error_form: ErrorForm = "detailed",
        models: Models | None = None,
        tariff: Tariff | None = None,
        takes_background: bool = True,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.models = models if models is not None else model_list.load()
        self.tariff = tariff
        self.takes_background = takes_background
        self.cancel_seconds = 0.5
        """From the answer to a cancel until GET tells of it."""
        self.seed = seed
        self.window: WindowKind = window
        self.rejected_counts = rejected_counts
        self.error_form: ErrorForm = error_form
        self.pictures: PictureMode = pictures
        self.now = now
        self.monotonic = monotonic
        self.sleep = sleep
        self.ledger = Ledger()
        self.painter = Painter(pictures)
        self.web: dict[str, bytes] = {}
        """Images by address: all that this provider can fetch."""
        self.set_limits(limits)
        self.set_latency(latency)
        self.batch_latency = latencies.parse(batch_latency)
        """Seconds from a batch's creation to its end."""
        self.files = Files()
        self.jobs: dict[str, Job] = {}
        """Batches by name."""
        self.webhooks = SimulatedWebhooks(self)
        self.backgrounds = Backgrounds(self)
        self._restart()
        self.set_faults(faults)

    def set_limits(self, text: str) -> None:
        """RENDERLANE_QUOTA syntax; empty is unlimited. What was used so far stays used."""
        parsed = Quota.parse(text)
        self._check_known([name for name in parsed.by_model if name != "*"], InvalidQuota)
        self.limits, self.limits_text = parsed, text

    def set_latency(self, text: str) -> None:
        parsed = latencies.parse(text)
        self._check_known(parsed.by_model, latencies.InvalidLatency)
        self.latency, self.latency_text = parsed, text

    def set_faults(self, faults: Sequence[Fault]) -> None:
        checked = fault_script.check(faults)
        for number, fault in enumerate(checked):
            if fault.served_by is not None and self.models.served(fault.served_by) is None:
                raise fault_script.InvalidFaults(f"no model `{fault.served_by}` is served - at `$[{number}].served_by`")
        self.faults.set(checked, now=self.monotonic())

    def reset(self) -> None:
        """Back to the start: bill, quota used, faults and stored interactions are gone; limits and latency stay."""
        self.ledger.clear()
        self._restart()

    def door(self, api: Api, *, headline: Headline | None = None, whole: bytes = b"") -> Reply | None:
        """What a scripted fault answers instead of an endpoint that makes no picture; None where it is sound."""
        headline = headline or Headline()
        fault = self.faults.judge(api, headline, now=self.monotonic()).fault
        return (
            Cut(WrittenAnswer(200, whole))
            if fault is not None and fault.kind == "cut"
            else self.bent_by(fault, headline)
        )

    def bent_by(self, fault: Fault | None, headline: Headline) -> Reply | None:
        """The reply of a fault that decides the whole call; None for any other."""
        if fault is not None and fault.kind == "missing":
            missing = ApiProblem("not_found", fault.message or "Requested entity was not found.")
            return json_answer(missing.http_status, missing.coded_body(detailed=False))
        if fault is None or fault.kind not in (*GATE_KINDS, *SICK_KINDS):
            return None
        if fault.kind in ("hang", "reset"):
            return Hang() if fault.kind == "hang" else Reset()
        problem = fault_replies.gate_problem(fault, headline)
        return json_answer(problem.http_status, problem.rpc_body(), problem.headers)

    def moment(self) -> WindowMoment:
        return WindowMoment(at=self.now(), seconds=self.monotonic())

    def quota_of(self, model_id: str) -> ModelQuota:
        if model_id not in self._quotas:
            self._quotas[model_id] = ModelQuota(self.window, rejected_counts=self.rejected_counts)
        return self._quotas[model_id]

    def call_id(self, number: int) -> str:
        return hashlib.sha256(f"{self.seed}:{self._era}:{number}".encode()).hexdigest()[:32]

    def store(self, interaction_id: str, stored: InteractionState) -> None:
        self._stored[interaction_id] = stored
        self._stored_bytes += len(stored.body)
        while self._stored_bytes > _STORED_BYTES and len(self._stored) > 1:
            _, oldest = self._stored.popitem(last=False)
            self._stored_bytes -= len(oldest.body)

    def stored(self, interaction_id: str) -> InteractionState | None:
        return self._stored.get(interaction_id)

    def forget(self, interaction_id: str) -> bool:
        stored = self._stored.pop(interaction_id, None)
        if stored is None:
            return False
        self._stored_bytes -= len(stored.body)
        return True

    def close(self) -> None:
        """Ends the drawing threads, and lets go of files."""
        self.backgrounds.stop()
        self.webhooks.stop()
        self._end_batches()
        self.painter.close()

    async def aclose(self) -> None:
        """What `close` cannot end: connections to webhooks."""
        await self.webhooks.close()

    def _end_batches(self) -> None:
        for job in self.jobs.values():
            for task in (job.work, job.alarm):
                if task is not None:
                    task.cancel()
        self.jobs.clear()
        self.files.clear()

    def _restart(self) -> None:
        self._era = getattr(self, "_era", 0) + 1
        self.chance = Random(self.seed)
        self.faults = FaultBook(self.chance)
        self.quota_api_fault: QuotaApiFault = "none"
        self.backgrounds.stop()
        self.webhooks.stop()
        self._end_batches()
        self._quotas: dict[str, ModelQuota] = {}
        self._stored: OrderedDict[str, InteractionState] = OrderedDict()
        self._stored_bytes = 0

    def _check_known(self, names: Iterable[str], error: type[ValueError]) -> None:
        unknown = [name for name in names if name.removeprefix(f"{VERTEX}:") not in self.models.by_id]
        if unknown:
            raise error(f"no model {', '.join(map(repr, unknown))}; known: {', '.join(self.models.by_id)}")
