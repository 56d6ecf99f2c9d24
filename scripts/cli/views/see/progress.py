"""Progress of a waiting: a bar on a terminal, a line for each end elsewhere. On standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from scripts.cli.data.run.completion import Ended, Submission
from scripts.cli.data.see.requests import RejectedMessage
from scripts.cli.views import terminal
from scripts.cli.views.see.request_view import dollars
from shared.core.messages.request_key import id_of
from shared.core.validation.visible import visible

Report = Callable[[Sequence[Ended]], None]


@contextlib.contextmanager
def shown(waiting: Submission) -> Iterator[Report]:
    if sys.stderr.isatty():
        with _bar(waiting) as report:
            yield report
    else:
        yield _lines(waiting)


def _lines(waiting: Submission) -> Report:
    def report(news: Sequence[Ended]) -> None:
        before = waiting.total - waiting.unfinished - len(news)
        for number, item in enumerate(news, start=before + 1):
            print(f"{number}/{waiting.total}  {visible(_line(item))}", file=sys.stderr, flush=True)

    return report


@contextlib.contextmanager
def _bar(waiting: Submission) -> Iterator[Report]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = terminal.console(stderr=True)
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("sent", total=waiting.total)

        def report(news: Sequence[Ended]) -> None:
            for item in news:
                console.print(_line(item))
            open_now = [f"{count} {status}" for status, count in sorted(waiting.statuses().items())]
            parts = [*open_now, dollars(waiting.cost_micros)]
            bar.update(task, completed=waiting.total - waiting.unfinished, description=" · ".join(parts))

        yield report


def _line(ended: Ended) -> str:
    if isinstance(ended, RejectedMessage):
        return f"rejected   {ended.request_id or 'a message without id'}: {ended.record.reason}"
    record = ended.record
    took = ((record.finished_at or ended.read_at) - record.created_at).total_seconds()
    return f"{record.status:<10} {id_of(ended.id)}  {took:.1f} s  {dollars(record.cost_micros)}"


LINE_EVERY = 1_000


@contextlib.contextmanager
def counted(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """For work on many things: call it with how many more are done. Few are not worth a word."""
    if sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn(what), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=terminal.console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.update(task, advance=count)
        return
    done = 0

    def report(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if total >= LINE_EVERY and (done // LINE_EVERY > before // LINE_EVERY or done == total):
            print(f"{what} {done:,}/{total:,}", file=sys.stderr, flush=True)

    yield report
