"""A home that has every secret there is and in which everything goes wrong once, and all that ever came out of it.

The provider quotes prompt and key in its errors, references have signed addresses, a tenant has a webhook, spans go to
a collector, a gateway is used: then each verb, each page and each address is asked for what it says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx2
from click.testing import CliRunner
from msgspec import Struct, field

from scripts.cli.main import cli
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.catalogue import gateway_proof
from shared.core.messages.topics import Subscription
from tests.builders import CATALOGUE_FILE
from tests.cli.conftest import OUR_VARIABLES, Process, started
from tests.fakes import otlp_receiver
from tests.local.test_webhooks import Receiver
from tests.security import canaries
from tests.security.canaries import MISPLACED, PROMPT, SYSTEM

QUOTED = f"cannot use {PROMPT!r} ({SYSTEM}) with key {canaries.API_KEY} (Bearer {canaries.API_KEY}): "
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "rejected", "prompt": "one:"},
    {"kind": "internal", "prompt": "two:", "times": 1},
    {"kind": "no_image", "prompt": "three:", "form": "text_only"},
    {"kind": "ended", "prompt": "four:", "times": 1, "status": "failed"},
    {"kind": "malformed", "prompt": "five:", "times": 1},
    {"kind": "overload", "prompt": "six:", "times": 1},
    {"kind": "reset", "prompt": "seven:", "times": 1},
    {"kind": "refusal", "prompt": "eight:"},
    {"kind": "permission", "prompt": "nine:"},
    {"kind": "gone", "prompt": "ten:"},
)
SIGNED = f"?X-Goog-Signature={canaries.URL_SIGNATURE}&X-Amz-Credential={canaries.URL_SIGNATURE}"
RESULTS = Subscription("canary-results", "render-results", "intake", timedelta(seconds=60), 0)
MOST_PAGES = 150


class Outputs(Struct):
    """What was written or sent, by name."""

    shown: dict[str, bytes] = field(default_factory=dict)
    """Prompts must not stand in it."""
    with_prompt: dict[str, bytes] = field(default_factory=dict)
    """Asked for with the prompt."""
    store: dict[str, bytes] = field(default_factory=dict)
    """The home's database and images."""
    sent: dict[str, bytes] = field(default_factory=dict)
    """What shows that the canaries were in use."""
    secrets_shown_once: list[str] = field(default_factory=list)

    @property
    def everything(self) -> Mapping[str, bytes]:
        return self.shown | self.with_prompt


class Home(Struct):
    path: Path
    variables: dict[str, str]
    outputs: Outputs

    def cli(self, *words: str, stdin: str | None = None, with_prompt: bool = False) -> str:
        """A verb in this process: what it wrote, and the traceback where it crashed. Its standard output."""
        env: dict[str, str | None] = {name: None for name in os.environ if name.startswith((*OUR_VARIABLES, "OTEL_"))}
        result = CliRunner().invoke(cli, words, input=stdin, env=env | self.variables, prog_name="renderlane")
        text = result.output + result.stderr
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            text += "".join(traceback.format_exception(result.exception))
        into = self.outputs.with_prompt if with_prompt else self.outputs.shown
        name = "renderlane " + " ".join(word if len(word) < 60 else f"{word[:20]}…" for word in words)
        into[name] = into.get(name, b"") + text.encode()
        return result.stdout

    def publish(self, *payloads: object) -> str:
        """As any publisher would, unchecked."""
        lines = "\n".join(text if isinstance(text, str) else json.dumps(text) for text in payloads)
        return self.cli("submit", "-", "--no-check", "--wait", "--timeout", "60", "--json", stdin=lines)


def leaves(command: click.Command = cli, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every verb that does something."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            yield from leaves(sub, (*words, name))
    else:
        yield words


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Outputs]:
    """The whole story, told once."""
    outputs, receiver = Outputs(), Receiver()
    try:
        with (
            otlp_receiver.receiving() as collector,
            started(folder / "a", "simulator", "--latency", "fixed:0.05", "--pictures", "cached") as provider,
            started(folder / "b", "simulator", "--gateway", "--latency", "fixed:0", "--pictures", "cached") as gateway,
        ):
            home = Home(folder / "home", _variables(folder, _url(provider), _url(gateway), collector.url), outputs)
            asyncio.run(_subscribe(home))
            faults = [fault | {"message": QUOTED + fault["kind"]} for fault in FAULTS]
            httpx2.post(f"{_url(provider)}/control/faults", json=faults, trust_env=False).raise_for_status()
            with started(home.path, "up", "--port", "0", **home.variables) as up:
                url = _url(up)
                _render(home, receiver)
                _verbs(home, folder)
                _api(outputs, url)
                _crawl(outputs, url)
                _break_the_images(home)
                up.stop()
                outputs.shown["up: standard output"] = (up.first_line + up.rest()).encode()
            outputs.shown["up: standard error"] = "".join(up.errors).encode()
            for number, body in enumerate(collector.raw):
                outputs.shown[f"collector {number}"] = body
            for number, (_, body) in enumerate(receiver.received):
                outputs.shown[f"webhook {number}"] = body
            outputs.sent["statuses"] = home.cli("list", "--json", "--limit", "100").encode()
        outputs.sent["collector's headers"] = json.dumps(collector.headers).encode()
        outputs.shown |= {f"result {number}": data for number, data in enumerate(asyncio.run(_results(home)))}
        _files(home)
        _damaged(home, folder)
        yield outputs
    finally:
        receiver.close()


def _url(process: Process) -> str:
    match = re.search(r"http://127\.0\.0\.1:\d+", process.first_line)
    assert match, process.first_line + "".join(process.errors)
    return match[0]


def _variables(folder: Path, provider: str, gateway: str, collector: str) -> dict[str, str]:
    catalogue = folder / "catalogue.toml"
    catalogue.write_text(CATALOGUE_FILE.read_text("utf-8").replace("https://api.laozhang.ai", gateway))
    return {
        "RENDERLANE_HOME": str(folder / "home"),
        "RENDERLANE_CATALOGUE": str(catalogue),
        "GOOGLE_GEMINI_BASE_URL": provider,
        "GEMINI_API_KEY": canaries.API_KEY,
        "GOOGLE_API_KEY": canaries.OTHER_KEY,
        "RENDERLANE_CONFIRM": "live",
        "RENDERLANE_GATEWAY_KEY_LAOZHANG": canaries.GATEWAY_KEY,
        "RENDERLANE_WEBHOOK_SECRET": canaries.STATIC_SECRET,
        "RENDERLANE_REFERENCES": "https://127.0.0.1:9/",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{canaries.COLLECTOR_TOKEN}",
    }


def _render(home: Home, receiver: Receiver) -> None:
    """Requests that end in every way, most of them badly."""
    receiver.answers = [500, 302]
    for verb in ("add", "rotate"):
        target = f"{receiver.url}?token={canaries.HOOK_TOKEN}" if verb == "add" else _endpoint(home)
        shown = home.cli("tenant", "web", "webhook", verb, target, "--json")
        home.outputs.secrets_shown_once.append(json.loads(shown)["secret"])
        name = next(name for name in home.outputs.shown if f"webhook {verb}" in name)
        home.outputs.with_prompt[name] = home.outputs.shown.pop(name)
    references = {
        "signed": f"https://127.0.0.1:9/a.png{SIGNED}",
        "elsewhere": f"https://elsewhere.example/a.png{SIGNED}",
        "password": f"https://ann:{canaries.URL_PASSWORD}@127.0.0.1:9/a.png",
        "scheme": f"ftp://ann:{canaries.URL_PASSWORD}@elsewhere.example/a.png",
    }
    plain = {"prompt": PROMPT, "system_instruction": SYSTEM, "tenant": "web"}
    home.publish(
        plain | {"request_id": "ok", "labels": {"campaign": "spring"}},
        plain | {"request_id": "refused", "prompt": f"[refuse] {PROMPT}"},
        *(plain | {"request_id": f"bad-{fault['kind']}", "prompt": f"{fault['prompt']} {PROMPT}"} for fault in FAULTS),
        *(plain | {"request_id": name, "references": [{"uri": uri}]} for name, uri in references.items()),
        plain | {"request_id": "wrong-size", "image_size": "8K"},
        plain | {"request_id": "wrong-field", MISPLACED: PROMPT},
        plain | {"request_id": "wrong-prompt", "prompt": [PROMPT], "system_instruction": {"text": SYSTEM}},
        plain | {"request_id": MISPLACED},
        plain | {"request_id": "wrong-lane", "lane": MISPLACED, "labels": {MISPLACED: [SYSTEM]}},
        plain
        | {"request_id": "wrong-floor", "floor": {MISPLACED: 1}, "references": [{"uri": MISPLACED, MISPLACED: 1}]},
        {"request_id": "ok", "prompt": f"{PROMPT} and other content", "tenant": "web"},
    )
    for item in [name for name in gateway_proof.ITEMS if name != gateway_proof.TEST]:
        home.cli("gateway", "record", "laozhang", item, "--evidence", f"seen for {item}", "--by", "ann")
    home.cli("gateway", "prove", "laozhang", "--by", "ann", "--yes", "--json")


def _endpoint(home: Home) -> str:
    text: str = json.loads(home.cli("tenant", "web", "webhook", "list", "--json").splitlines()[0])["endpoint"]
    return text


def _verbs(home: Home, folder: Path) -> None:
    """Each verb in each form of output."""
    one = folder / "request.json"
    one.write_text(json.dumps({"request_id": "planned", "prompt": PROMPT, "tenant": "web"}))
    for words in leaves():
        home.cli(*words, "--help")
    home.cli("--help")
    keys = [f"web~{name}" for name in ("ok", "refused", *(f"bad-{fault['kind']}" for fault in FAULTS), "signed")]
    for key in keys:
        for words in (
            ("status", key), ("status", key, "--json"), ("status", key, "--json", "--raw"),
            ("trace", key), ("trace", key, "--json"), ("trace", key, "--html", str(folder / f"{key}.html")),
            ("packet", key), ("packet", key, "--json"),
        ):  # fmt: skip
            home.cli(*words)
    for key in ("web~ok", "web~bad-rejected"):
        for words in (("status", key, "--prompt"), ("packet", key, "--with-prompt", "--json")):
            home.cli(*words, with_prompt=True)
    home.cli("list", "--json", "--with-prompt", with_prompt=True)
    hook = ("tenant", "web", "webhook")
    endpoint = _endpoint(home)
    for words in (
        ("list",), ("list", "--json"), ("list", "--json", "--raw"), ("list", "--status", "rejected"),
        ("list", "--status", "rejected", "--json"), ("list", "--status", "rejected", "--json", "--raw"),
        ("status",), ("status", "--json"), ("status", "nobody"),
        ("explain", "web~ok"), ("explain", "web~bad-rejected", "--json"), ("explain", str(one)),
        ("explain", "-", "--json"), ("plan", str(one)), ("plan", str(one), "--json"),
        ("quota",), ("quota", "--json"), ("doctor",), ("doctor", "--json"), ("doctor", "--live"),
        ("doctor", "--live", "--yes", "--budget", "0.10", "--out", str(folder / "reports"), "--json"),
        ("flags",), ("flags", "list", "--json"), ("flags", "trip", "pause", "--tenant", "other", "--reason", "test"),
        ("flags", "extend", "pause"), ("flags", "reset", "pause", "--reason", "over"), ("flags", "history", "--json"),
        ("gateway", "list"), ("gateway", "show", "laozhang", "--json"), ("tenant", "web"), ("tenant", "web", "--json"),
        (*hook, "list"), (*hook, "list", "--json"), (*hook, "deliveries"), (*hook, "deliveries", "--json"),
        (*hook, "replay", "ok"), (*hook, "enable", endpoint), (*hook, "add", f"ftp://x/?token={canaries.HOOK_TOKEN}"),
        (*hook, "add", f"https://ann:{canaries.HOOK_TOKEN}@shop.example/renders"),
        (*hook, "remove", endpoint), ("cost",), ("cost", "--json", "--explain"),
        ("cost", "--csv", str(folder / "cost.csv"), "--chart", str(folder / "cost.svg")),
        ("budget", "web"), ("budget", "web", "--limit", "5", "--reason", "test", "--json"),
        ("revive", "--status", "failed", "--tenant", "web"), ("revive", "web~bad-rejected", "--json"),
        ("cancel", "web~ok", "--json"), ("cancel", "--tenant", "web"),
        ("submit", PROMPT, "--id", "again", "--tenant", "web", "--wait"), ("submit", PROMPT, "--id", " "),
        ("submit", PROMPT, "--id", "r", "--reference", f"https://elsewhere.example/?sig={canaries.URL_SIGNATURE}"),
    ):  # fmt: skip
        home.cli(*words, stdin=one.read_text() if "-" in words else "")
    home.cli("submit", PROMPT, "--id", "w", "--wait", "--json", "--with-prompt", with_prompt=True)
    for path in (*folder.glob("*.html"), *folder.glob("cost.*"), *(folder / "reports").rglob("*.*")):
        home.outputs.shown[f"file {path.name}"] = path.read_bytes()


def _api(outputs: Outputs, url: str) -> None:
    """Every address, and every kind of problem."""
    wrong: tuple[Any, ...] = (
        {"request_id": "x", "prompt": PROMPT, "image_size": "8K"},
        {"request_id": "x", "prompt": [PROMPT]},
        {"request_id": "x", "prompt": PROMPT, MISPLACED: 1},
        {"request_id": "x", "prompt": PROMPT, "tenant": "web", "references": [{"uri": f"https://e.example/a.png{SIGNED}"}]},
        [PROMPT],
    )  # fmt: skip
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as client:
        for path in (
            "/v1/requests", "/v1/requests?tenant=web", "/v1/requests?status=failed", "/v1/requests?status=nonsense",
            "/v1/requests/ok?tenant=web", "/v1/requests/ok/image?tenant=web", "/v1/requests/ok/events?tenant=web",
            "/v1/requests/nobody", "/v1/openapi.json", "/healthz", "/metrics", "/nothing",
        ):  # fmt: skip
            outputs.shown[f"GET {path}"] = client.get(path).content
        for fault in FAULTS:
            path = f"/v1/requests/bad-{fault['kind']}?tenant=web"
            outputs.shown[f"GET {path}"] = client.get(path).content
        for path in ("/v1/requests", "/v1/estimate", "/v1/requests/ok/cancel?tenant=web"):
            for number, body in enumerate((*wrong, {"request_id": "fine", "prompt": PROMPT, "tenant": "web"})):
                outputs.shown[f"POST {path} {number}"] = client.post(path, json=body).content
            broken = client.post(path, content=f'{{"prompt": "{PROMPT}', headers={"content-type": "application/json"})
            outputs.shown[f"POST {path} broken"] = broken.content
        for path in ("/functions/render", "/functions/intake", "/webhooks/gemini"):
            outputs.shown[f"POST {path}"] = client.post(path, json={"message": {"data": PROMPT}}).content


def _crawl(outputs: Outputs, url: str) -> None:
    """Every page of the console that a link of another leads to."""
    todo, done = ["/console/", "/console/nothing", "/console/requests?status=failed"], set[str]()
    with httpx2.Client(base_url=url, trust_env=False, timeout=30, follow_redirects=True) as client:
        while todo and len(done) < MOST_PAGES:
            path = todo.pop(0)
            done.add(path)
            answer = client.get(path)
            outputs.shown[f"GET {path}"] = answer.content + str(answer.headers).encode()
            links = re.findall(r'(?:href|hx-get|src)="(/console/[^"#]*)', answer.text)
            todo += [link.replace("&amp;", "&") for link in dict.fromkeys(links)]
            todo = [link for link in dict.fromkeys(todo) if link not in done]


def _break_the_images(home: Home) -> None:
    """A paid image that cannot be stored: the folder is a file now."""
    images = home.path / "images"
    images.rename(home.path / "images-before")
    images.write_text("no folder")
    home.cli("submit", PROMPT, "--id", "homeless", "--tenant", "web", "--wait", "--timeout", "5")


def _files(home: Home) -> None:
    """What lies in the home. Logs are for everybody, the database and the images are not."""
    for path in sorted(home.path.rglob("*")):
        if path.is_file():
            is_log = ".jsonl" in path.name
            into = home.outputs.shown if is_log else home.outputs.store
            into[f"file {path.relative_to(home.path)}"] = path.read_bytes()


def _damaged(home: Home, folder: Path) -> None:
    """A database that is none, a wrong catalogue: what is said of them, in this process and by `up`."""
    ruin = folder / "ruin"
    ruin.mkdir()
    (ruin / "state.db").write_bytes(b"no database at all" * 100)
    broken = Home(ruin, home.variables | {"RENDERLANE_HOME": str(ruin)}, home.outputs)
    for words in (("list",), ("status", "web~ok"), ("submit", PROMPT, "--tenant", "web"), ("doctor", "--json")):
        broken.cli(*words)
    with started(ruin, "up", "--port", "0", **broken.variables) as up:
        first, rest = up.first_line, up.rest()
        up.process.wait(60)
    home.outputs.shown["up on a damaged database"] = (first + rest + "".join(up.errors)).encode()


async def _subscribe(home: Home) -> None:
    settings = Settings.read({"RENDERLANE_HOME": str(home.path)}, home.path.parent)
    topics = wiring.topics(settings, SystemClock())
    await topics.ensure([RESULTS])
    await topics.close()


async def _results(home: Home) -> list[bytes]:
    """Every message on the topic of results, with its attributes."""
    settings = Settings.read({"RENDERLANE_HOME": str(home.path)}, home.path.parent)
    topics, results = wiring.topics(settings, SystemClock()), list[bytes]()
    until = datetime.now(UTC) + timedelta(seconds=30)
    while datetime.now(UTC) < until and (batch := await topics.pull(RESULTS.name, 100, timedelta(seconds=1))):
        results += [delivery.data + json.dumps(dict(delivery.attributes)).encode() for delivery in batch]
        await topics.acknowledge(RESULTS.name, [delivery.handle for delivery in batch])
    await topics.close()
    return results
