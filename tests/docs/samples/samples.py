"""Every sample of the documentation, with the test that runs it or the reason why none does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[3]
PAGES = ("README.md", "CONTRIBUTING.md", "RUNBOOK.md", "SECURITY.md", "MIGRATION.md")
COMMENT = re.compile(r"( {3,}|\s+#\s).*")
"""Behind a command."""


class Sample(Struct, frozen=True):
    page: str
    text: str

    @property
    def name(self) -> str:
        """The page and its first line."""
        return f"{self.page}: {self.text.splitlines()[0].strip()}"

    def commands(self) -> Iterator[str]:
        """Of a shell, without what explains them; a line that goes on is one command."""
        for line in re.sub(r"\\\n\s*", "", self.text).splitlines():
            if command := COMMENT.sub("", line).strip():
                yield command


def samples() -> tuple[Sample, ...]:
    """Blocks that are indented by four or stand in a fence. Decisions tell what was."""
    paths = [ROOT / page for page in PAGES] + [
        path for path in sorted((ROOT / "docs").rglob("*.md")) if "decisions" not in path.parts
    ]
    return tuple(
        Sample(str(path.relative_to(ROOT)), block) for path in paths for block in _blocks(path.read_text("utf-8"))
    )


def _blocks(text: str) -> Iterator[str]:
    fence = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    yield from (match[1] for match in fence.finditer(text))
    lines = fence.sub("", text).splitlines()
    block: list[str] = []
    for number, line in enumerate([*lines, "."]):
        if line.startswith("    ") and (block or number == 0 or not lines[number - 1].strip()):
            block.append(line[4:])
        elif not line.strip() and block:
            block.append("")
        elif block:
            yield "\n".join(block).rstrip()
            block = []


def sample(page: str, beginning: str) -> Sample:
    """The first one of the page that begins so."""
    return next(item for item in samples() if item.page == page and item.text.strip().startswith(beginning))


_HERE, _CLOUD = "tests/docs/samples/test_samples_here.py::", "tests/docs/samples/test_samples_on_emulators.py::"
_PAGES = "tests/docs/test_pages.py::"
_GRAPH = "tests/docs/test_architecture.py::test_tables_and_drawings_are_those_of_the_imports"
_VERBS = f"{_HERE}test_a_command_of_a_page_runs"
_REQUESTS = f"{_PAGES}test_the_requests_it_shows_are_requests"
RUN: Mapping[str, Mapping[str, str]] = {
    "README.md": {".venv/bin/renderlane up": _VERBS, '{"request_id": "spring-hero-001", "prompt"': _REQUESTS},
    "docs/architecture.md": {"flowchart TD": _GRAPH},
    "docs/cli.md": {
        "Usage: renderlane": f"{_PAGES}test_the_help_text_is_the_commands_own",
        'eval "$(_RENDERLANE_COMPLETE': "tests/cli/commands/run/test_submit_options.py::"
        "test_a_shell_completes_verbs_and_values",
        "renderlane status": _VERBS,
    },
    "docs/clients.md": {
        "./scripts/publish-clients": "tests/client/test_wheel.py::"
        "test_publishing_both_clients_is_one_command_that_only_builds_without_yes"
    },
    "docs/configuration.md": {
        "export PUBSUB_EMULATOR_HOST": f"{_CLOUD}test_the_home_on_the_emulators_starts_as_the_page_says"
    },
    "docs/deployment.md": {
        "cp terraform/envs": "tests/deployment/test_deploy.py::test_it_plans_applies_and_smokes_in_that_order"
    },
    "docs/doctor-live.md": {
        "renderlane doctor --live": "tests/cli/commands/prepare/test_doctor_live.py::"
        "test_with_yes_it_asks_and_writes_two_dated_files_within_its_budget"
    },
    "docs/examples/README.md": {
        ".venv/bin/renderlane up": "tests/docs/samples/test_examples.py::test_the_shell_script_saves_an_image",
        "gcloud run deploy": f"{_CLOUD}test_gcloud_takes_every_flag_of_a_command",
    },
    "docs/http-api.md": {
        ".venv/bin/renderlane up": f"{_HERE}test_the_api_is_called_with_curl",
        "from renderlane import": f"{_HERE}test_the_api_is_called_with_python",
        "token=$(gcloud auth": f"{_CLOUD}test_gcloud_takes_every_flag_of_a_command",
    },
    "docs/observability.md": {
        "request": f"{_PAGES}test_every_metric_and_every_stage_of_a_trace_is_named",
        "renderlane trace": _VERBS,
    },
    "docs/operations/gateways.md": {".venv/bin/renderlane gateway show": _VERBS},
    "docs/operations/money.md": {".venv/bin/renderlane cost": _VERBS, ".venv/bin/renderlane budget": _VERBS},
    "docs/operations/planning-and-drills.md": {
        ".venv/bin/renderlane plan": "tests/cli/commands/prepare/test_plan.py::"
        "test_the_plan_that_the_documentation_shows_can_be_repeated"
    },
    "docs/operations/vertex.md": {"RENDERLANE_VERTEX=": f"{_HERE}test_vertex_is_used_as_the_page_says"},
    "docs/proof.md": {"./scripts/fuzz": "tests/fuzz/test_doors.py::test_a_fault_is_found_written_down_and_found_again"},
    "docs/publishing.md": {
        '{"request_id": "spring-hero-001"': _REQUESTS,
        '{"request_id": "spring-hero-002"': _REQUESTS,
        "from renderlane import": f"{_CLOUD}test_python_renders_with_the_client",
        "from google.cloud import": f"{_CLOUD}test_python_publishes_without_the_client",
        "import { PubSub }": f"{_CLOUD}test_node_publishes_and_receives",
        "gcloud pubsub subscriptions create shop-results": f"{_CLOUD}test_gcloud_publishes_and_pulls_a_result",
        "curl -s -X POST http://127.0.0.1": f"{_HERE}test_a_message_is_published_with_curl",
        "api=https://pubsub": f"{_CLOUD}test_rest_publishes_pulls_and_acknowledges",
        "gcloud pubsub subscriptions create shop-webhook": f"{_CLOUD}test_gcloud_makes_the_push_subscriptions",
    },
    "docs/result-webhooks.md": {
        "renderlane tenant shop webhook add": f"{_HERE}test_webhooks_are_set_up_and_replayed",
        "renderlane tenant shop webhook deliveries": f"{_HERE}test_webhooks_are_set_up_and_replayed",
        "from standardwebhooks": f"{_HERE}test_a_webhook_is_verified_with_python",
        "import { verifyWebhook }": f"{_HERE}test_a_webhook_is_verified_with_node",
    },
    "docs/webhooks.md": {"curl -X POST": f"{_HERE}test_a_static_webhook_is_registered_with_curl"},
}
"""By page and beginning: the test that runs the sample, or makes it again and compares."""
NOT_RUN: Mapping[str, Mapping[str, str]] = {
    "README.md": {
        "./scripts/demo": "the demo has tests/cli/commands/run/test_demo.py, and the other command is the suite itself",
        '{"request_id": "spring-hero-001", "tenant"': "an answer, shortened",
        "upstream app": "a drawing",
    },
    "CONTRIBUTING.md": {"functions/": "a drawing of folders"},
    "MIGRATION.md": {"[google.": "two lines of a catalogue, before and after"},
    "docs/background.md": {"render": "a drawing of the flow"},
    "docs/data-flow.md": {"stateDiagram-v2": "a drawing", "upstream app": "a drawing"},
    "docs/http-api.md": {"api_callers = {": "a variable of Terraform; tests/terraform plans with one like it"},
    "docs/operations/flags-and-breakers.md": {
        "$ renderlane explain": "what a screen showed in an outage",
        "$ renderlane flags trip": "what a screen showed, with a backlog",
    },
    "docs/operations/planning-and-drills.md": {"0.0 s  drill": "what a drill of two minutes printed"},
    "docs/result-webhooks.md": {"POST /renders": "an HTTP request, shortened"},
    "docs/webhooks.md": {"webhooks = {": "two values of a Terraform variable; tests/terraform plans with both"},
}
"""Why no test runs a sample. It only shrinks."""
