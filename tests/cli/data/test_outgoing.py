"""What leaves a command line or a file, before it leaves."""

from __future__ import annotations

import json

from scripts.cli.data.run.outgoing import OutgoingMessage, complaints, prefixed, read_lines
from shared.core.messages.render_request import Cancel, InvalidRequest, RenderRequest

FILE = b"""{"request_id": "a", "prompt": "a red cube"}

{"cancel": "a"}
{"request_id": "b", "prompt": "a red cube", "image_size": "2k"}
not JSON
"""


def test_every_line_is_a_message_and_empty_ones_only_count() -> None:
    lines = read_lines(FILE, "")
    assert [line.number for line in lines] == [1, 3, 4, 5]
    assert [type(line.meaning) for line in lines] == [RenderRequest, Cancel, InvalidRequest, InvalidRequest]
    assert [line.request_id for line in lines] == ["a", "a", "b", None]


def test_a_line_without_prefix_leaves_as_it_is_written() -> None:
    written = b'{"prompt": "a", "request_id": "a"   }'
    assert read_lines(written, "")[0].data == written


def test_a_prefix_stands_before_every_id() -> None:
    line = b'{"request_id": "b", "prompt": "x", "escalates": "a", "group": "g"}'
    assert json.loads(prefixed(line, "run-")) == {
        "request_id": "run-b", "prompt": "x", "escalates": "run-a", "group": "g"
    }  # fmt: skip
    assert json.loads(prefixed(b'{"cancel": "a"}', "run-")) == {"cancel": "run-a"}


def test_a_prefix_leaves_alone_what_it_cannot_read() -> None:
    for data in (b"not JSON", b"[1]", b'"a"', b"\xff"):
        assert prefixed(data, "run-") == data


def test_complaints_name_file_line_and_field() -> None:
    first, second = complaints(read_lines(FILE, ""), "spring.jsonl")
    assert first.startswith("spring.jsonl:4: image_size: found")
    assert 'Write "2K"' in first
    assert second.startswith("spring.jsonl:5: the message")


def test_a_prompt_is_not_shown_by_a_line() -> None:
    assert "cube" not in repr(OutgoingMessage.of(b'{"request_id": "a", "prompt": "a red cube"}'))
