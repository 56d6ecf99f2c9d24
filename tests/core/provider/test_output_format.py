"""Who makes the format of an image, and what its receipt says of it."""

from __future__ import annotations

import pytest

from shared.core.provider.call import Picture
from shared.core.provider.output_format import ConvertedPicture, FormatRequest, failed_note, note, wish

CHOSEN = {"interactions": ("jpeg",), "vertex": ("jpeg", "png")}
QUALITY = {"vertex": ("jpeg",)}
JPEG, PNG = Picture(b"", "image/jpeg", 1, 1), Picture(b"", "image/png", 1, 1)


@pytest.mark.parametrize(
    ("wanted", "quality", "api", "named", "quality_named"),
    [
        ("jpeg", None, "interactions", True, False),
        ("jpeg", 80, "interactions", True, False),
        ("png", None, "interactions", False, False),
        ("png", None, "generate_content", False, False),
        ("jpeg", 80, "vertex", True, True),
        ("png", None, "vertex", True, False),
        ("webp", 80, "vertex", False, False),
    ],
)
def test_a_call_names_what_its_api_can_choose(
    wanted: str, quality: int | None, api: str, named: bool, quality_named: bool
) -> None:
    assert wish(wanted, quality, CHOSEN, QUALITY, api) == FormatRequest(wanted, quality, named, quality_named)


def test_nothing_is_wished_where_nothing_was_said() -> None:
    assert wish(None, None, CHOSEN, QUALITY, "interactions") is None


@pytest.mark.parametrize(
    ("wanted", "came", "converts"),
    [
        (FormatRequest("jpeg", None, True, False), "image/jpeg", False),
        (FormatRequest("jpeg", 80, True, False), "image/jpeg", True),
        (FormatRequest("jpeg", 80, True, True), "image/jpeg", False),
        (FormatRequest("jpeg", 80, True, True), "image/png", True),
        (FormatRequest("png", None, False, False), "image/png", False),
        (FormatRequest("png", None, True, False), "image/jpeg", True),
        (FormatRequest("webp", None, False, False), "image/jpeg", True),
    ],
)
def test_bytes_of_the_wanted_format_stay_untouched_unless_a_quality_has_to_be_set(
    wanted: FormatRequest, came: str, converts: bool
) -> None:
    assert wanted.needs_converting(came) is converts


def test_a_receipt_says_what_was_done_and_what_that_lost() -> None:
    plain = note(JPEG, FormatRequest("png", None, False, False), ConvertedPicture(PNG, False, False))
    assert plain == "output format jpeg -> png: converted by the worker"
    lossy = note(PNG, FormatRequest("jpeg", 80, True, False), ConvertedPicture(JPEG, True, True))
    assert lossy == (
        "output format png -> jpeg at quality 80: converted by the worker, its content credentials (C2PA) stayed"
        " behind, its transparency became white"
    )
    again = note(JPEG, FormatRequest("jpeg", 30, True, False), ConvertedPicture(JPEG, False, False))
    assert again == "output format jpeg encoded again at quality 30: converted by the worker"
    failed = failed_note(JPEG, FormatRequest("webp", None, False, False), "it has too many pixels")
    assert failed == "output format webp: not converted, it has too many pixels; delivered as jpeg"
