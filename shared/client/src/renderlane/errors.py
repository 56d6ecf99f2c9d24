"""What can go wrong on this side, each with its remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one field of a request."""

    field: str
    found: str
    allowed: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.found}; allowed: {self.allowed}. {self.remedy}"


class InvalidRequest(ValueError):
    """The request would be rejected: it was not published. `problems` names each field."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class ApiError(RuntimeError):
    """The HTTP API refused a call. `status` is its HTTP status; `problems` names each field."""

    def __init__(self, status: int, detail: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status
        self.detail = detail
        self.problems = problems


class NoConnection(ConnectionError):
    """The HTTP API could not be reached. Whether the call arrived is not known: the same call again is safe."""


class NotInTime(TimeoutError):
    """No result came in time. The request continues: wait again, or publish the same again, which is free."""


class NoSubscription(RuntimeError):
    """The client was made without a subscription: it can publish, and has nowhere to wait for results."""


class ListeningFailed(RuntimeError):
    """The subscription cannot be read; the cause is attached. The next wait tries again."""


class Closed(RuntimeError):
    """The client was closed while somebody waited. Results that nobody had come again elsewhere."""
