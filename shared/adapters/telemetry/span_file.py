"""Spans as a file of OTLP in JSON, one span a line: what a collector's otlpjsonfile receiver reads, and `trace` too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from shared.adapters.process import private_file
from shared.adapters.process.standard_error import tell
from shared.core.observability.spans import Attribute, Span
from shared.core.validation.visible import json_visible

LARGEST_BYTES = 64 * 1024 * 1024
"""Then the file is set aside as `NAME.1`, in place of the one before."""
KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
ERROR = 2
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SpanFile:
    """Each span is in the file when `write` returns. A file that cannot be written loses spans, and says so once."""

    def __init__(self, path: Path, resource: Mapping[str, str]) -> None:
        self._path = path
        named = msgspec.json.encode({"attributes": attributes(resource)})
        self._before = (
            b'{"resourceSpans":[{"resource":' + named + b',"scopeSpans":[{"scope":{"name":"renderlane"},"spans":['
        )
        self._encode = msgspec.json.Encoder().encode
        self._file: BinaryIO | None = None
        self._reported = False

    def write(self, span: Span) -> None:
        body = self._encode(to_otlp(span))
        if not body.isascii() or b"\x7f" in body:
            body = json_visible(body.decode("utf-8", "replace")).encode()
        line = self._before + body + b"]}]}]}\n"
        try:
            self._open().write(line)
        except OSError as error:
            if not self._reported:
                self._reported = True
                tell(f"renderlane: spans are lost, {self._path} cannot be written ({error.strerror})")

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        if self._file is not None and self._file.tell() >= LARGEST_BYTES:
            self.close()
            self._path.replace(set_aside(self._path))
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = private_file.append_to(self._path)
        return self._file


def set_aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def read(path: Path, trace_id: str) -> Iterator[dict[str, Any]]:
    """The spans of one trace as OTLP has them, oldest line first. A line that died halfway is passed over."""
    for item in (set_aside(path), path):
        if not item.exists():
            continue
        with item.open(encoding="utf-8") as lines:
            for line in lines:
                if f'"traceId":"{trace_id}"' not in line:
                    continue
                try:
                    resources = json.loads(line)["resourceSpans"]
                except (ValueError, KeyError):
                    continue
                for resource in resources:
                    for scope in resource["scopeSpans"]:
                        yield from (span for span in scope["spans"] if span["traceId"] == trace_id)


def to_otlp(span: Span) -> dict[str, Any]:
    """By OTLP's JSON mapping: ids in hexadecimal, 64-bit numbers as text."""
    return {
        "traceId": span.place.trace_id,
        "spanId": span.place.span_id,
        **({"parentSpanId": span.parent_id} if span.parent_id else {}),
        "name": span.name,
        "kind": KINDS[span.stage.kind],
        "startTimeUnixNano": str(nanoseconds(span.started_at)),
        "endTimeUnixNano": str(nanoseconds(span.ended_at)),
        "attributes": attributes(span.attributes),
        "links": [{"traceId": link.trace_id, "spanId": link.span_id} for link in span.links],
        "status": {} if span.failed is None else {"code": ERROR, "message": span.failed},
    }


def nanoseconds(at: datetime) -> int:
    """Since the epoch, exactly."""
    return (at - EPOCH) // timedelta(microseconds=1) * 1_000


def attributes(named: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in named.items()]


def _value(value: Attribute) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case _:
            return {"arrayValue": {"values": [{"stringValue": name} for name in value]}}
