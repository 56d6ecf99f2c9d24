"""Refuse new uses of vague names and phrases. `scripts/words_allowed.txt` lists the existing ones and only shrinks.

A name says what it holds (`flag`, `document`, `rows`), not how it was obtained (`each`, `found`); a sentence names its
subject. See "How it should read" in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

NAMES = frozenset({"each", "found", "held", "said", "told", "asked", "known", "seen"})
PHRASES = ("whoever", "nobody says", "goes round", "all the same", "of late", "whatever")
EXCEPT = {"of late": r"of late(?! starts?\b)"}
"""Patterns of phrases that have another, plain use: the share of late starts."""
PATTERN = "|".join(EXCEPT.get(phrase, phrase) for phrase in PHRASES)
PHRASE = re.compile(rf"\b({PATTERN})\b".replace(" ", r"\s+"), re.IGNORECASE)
SUFFIXES = (".py", ".md", ".html", ".tf", ".toml")
ALLOWED = Path("scripts/words_allowed.txt")
RULES = (ALLOWED, Path("scripts/words.py"), Path("tests/docs/test_words.py"))
"""Files that quote the words."""

Counts = tuple[int, int]
"""Of one file: new names from NAMES, uses of PHRASES."""


def names(source: str) -> Iterator[tuple[int, str]]:
    """Each identifier from NAMES that the source introduces, with its line. Underscores around it do not count."""
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 1)
        for name in _introduced(node):
            if name.strip("_").lower() in NAMES:
                yield line, name


def _introduced(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
            return (name,)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
            return (name,)
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return (name,)
        case _:
            return ()


def phrases(text: str) -> Iterator[tuple[int, str]]:
    """Each use of a phrase from PHRASES, with its line."""
    for match in PHRASE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group()


def count(root: Path, files: list[str]) -> dict[str, Counts]:
    """Of each file that has any."""
    counts = {}
    for file in files:
        path = Path(file)
        if path in RULES or path.suffix not in SUFFIXES or not (root / path).is_file():
            continue
        text = (root / path).read_text("utf-8")
        pair = (sum(1 for _ in names(text)) if path.suffix == ".py" else 0, sum(1 for _ in phrases(text)))
        if any(pair):
            counts[file] = pair
    return counts


def read_allowed(text: str) -> dict[str, Counts]:
    """Lines of `path names phrases`."""
    rows = (line.rsplit(" ", 2) for line in text.splitlines() if line and not line.startswith("#"))
    return {path: (int(name_count), int(phrase_count)) for path, name_count, phrase_count in rows}


def write_allowed(counts: Mapping[str, Counts]) -> str:
    head = "# path, names, phrases: see scripts/words.py. Written by `python -m scripts.words --write`; only shrinks.\n"
    return head + "".join(f"{path} {pair[0]} {pair[1]}\n" for path, pair in sorted(counts.items()))


def grown(counts: Mapping[str, Counts], allowed: Mapping[str, Counts]) -> list[str]:
    """The files with more names or phrases than allowed."""
    none = (0, 0)
    return [
        path
        for path, pair in sorted(counts.items())
        if any(now > most for now, most in zip(pair, allowed.get(path, none), strict=True))
    ]


def shrunk(counts: Mapping[str, Counts], allowed: Mapping[str, Counts]) -> dict[str, Counts]:
    """The smaller of both counts, without files that have none left."""
    lower = {
        path: (min(most[0], counts.get(path, (0, 0))[0]), min(most[1], counts.get(path, (0, 0))[1]))
        for path, most in allowed.items()
    }
    return {path: pair for path, pair in lower.items() if any(pair)}


def report(root: Path, path: str, counts: Counts, allowed: Counts) -> Iterator[str]:
    """One line for each use in a file that has too many."""
    text = (root / path).read_text("utf-8")
    yield f"{path}: {counts[0]} vague names (allowed: {allowed[0]}), {counts[1]} vague phrases (allowed: {allowed[1]})"
    if counts[0] > allowed[0]:
        yield from (f"  {path}:{line}: name {name}" for line, name in names(text))
    if counts[1] > allowed[1]:
        yield from (f"  {path}:{line}: phrase {phrase!r}" for line, phrase in phrases(text))


def tracked() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def main() -> None:
    root = Path.cwd()
    counts = count(root, tracked())
    allowed = read_allowed((root / ALLOWED).read_text("utf-8")) if (root / ALLOWED).exists() else counts
    if "--write" in sys.argv[1:]:
        (root / ALLOWED).write_text(write_allowed(shrunk(counts, allowed)), "utf-8")
    too_many = grown(counts, allowed)
    for path in too_many:
        print(*report(root, path, counts[path], allowed.get(path, (0, 0))), sep="\n")
    if too_many:
        print("Rename them: a name says what it holds, a sentence names its subject.")
        raise SystemExit(1)
    if shrunk(counts, allowed) != allowed:
        print("fewer than allowed: run `.venv/bin/python -m scripts.words --write` to keep it so")


if __name__ == "__main__":
    main()
