"""Each sample of the documentation is run by a test, or says why not."""

from __future__ import annotations

from tests.docs.samples.samples import NOT_RUN, RUN, Sample, samples
from tests.docs.test_security import exists

MOST_NOT_RUN = 14


def rows() -> dict[tuple[str, str], str]:
    tables = (RUN, NOT_RUN)
    return {(page, beginning): why for table in tables for page, row in table.items() for beginning, why in row.items()}


def row_of(sample: Sample) -> tuple[str, str] | None:
    """The row with the longest beginning."""
    fitting = [row for row in rows() if row[0] == sample.page and sample.text.strip().startswith(row[1])]
    return max(fitting, key=lambda row: len(row[1]), default=None)


def test_each_sample_has_its_test_or_its_reason() -> None:
    assert [sample.name for sample in samples() if row_of(sample) is None] == []
    assert len(samples()) >= 50


def test_each_row_has_its_sample() -> None:
    assert set(rows()) - {row_of(sample) for sample in samples()} == set()


def test_each_test_exists() -> None:
    assert [test for page in RUN.values() for test in page.values() if not exists(test)] == []


def test_what_is_not_run_becomes_less() -> None:
    assert sum(map(len, NOT_RUN.values())) <= MOST_NOT_RUN


def test_a_command_is_read_without_its_comment_and_over_lines() -> None:
    text = "renderlane status ID     how it stands\ncurl -s x \\\n  -d y   # sends\n\nls --all"
    assert list(Sample("page", text).commands()) == ["renderlane status ID", "curl -s x -d y", "ls --all"]
