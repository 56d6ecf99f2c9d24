"""Known vulnerabilities of the locked packages, by OSV, where pip-audit's advisories come from too.

Shapes: https://google.github.io/osv.dev/post-v1-querybatch/ and https://ossf.github.io/osv-schema/. What could not be
checked is never said to be well.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import httpx2
from msgspec import Struct

from scripts.deployment.place import ROOT

SOURCE = "https://api.osv.dev"
TIMEOUT_SECONDS = 10.0
MOST_PAGES = 20
"""Of one query; OSV pages what is long."""
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([^\s;\\]+)", re.MULTILINE)
VULNERABLE, UNCHECKED = 1, 2


class LockedPackage(Struct, frozen=True, order=True):
    name: str
    version: str


class Advisory(Struct, frozen=True, order=True):
    package: LockedPackage
    id: str
    summary: str
    fixed: tuple[str, ...]
    """Versions in which it is gone."""

    def __str__(self) -> str:
        remedy = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version is known that fixes it"
        return (
            f"{self.package.name} {self.package.version}  {self.id}  {self.summary}; {remedy}\n"
            f"    https://osv.dev/vulnerability/{self.id}"
        )


class Unchecked(Exception):
    """The advisories could not be read, or not all of them."""


def locked(text: str) -> tuple[LockedPackage, ...]:
    return tuple(sorted({LockedPackage(name.lower(), version) for name, version in PIN.findall(text)}))


def read(packages: Sequence[LockedPackage], source: str) -> tuple[Advisory, ...]:
    """One call for all packages, and one for each advisory. Raises Unchecked."""
    try:
        with httpx2.Client(base_url=source, timeout=TIMEOUT_SECONDS, follow_redirects=False) as client:
            ids = _ids(client, packages)
            details = {name: _json(client.get(f"/v1/vulns/{name}")) for name in sorted(set().union(*ids.values()))}
    except httpx2.HTTPError as error:
        raise Unchecked(f"{source} did not respond ({type(error).__name__})") from error
    return tuple(sorted(_advisories(ids, details)))


def _ids(client: httpx2.Client, packages: Sequence[LockedPackage]) -> dict[LockedPackage, set[str]]:
    """By package, the names of its advisories, those of later pages too."""
    ids: dict[LockedPackage, set[str]] = {package: set() for package in packages}
    open_queries: list[tuple[LockedPackage, str | None]] = [(package, None) for package in packages]
    for _ in range(MOST_PAGES):
        answer = _json(client.post("/v1/querybatch", json={"queries": [_query(*query) for query in open_queries]}))
        results = answer.get("results")
        if not isinstance(results, list) or len(results) != len(open_queries):
            raise Unchecked(f"{client.base_url.host} answered for another number of packages than were asked for")
        further: list[tuple[LockedPackage, str | None]] = []
        for (package, _page), result in zip(open_queries, results, strict=True):
            try:
                ids[package].update(str(row["id"]) for row in result.get("vulns") or ())
            except (AttributeError, KeyError, TypeError) as error:
                raise Unchecked(f"the answer for {package.name} cannot be read") from error
            if token := result.get("next_page_token"):
                further.append((package, str(token)))
        if not further:
            return ids
        open_queries = further
    raise Unchecked(f"more than {MOST_PAGES} pages of advisories")


def _query(package: LockedPackage, page: str | None) -> dict[str, Any]:
    query = {"package": {"name": package.name, "ecosystem": "PyPI"}, "version": package.version}
    return query if page is None else query | {"page_token": page}


def _json(response: httpx2.Response) -> Mapping[str, Any]:
    if response.status_code != 200:
        raise Unchecked(f"{response.url.host} answered HTTP {response.status_code}")
    try:
        answer = response.json()
    except ValueError as error:
        raise Unchecked(f"{response.url.host} answered with no JSON") from error
    if not isinstance(answer, dict):
        raise Unchecked(f"{response.url.host} answered with no JSON object")
    return answer


def _advisories(ids: Mapping[LockedPackage, set[str]], details: Mapping[str, Mapping[str, Any]]) -> Iterable[Advisory]:
    """One of each group of aliases, and none that was withdrawn."""
    for package, names in ids.items():
        shown: set[str] = set()
        for name in sorted(names):
            detail = details[name]
            aliases = {name, *map(str, detail.get("aliases") or ())}
            if detail.get("withdrawn") or aliases & shown:
                continue
            shown |= aliases
            summary = str(detail.get("summary") or detail.get("details") or "no summary").splitlines()[0][:160]
            yield Advisory(package, name, summary, tuple(sorted(_fixed(detail, package.name))))


def _fixed(detail: Mapping[str, Any], name: str) -> set[str]:
    return {
        str(event["fixed"])
        for affected in detail.get("affected") or ()
        if str(affected.get("package", {}).get("name", "")).lower() == name
        for span in affected.get("ranges") or ()
        if span.get("type") == "ECOSYSTEM"
        for event in span.get("events") or ()
        if "fixed" in event
    }


@click.command(help="Look for known vulnerabilities of the locked packages (OSV).")
@click.option("--strict", is_flag=True, help="Exit with 2 where they could not be checked.")
@click.option("--lock", type=click.Path(path_type=Path), default=ROOT / "requirements.lock", help="What is installed.")
def main(strict: bool, lock: Path) -> None:
    source = os.environ.get("OSV_URL", SOURCE)
    packages = locked(lock.read_text("utf-8"))
    try:
        advisories = read(packages, source)
    except Unchecked as error:
        click.echo(
            f"NOT CHECKED: {error}. Nothing is known about the {len(packages)} packages of {lock.name}.", err=True
        )
        click.echo("Run ./scripts/advisories where that host can be reached.", err=True)
        sys.exit(UNCHECKED if strict else 0)
    for advisory in advisories:
        click.echo(advisory)
    click.echo(f"{len(packages)} packages of {lock.name}: {len(advisories) or 'no'} known advisories ({source})")
    sys.exit(VULNERABLE if advisories else 0)


if __name__ == "__main__":
    main(prog_name="./scripts/advisories")
