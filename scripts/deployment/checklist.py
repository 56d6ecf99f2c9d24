"""What `renderlane doctor --json` says before a deployment, and whether that stops it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from msgspec import Struct

from scripts.deployment.place import DeploymentTarget, Stopped

COMMAND = (".venv/bin/renderlane", "doctor", "--json")


ADVISORY = ("catalogue-age",)
"""Checks whose failure stops no deployment: one may be needed at night, with prices that nobody has compared since."""


class Check(Struct, frozen=True):
    owner: str
    name: str
    verdict: str
    detail: str
    remedy: str


def command(place: DeploymentTarget, *, deployed: bool, fleet: str | None = None) -> tuple[str, ...]:
    """As one can type it, its settings in front."""
    settings = (f"{name}={value}" for name, value in place.settings(deployed=deployed).items() if value)
    return "env", *settings, *COMMAND, *(() if fleet is None else (f"--fleet={fleet}",))


def read(output: str) -> list[Check]:
    """Raises Stopped where doctor itself could not run; its own words say why."""
    try:
        return [
            Check(check["owner"], check["check"], check["verdict"], check["found"], check["remedy"])
            for check in json.loads(output)["checks"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise Stopped(f"renderlane doctor could not check anything:\n{output.strip()}") from error


def judge(checks: list[Check], despite: Collection[str]) -> Iterator[str]:
    """Lines that say what was found. Raises Stopped with the remedy of each check that fails and was not excepted."""
    unknown = [check.name for check in checks if check.verdict == "unknown"]
    failed = [check for check in checks if check.verdict == "fail"]
    yield f"doctor: {sum(check.verdict == 'pass' for check in checks)} checks pass, {len(failed)} fail"
    if unknown:
        yield f"doctor does not know: {', '.join(unknown)}"
    yield from (f"goes on despite {check.name}: {check.detail}" for check in failed if check.name in despite)
    advice = [check for check in failed if check.name in ADVISORY and check.name not in despite]
    yield from (f"goes on with {check.name}: {check.detail}. {check.remedy}" for check in advice)
    stopping = [check for check in failed if check.name not in {*despite, *ADVISORY}]
    if stopping:
        text = "\n".join(
            f"  {check.name} ({check.owner} owner): {check.detail}\n    {check.remedy}" for check in stopping
        )
        names = " ".join(f"--despite {check.name}" for check in stopping)
        raise Stopped(
            f"doctor stops it; nothing was changed:\n{text}\nWhere this deployment is itself the remedy: {names}"
        )
