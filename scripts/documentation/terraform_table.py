"""Writes terraform/README.md: what each file is about, and tables of variables and outputs, as terraform-docs would.

./scripts/terraform-table
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

FOLDER = Path("terraform")
PAGE = FOLDER / "README.md"
BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
HEAD = """# Terraform

Everything that an empty project needs, in one flat module. `./scripts/deploy` applies it (docs/deployment.md); the
values of an environment stand in `envs/`. `tests/` holds Terraform's own tests, which need no cloud.
`./scripts/terraform-table` writes this page; a test keeps it current.
"""


class Variable(Struct, frozen=True):
    name: str
    description: str
    type: str
    default: str | None
    """None = required."""


class Output(Struct, frozen=True):
    name: str
    description: str


def page(folder: Path = FOLDER) -> str:
    files = [path for path in sorted(folder.glob("*.tf")) if path.name not in ("variables.tf", "outputs.tf")]
    text = [HEAD, "## Files\n", "| file | about |", "|---|---|"]
    text += [f"| `{path.name}` | {_about(path)} |" for path in files]
    text += ["", "## Variables\n", "| name | description | type | default |", "|---|---|---|---|"]
    for variable in variables(folder):
        default = "required" if variable.default is None else f"`{_cell(variable.default)}`"
        text.append(f"| `{variable.name}` | {_cell(variable.description)} | `{_cell(variable.type)}` | {default} |")
    text += ["", "## Outputs\n", "| name | description |", "|---|---|"]
    text += [f"| `{output.name}` | {_cell(output.description)} |" for output in outputs(folder)]
    return "\n".join(text) + "\n"


def variables(folder: Path = FOLDER) -> list[Variable]:
    """By name, the required ones first."""
    made = [
        Variable(name, _text(body, "description"), _value(body, "type") or "any", _value(body, "default"))
        for kind, name, body in _blocks(folder)
        if kind == "variable"
    ]
    return sorted(made, key=lambda variable: (variable.default is not None, variable.name))


def outputs(folder: Path = FOLDER) -> list[Output]:
    made = [Output(name, _text(body, "description")) for kind, name, body in _blocks(folder) if kind == "output"]
    return sorted(made, key=lambda output: output.name)


def _blocks(folder: Path) -> Iterator[tuple[str, str, str]]:
    for path in sorted(folder.glob("*.tf")):
        yield from BLOCK.findall(path.read_text("utf-8"))


def _about(path: Path) -> str:
    """The first sentences of the comment at its head."""
    comment = []
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith("#") or line == "#":
            break
        comment.append(line.removeprefix("#").strip())
    return _cell(" ".join(comment)) or "versions and the provider"


def _text(body: str, name: str) -> str:
    quoted = re.search(rf'^  {name}\s*= "(.*)"$', body, re.MULTILINE)
    return quoted[1].replace('\\"', '"') if quoted else ""


def _value(body: str, name: str) -> str | None:
    """What stands behind `name =`, brackets and all, on one line."""
    begin = re.search(rf"^  {name}\s*= ", body, re.MULTILINE)
    if begin is None:
        return None
    depth, kept = 0, []
    for line in body[begin.end() :].splitlines():
        kept.append(line.strip())
        depth += sum(line.count(sign) for sign in "([{") - sum(line.count(sign) for sign in ")]}")
        if depth <= 0:
            break
    joined = ", ".join(part.rstrip(",") for part in kept)
    return re.sub(r"\s+", " ", re.sub(r"([(\[{]),", r"\1", joined).replace(", })", " })").replace(", }", " }"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
