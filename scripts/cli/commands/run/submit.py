"""`renderlane submit`."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from scripts.cli.data import streams, worker_home
from scripts.cli.data.json_output import JsonForm, to_json
from scripts.cli.data.run import request_options
from shared.core.messages.render_request import PRIORITIES, PURPOSES, SIZES
from shared.core.values.lanes import ASKABLE
from shared.core.values.parameters import IMAGE_SEARCH, OUTPUT_FORMATS, THINKING

if TYPE_CHECKING:
    from scripts.cli.data.run.completion import Submission
    from scripts.cli.data.run.outgoing import OutgoingMessage, SentMessage
    from scripts.cli.data.see.requests import RejectedMessage, StoredRequest
    from shared.config import Settings

ABOUT_ALL = ("wait", "timeout", "as_json", "raw", "with_prompt", "prefix", "no_check", "what")
"""Parameters that apply to a file too; the others describe one request."""

FILE_NAME = re.compile(
    r"\S+\.(jsonl?|ndjson|jsonlines|json5|txt|csv|tsv|ya?ml|toml|xml|md|gz|zst|zip|png|jpe?g|webp)", re.IGNORECASE
)


@click.command("submit")
@click.argument("what", metavar="PROMPT|FILE.jsonl|-")
@click.option("--id", "request_id", help="Idempotency key. Default: generated.")
@click.option("--tenant", help="Tenant that pays.")
@click.option(
    "--purpose", type=click.Choice(PURPOSES), help="Quality level; selects the model unless --model is given."
)
@click.option("--model", help="Model id or alias from the catalogue.")
@click.option("--size", "image_size", type=click.Choice(SIZES), help="Image size. Default: 1K.")
@click.option("--ratio", "aspect_ratio", help="Aspect ratio, e.g. 16:9.")
@click.option("--reference", "references", multiple=True, metavar="URI|PATH", help="Reference image; repeatable.")
@click.option("--lane", type=click.Choice(ASKABLE), help="Lane to use; naming one is consent to it.")
@click.option("--priority", type=click.Choice(PRIORITIES), help="Place in the queue. Default: normal.")
@click.option("--deadline", help="Latest start, e.g. 2026-12-01T12:00:00Z.")
@click.option("--floor", metavar="MODEL|SIZE|exact", help="Lowest model or size to accept; repeatable.", multiple=True)
@click.option("--allow-batch", is_flag=True, help="Allow the batch lane: up to a day, at half the price.")
@click.option("--allow-gateway", is_flag=True, help="Allow gateways: prompt and references may leave Google.")
@click.option("--max-cost", "max_cost_usd", metavar="USD", help="Maximum cost of all attempts together.")
@click.option("--escalates", metavar="ID", help="Id of the request whose image was not good enough.")
@click.option("--group", help="Name shared by related requests.")
@click.option("--grounding", is_flag=True, help="Ground the image in web search results.")
@click.option("--image-search", is_flag=True, help="Ground it in results of web and image search.")
@click.option("--thinking", type=click.Choice(THINKING), help="Thinking level. Default: by purpose.")
@click.option("--system", "system_instruction", metavar="TEXT", help="System instruction, sent with the prompt.")
@click.option(
    "--safety", multiple=True, metavar="CATEGORY=THRESHOLD", help="E.g. image_hate=block_only_high; repeatable."
)
@click.option(
    "--format", "output_format", type=click.Choice(OUTPUT_FORMATS), help="File format. Default: the provider's."
)
@click.option("--quality", "output_quality", type=int, metavar="1-100", help="Compression quality of a jpeg or webp.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the request; repeatable.")
@click.option("--prefix", default="", metavar="P", help="Prefix for every request id.")
@click.option("--no-check", is_flag=True, help="Publish without validating first.")
@click.option("--wait", is_flag=True, help="Wait until every request has ended.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Time limit for --wait.")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines output; with --wait the public views.")
@click.option("--raw", is_flag=True, help="With --wait --json: the whole status documents with their attempts.")
@click.option("--with-prompt", is_flag=True, help="With --wait --json: also the prompts.")
@click.pass_context
def command(ctx: click.Context, /, what: str, **given: Any) -> None:
    """Publish one request or a file of requests.

    FILE.jsonl holds one message per line (- is standard input): a render request as JSON, or {"cancel": "ID"}, with
    "tenant" beside it for a request of another tenant than default.
    With --wait the exit code is 0 if all requests succeeded, 1 if one ended without an image, and 3 if --timeout passed
    before all had ended.
    """
    if given["timeout"] is not None and not given["wait"]:
        raise click.UsageError("--timeout needs --wait")
    form = JsonForm(given["raw"], given["with_prompt"]) if given["as_json"] or given["raw"] else None
    if given["with_prompt"] and form is None:
        raise click.UsageError("--with-prompt needs --json")
    if given["raw"] and not given["wait"]:
        raise click.UsageError("--raw needs --wait")
    lines, name = _lines(ctx, what, given)
    settings = worker_home.read_settings()
    is_new = name is None and given["request_id"] is None
    wrong = [] if given["no_check"] else _wrong(settings, lines, name, is_new=is_new)
    if wrong:
        from scripts.cli.main import Misconfigured

        text = "\n".join(wrong)
        raise Misconfigured(f"{text}\nNothing was published. Correct this, or publish as it is with --no-check.")
    if not lines:
        raise click.UsageError(f"{name} has no lines")
    sent = asyncio.run(_publish(settings, lines, is_new=is_new))
    if not given["wait"]:
        _say_sent(sent, as_json=given["as_json"])
    _remark(settings)
    if not given["wait"]:
        return
    try:
        code = asyncio.run(_wait(settings, sent, given["timeout"], form))
        sys.stdout.flush()
    except KeyboardInterrupt:
        streams.tell(f"\nstopped waiting; the requests continue:  {_look(sent)}")
        ctx.exit(130)
    except OSError as error:
        streams.tell(f"cannot show the result ({error.strerror}); the requests were published: {_look(sent)}")
        streams.write([])
        ctx.exit(1)
    except Exception:
        streams.tell(f"the requests were published and continue: {_look(sent)}")
        raise
    ctx.exit(code)


_OTHERS = next(place for place, parameter in enumerate(command.params) if parameter.name == "prefix")
command.params[_OTHERS:_OTHERS] = request_options.missing({parameter.name or "" for parameter in command.params})


def _wrong(settings: Settings, lines: Sequence[OutgoingMessage], name: str | None, *, is_new: bool) -> list[str]:
    """What intake would reject, line by line. `is_new`: the id was made up here."""
    from scripts.cli.data.run import intake_check, on_record
    from scripts.cli.data.run.outgoing import complaints

    stored = asyncio.run(on_record.read(settings, lines, is_new=is_new))
    return [
        *complaints(lines, name),
        *intake_check.complaints(settings, lines, name, stored.lanes),
        *on_record.complaints(stored, lines, name),
    ]


def _remark(settings: Settings) -> None:
    """Advice. The request is published: no error here may suggest otherwise."""
    try:
        worker_home.say_if_simulated(settings)
        worker_home.warn_unless_running(settings)
    except (OSError, ValueError) as error:
        streams.tell(f"note: cannot tell whether `renderlane up` is running ({error})")


def _look(sent: Sequence[SentMessage]) -> str:
    ids = sorted({sent_request.request_id for sent_request in sent if sent_request.request_id})
    return f"renderlane status {ids[0]}" if len(ids) == 1 else "renderlane list"


def _lines(ctx: click.Context, what: str, given: dict[str, Any]) -> tuple[list[OutgoingMessage], str | None]:
    """What to publish, and the name of its file."""
    from scripts.cli.data.run.outgoing import OutgoingMessage, prefixed, read_lines

    if what != "-" and not what.endswith(".jsonl"):
        _refuse_a_file(what)
        return [OutgoingMessage.of(prefixed(_request(what, given), given["prefix"]))], None
    of_one = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name not in ABOUT_ALL
        and ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    if of_one:
        raise click.UsageError(f"{of_one[0]} applies to a single request; in a file, set it on each line")
    try:
        content = sys.stdin.buffer.read() if what == "-" else Path(what).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{what} cannot be read ({error.strerror})") from error
    return read_lines(content, given["prefix"]), "standard input" if what == "-" else what


def _refuse_a_file(what: str) -> None:
    """A file with another extension is not read, and its name is not a prompt that anyone would pay for."""
    try:
        is_there = bool(what) and Path(what).exists()  # an empty path is the folder we are in
    except (OSError, ValueError):
        is_there = False  # too long, or no name of a file at all
    if not is_there and not FILE_NAME.fullmatch(what):
        return
    text = "an existing file or folder" if is_there else "a file name, but there is no such file"
    raise click.UsageError(
        f"{what!r}: found {text}; allowed: a prompt, FILE.jsonl, or - for standard input. To send its lines: "
        f"renderlane submit - < {shlex.quote(what)} (JSON Lines: one message a line). "
        "To use it as a prompt, add more words."
    )


def _request(prompt: str, given: dict[str, Any]) -> bytes:
    request_id = given["request_id"]
    payload: dict[str, Any] = {"request_id": _new_id() if request_id is None else request_id, "prompt": prompt}
    payload |= {name: given[name] for name in request_options.PLAIN if given[name] is not None}
    if given["floor"]:
        payload["floor"] = _floor(given["floor"])
    if consents := {name: True for name in ("batch", "gateway") if given[f"allow_{name}"]}:
        payload["allow"] = consents
    if given["references"]:
        payload["references"] = [{"uri": _uri(reference)} for reference in given["references"]]
    if given["grounding"] or given["image_search"]:
        payload["grounding"] = IMAGE_SEARCH if given["image_search"] else True
    if given["safety"]:
        payload["safety"] = dict(_pair(text, "--safety", "CATEGORY=THRESHOLD") for text in given["safety"])
    if given["labels"]:
        payload["labels"] = dict(_pair(text, "--label", "KEY=VALUE") for text in given["labels"])
    return json.dumps(payload, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _floor(texts: Sequence[str]) -> str | dict[str, str]:
    """`exact`, or a model, a size or both."""
    if "exact" in texts:
        if len(texts) > 1:
            raise click.UsageError("--floor: exact allows no further floor")
        return "exact"
    floor: dict[str, str] = {}
    for text in texts:
        part = "image_size" if text in SIZES else "model"
        if part in floor:
            raise click.UsageError(
                f"--floor: found {floor[part]} and {text}; allowed: exact, or one model and one size"
            )
        floor[part] = text
    return floor


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _uri(text: str) -> str:
    return text if "://" in text or not text else Path(text).absolute().as_uri()


def _pair(text: str, option: str, allowed: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{option}: found {text!r}; allowed: {allowed}")
    return key, value


async def _publish(settings: Settings, lines: Sequence[OutgoingMessage], *, is_new: bool) -> list[SentMessage]:
    """`is_new`: its id was generated here, and is shown because the publish may or may not have arrived."""
    from scripts.cli.data.run.outgoing import send
    from shared.ports.messaging import TopicsUnavailable

    async with worker_home.publishing(settings) as topics:
        try:
            return await send(topics, lines)
        except ValueError as error:  # only unchecked messages can be too long for any topic
            raise click.UsageError(f"{error}. Check the file without --no-check.") from error
        except (TopicsUnavailable, asyncio.CancelledError):
            if is_new:
                streams.tell(f"to publish the same request again: --id {lines[0].request_id}")
            raise


def _say_sent(sent: Sequence[SentMessage], *, as_json: bool) -> None:
    """On standard output, and if that cannot be written, on standard error: only the id leads back to the request."""
    lines = []
    for sent_request in sent:
        if as_json:
            lines.append(to_json({"request_id": sent_request.request_id, "message_id": sent_request.message_id}))
        elif not sent_request.cancels:
            lines.append(sent_request.request_id or f"message {sent_request.message_id}")
    if not streams.write(lines):
        streams.tell("\n".join([*lines, "cannot write to standard output; the messages above were published"]))
    if not as_json:
        streams.tell(f"published {len(sent)} message{'s' if len(sent) != 1 else ''}")


async def _wait(settings: Settings, sent: Sequence[SentMessage], timeout: float | None, form: JsonForm | None) -> int:
    """The exit code: 0 if all succeeded in time, 1 if one ended otherwise, 3 if some have not ended yet."""
    from scripts.cli.data.run.completion import Submission
    from scripts.cli.data.see.requests import StoredRequest
    from scripts.cli.views.see import progress

    async with worker_home.reading(settings) as store:
        waiting = Submission(store, sent)
        with progress.shown(waiting) as report:
            in_time = await waiting.until_ended(timeout, report)
        answers = await waiting.answers()
    if form is not None:
        for item in answers:
            click.echo(to_json(_shown(item, form)))
    else:
        from scripts.cli.views.see import request_view

        console = request_view.console()
        if len(answers) == 1 and isinstance(answers[0], StoredRequest):
            console.print(request_view.sheet(answers[0], with_prompt=False))
        elif answers:
            console.print(
                request_view.results(answers), request_view.remarks(answers), "", request_view.summary(answers)
            )
    if not in_time:
        _say_late(waiting, timeout)
    from scripts.cli.main import NOT_YET

    if any(ended.status != "succeeded" for ended in answers if _has_ended(ended)):
        return 1
    return 0 if in_time else NOT_YET


def _has_ended(request: StoredRequest | RejectedMessage) -> bool:
    from shared.core.values.status import FINAL

    return request.status in (*FINAL, "rejected")


def _shown(ended: StoredRequest | RejectedMessage, form: JsonForm) -> dict[str, Any]:
    from scripts.cli.data.see import wait_reasons
    from scripts.cli.data.see.requests import StoredRequest

    if isinstance(ended, StoredRequest):
        return wait_reasons.in_document(ended, wait_reasons.WaitReasons(), form)
    return ended.document(raw=form.raw, with_prompt=form.with_prompt)


def _say_late(waiting: Submission, timeout: float | None) -> None:
    states = ", ".join(f"{count} {status}" for status, count in sorted(waiting.statuses().items()))
    click.echo(
        f"Timed out after {timeout:g} s with {waiting.unfinished} unfinished ({states}); they will continue", err=True
    )
