"""A case: what was asked, what the provider answered, call after call, and what is right to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from shared.core.provider.failure import FailureKind
from tests.corpus import pictures

FOLDER = Path(__file__).parent / "cases"
Form: TypeAlias = Literal["interactions", "generate", "native", "chat", "images", "batch"]
"""How the provider was called; `generate` is generateContent at Google, `native` the same at a gateway."""
FORMS: Mapping[str, Form] = {
    "ia": "interactions",
    "g": "interactions",
    "gc": "generate",
    "native": "native",
    "chat": "chat",
    "gw": "chat",
    "images": "images",
    "url": "images",
    "b": "batch",
}
"""By the first word of a case's name."""
Charge: TypeAlias = Literal["nothing", "metered", "listed", "unknown"]
Step: TypeAlias = Literal["again", "wait", "elsewhere", "end", "done"]
Status: TypeAlias = Literal["succeeded", "failed", "refused", "queued", "rejected"]


class Scripted(Struct, forbid_unknown_fields=True, frozen=True):
    """One answer of the provider."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: Any = None
    """JSON; `ok` is an ordinary picture in the form that was asked for."""
    text: str | None = None
    hex: str | None = None
    pad: str = ""
    """Stands before the JSON."""
    sse: bool = False
    """Each item of `body` is one event, and `[DONE]` the last."""
    delay: float = 0
    """Seconds before the first byte."""
    cut: int | None = None
    """The connection ends after so many bytes of the body."""
    encoding: Literal["", "gzip", "deflate"] = ""
    chunked: bool = False
    close: bool = False
    """The connection ends without a byte."""
    length: int | None = None
    """The content-length that is claimed."""
    billed: bool | None = None
    """Whether the provider charges for it; None: a 200 is charged, anything else is not."""

    @property
    def is_billed(self) -> bool:
        return self.status == 200 and not self.close if self.billed is None else self.billed


AnswerScript: TypeAlias = Literal["ok"] | Scripted


class Batch(Struct, forbid_unknown_fields=True, frozen=True):
    """The shape in which a batch ends."""

    inlined: bool = False
    keyless: bool = False
    """Inline answers without `metadata.key`, in the order of the requests."""
    inputs: Literal["file"] = "file"


class Expected(Struct, forbid_unknown_fields=True, frozen=True):
    """What is right. A list where several values are."""

    next: Step | Sequence[Step]
    """What becomes of the request after the first answer."""
    status: Status | Sequence[Status]
    """Of every request of the case when it has ended, or when its time is over."""
    charge: Charge | Sequence[Charge] | None = None
    """How the first attempt is booked; None where no call was made."""
    failure: str | Sequence[str] | None = None
    """The kind of the first attempt's failure."""
    picture: bool = False
    """The first answer holds a picture, and it is delivered."""
    paid_calls: int = 1
    """The most calls that may be billed, for all requests of the case together."""
    calls: int | None = None
    """The most calls that may be made; None: not part of the case."""
    cost_micros: Sequence[int] | None = None
    """What the first attempt costs; None: not part of the case."""
    others: Literal["go_on", "may_wait"] = "may_wait"
    """`go_on`: another request on the same model is served meanwhile, since this answer says nothing about it."""
    says: Sequence[str] = ()
    """Words that the outcome of the request must hold, in its message or advice."""
    why: str = ""
    """Why this is right, where it is not plain."""


class Case(Struct, forbid_unknown_fields=True, frozen=True):
    url: str
    """Where it was reported; several are joined by ` ; `."""
    symptom: str
    request: dict[str, Any] | Sequence[dict[str, Any]]
    answers: Sequence[AnswerScript] | Mapping[str, Sequence[AnswerScript]]
    expected: Expected
    gateways: bool = True
    """The gateways are proven and `use-gateway` is tripped."""
    generate: bool = False
    """Google is called by generateContent."""
    batch: Batch | None = None
    files: Mapping[str, Sequence[AnswerScript]] = {}
    """What lies at a path of the provider's host (`@HOST/path`), GET after GET."""
    timeout: float = 120
    """Virtual seconds after which the case is looked at."""
    name: str = ""
    """The file's name."""

    def __repr__(self) -> str:
        return self.name

    @property
    def form(self) -> Form:
        form = FORMS[self.name.partition("-")[0]]
        return "generate" if form == "interactions" and self.generate else form

    @property
    def requests(self) -> Sequence[dict[str, Any]]:
        return [self.request] if isinstance(self.request, dict) else self.request

    def script(self, form: str) -> Sequence[AnswerScript]:
        if isinstance(self.answers, Mapping):
            return self.answers.get(form) or self.answers.get("*") or ["ok"]
        return self.answers

    @property
    def first(self) -> AnswerScript:
        return self.script(self.form)[0]


def one_of(allowed: Any) -> Sequence[Any]:
    """The values that are right."""
    return allowed if isinstance(allowed, (list, tuple)) else [allowed]


@cache
def all_cases() -> Mapping[str, Case]:
    return {path.stem: read_case(path) for path in sorted(FOLDER.glob("*.json"))}


def read_case(path: Path) -> Case:
    """Raises ValueError with the file's name for anything that the format does not know."""
    try:
        data = json.loads(path.read_text("utf-8"))
        case = msgspec.convert(data | {"name": path.stem}, Case)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    problems = list(_problems(case))
    if problems:
        raise ValueError(f"{path.name}: {'; '.join(problems)}")
    return case


def filled(value: Any, host: str) -> Any:
    """The JSON value with every placeholder replaced; `host` is the provider's base URL."""
    match value:
        case str() if value in pictures.OBJECTS:
            return pictures.OBJECTS[value]
        case str():
            return _filled_text(value, host)
        case Mapping():
            return {name: filled(item, host) for name, item in value.items()}
        case list() | tuple():
            return [filled(item, host) for item in value]
        case _:
            return value


def _filled_text(text: str, host: str) -> str:
    if "@" not in text:
        return text
    for name, stands_for in pictures.texts().items():
        text = text.replace(name, stands_for)
    return text.replace("@HOST", host)


def _problems(case: Case) -> list[str]:
    problems = []
    if case.name.partition("-")[0] not in FORMS:
        problems.append(f"a name begins with one of {', '.join(FORMS)} and a hyphen")
    if not case.url.strip() or not case.symptom.strip():
        problems.append("url and symptom are not empty")
    if not case.answers:
        problems.append("there is at least one answer")
    kinds = {failure_kind.value for failure_kind in FailureKind}
    unknown = [item for item in one_of(case.expected.failure) if item is not None and item not in kinds]
    if unknown:
        problems.append(f"expected.failure {unknown} is no kind of failure")
    if case.expected.picture == (case.expected.failure is not None):
        problems.append("the first answer is either a picture or a failure")
    if any(f"[[{case.name}]]" not in str(request.get("prompt")) for request in case.requests):
        problems.append(f"each prompt holds [[{case.name}]]")
    if len({request.get("request_id") for request in case.requests}) != len(case.requests):
        problems.append("each request has an id of its own")
    return problems
