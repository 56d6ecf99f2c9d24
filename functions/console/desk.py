"""What the console's pages work with: the ports, the identities, and where this process runs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime

from markupsafe import Markup
from msgspec import Struct, field
from starlette.requests import Request

from functions.console.panels import Overview
from functions.console.runbook import Section
from functions.console.tokens import FormTokens
from functions.shared_reading import SharedReading
from shared.config import FirestoreSettings, Settings
from shared.core.observability.series import Series
from shared.flows.operations.console_key import console_key
from shared.ports import Ports
from shared.ports.identity import Identities
from shared.wiring import Worker

CLOUD_TRACE = "https://console.cloud.google.com/traces/explorer;traceId={trace_id}?project={project}"


class ConsoleContext(Struct, eq=False):
    """One per process."""

    worker: Worker
    settings: Settings
    identities: Identities
    runbook: Mapping[str, Section]
    simulated: bool = False
    """Images come from the built-in simulator: every page says so."""
    drawn: dict[str, tuple[str, int, Markup]] = field(default_factory=dict)
    """The time lines as they were last drawn, by span: for which version of the series, in which minute."""
    panels: SharedReading[Overview] | None = None
    """What the overview shows."""
    series: SharedReading[tuple[Series, datetime, str]] | None = None
    """What its time lines are drawn from."""
    _tokens: FormTokens | None = None

    @property
    def ports(self) -> Ports:
        return self.worker.ports

    @property
    def behind_proxy(self) -> bool:
        return self.settings.console_audience is not None

    def cloud_trace(self, trace_id: str) -> str | None:
        """Where the trace is shown; None if its spans are in the file of this home."""
        if not isinstance(self.settings.store, FirestoreSettings):
            return None
        return CLOUD_TRACE.format(trace_id=trace_id, project=self.settings.project)

    async def tokens(self) -> FormTokens:
        """Against forged changes, the same in all processes on one store. Raises StoreUnavailable."""
        if self._tokens is None:
            self._tokens = FormTokens(bytes.fromhex(await console_key(self.ports.store, secrets.token_hex(32))))
        return self._tokens


def desk_of(request: Request) -> ConsoleContext:
    desk: ConsoleContext = request.app.state.desk
    return desk
