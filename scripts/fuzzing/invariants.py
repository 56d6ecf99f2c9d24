"""What must hold at every door, checked in one place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from shared.core.observability import events
from tests.fakes.memory import RecordedSignals

PROMPT = "quokka-in-a-prompt"
"""Part of every prompt that is sent: it may reach the provider, the store and the caller, never a log or a span."""
KEY = "AQ.a-key-of-nobody-0123456789"
REPORTED = (events.DELIVERY_DEFERRED, events.DELIVERY_CRASHED)
"""One of them explains an answer of 4xx or 5xx."""


def leaks(signals: RecordedSignals, secrets: Iterable[str] = (PROMPT, KEY)) -> Iterator[str]:
    """Secrets in what was reported."""
    reported = [(signal.name, repr(fields)) for signal, fields in signals.emitted]
    reported += [(f"span {span.stage.name}", repr(span)) for span in signals.spans]
    for secret in secrets:
        for name, text in reported:
            if secret in text:
                yield f"a secret is in {name}: {secret[:12]}"


def crashes(signals: RecordedSignals) -> Iterator[str]:
    """A crash that was answered and logged is still a crash."""
    for fields in signals.of(events.DELIVERY_CRASHED):
        stack = str(fields["stack_trace"]).strip().splitlines()
        frames = [line.strip() for line in stack if line.strip().startswith("File ")]
        yield f"crashed: {fields['cause']} at {frames[-1] if frames else '?'}"


def in_answer(body: bytes, secrets: Iterable[str] = (KEY,)) -> Iterator[str]:
    for secret in secrets:
        if secret.encode() in body or json.dumps(secret)[1:-1].encode() in body:
            yield f"a secret is in the answer: {secret[:12]}"
