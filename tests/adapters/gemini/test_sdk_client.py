"""What the Gemini lane costs and when: the SDK's import, its client, the memory of an answer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.gemini.interactions_lane import GeminiLane, key_kind
from shared.adapters.gemini.interactions_response import read_answer
from shared.core.provider.call import Made
from shared.core.provider.failure import Failure, FailureKind
from tests.adapters.gemini.test_interactions_lane import KEY, SOON, a_free_port, an_order
from tests.adapters.gemini_errors.test_errors import NOW
from tests.fakes.scripted_gemini import a_png, image_part, interaction, output
from tests.fakes.slots import at_once


def test_a_second_event_loop_gets_a_client_of_its_own() -> None:
    lane = GeminiLane(KEY, f"http://127.0.0.1:{a_free_port()}")
    for _ in range(2):
        answer = asyncio.run(lane.generate(an_order(), SOON, at_once))
        assert isinstance(answer, Failure)
        assert answer.kind is FailureKind.CONNECTION


def test_the_sdk_is_not_imported_before_the_first_call() -> None:
    code = (
        "import sys; from shared.adapters.gemini.interactions_lane import GeminiLane; GeminiLane('k'); "
        "sys.exit('google.genai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "url", ["gopher://127.0.0.1", "http://[", "http://127.0.0.1:99999", "http://127.0.0.1:0", "//x", "http://", ""]
)
def test_a_base_url_that_can_never_work_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="allowed: http:// or https://"):
        GeminiLane(KEY, url)


@pytest.mark.parametrize("key", ["", " ", "two words", "schlüssel", "line\n"])
def test_a_key_that_can_never_work_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="allowed: the key of AI Studio") as refused:
        GeminiLane(key)
    assert not key.strip() or key not in str(refused.value)


def test_decoding_a_20_mb_image_takes_20_mb_and_no_second_copy() -> None:
    picture = a_png(padding=20_000_000)
    body = bytearray(json.dumps(interaction(output(image_part(picture)))).encode())
    tracemalloc.start()
    answer = read_answer(body, an_order(), {}, NOW)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(answer, Made)
    assert answer.picture.data == picture
    assert peak < 1.05 * len(picture)


@pytest.mark.parametrize(
    ("key", "kind"), [("AQ.Ab8", "auth"), ("AIzaSy", "standard"), ("sk-1", "unknown"), ("", "unknown")]
)
def test_the_kind_of_a_key_is_told_by_its_beginning(key: str, kind: str) -> None:
    assert key_kind(key) == kind


MAGIC = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WEBPVP8X"]


@given(data=st.binary(max_size=120), magic=st.sampled_from(MAGIC))
def test_whatever_an_image_holds_is_an_answer(data: bytes, magic: bytes) -> None:
    body = bytearray(json.dumps(interaction(output(image_part(magic + data)))).encode())
    assert isinstance(read_answer(body, an_order(), {}, NOW), (Made, Failure))
