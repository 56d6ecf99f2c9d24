"""Each case is whole: known keys, a URL, expectations that the format allows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.corpus.case import FOLDER, all_cases, read_case

FILES = sorted(FOLDER.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_a_case_with_a_source(path: Path) -> None:
    case = read_case(path)
    assert path.suffix == ".json"
    for url in case.url.split(" ; "):
        assert re.fullmatch(r"https://[\w.-]+/\S*", url), f"{path.name}: {url!r} is no URL; join several by ' ; '"


def test_there_are_many_of_each_form() -> None:
    forms: list[str] = [case.form for case in all_cases().values()]
    assert {form: forms.count(form) >= least for form, least in LEAST.items()} == dict.fromkeys(LEAST, True)
    assert len(forms) >= 200


LEAST = {"interactions": 30, "generate": 3, "native": 12, "chat": 15, "images": 6, "batch": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "surprise"),
        ({"url": ""}, "url"),
        ({"answers": []}, "answer"),
        ({"answers": [{"stauts": 500}]}, "stauts"),
        ({"expected": {"next": "sideways", "status": "failed", "failure": "timeout"}}, "sideways"),
        ({"expected": {"next": "again", "status": "failed", "failure": "tired"}}, "tired"),
        ({"expected": {"next": "again", "status": "failed"}}, "picture or a failure"),
        ({"request": {"request_id": "r", "prompt": "no mark"}}, "[["),
    ],
)
def test_a_file_that_is_no_case_is_refused_and_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    sound = json.loads((FOLDER / "g-499.json").read_text("utf-8"))
    file = tmp_path / "g-499.json"
    file.write_text(json.dumps(sound), "utf-8")
    read_case(file)
    file.write_text(json.dumps(sound | change), "utf-8")
    with pytest.raises(ValueError, match=re.escape("g-499.json: ")) as raised:
        read_case(file)
    assert message in str(raised.value)
