"""Refuse new uses of vague names and phrases. `scripts/words_allowed.txt` lists the existing ones and only shrinks.

A name says what it holds (`flag`, `document`, `rows`), not how it was obtained (`each`, `found`); a sentence names its
subject. See "How it should read" in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from scripts.allow_list import AllowList, Counts, tracked

NAMES = frozenset(
    {"each", "found", "held", "said", "told", "asked", "known", "seen", "rung", "rungs", "purse", "purses", "ticked"}
)
"""The last five name things that have a plain name: an option, a balance or budget, a result."""
PHRASES = (
    "whoever", "nobody says", "goes round", "all the same", "of late", "whatever", "for ever", "anew", "came of",
    "comes of", "come of it", "hears of", "has it in hand", "went home", "stead", "of no account", "nobody knows",
    "for sure", "told apart", "seen to", "sees to", "comes round", "looks round", "made good",
)  # fmt: skip
EXCEPT = {"of late": r"of late(?! starts?\b)"}
"""Patterns of phrases that have another, plain use: the share of late starts."""
PATTERN = "|".join(EXCEPT.get(phrase, phrase) for phrase in PHRASES)
PHRASE = re.compile(rf"\b({PATTERN})\b".replace(" ", r"\s+"), re.IGNORECASE)
SUFFIXES = (".py", ".md", ".html", ".tf", ".toml", "")
"""The last: scripts without an ending."""
LIST = AllowList(Path("scripts/words_allowed.txt"), "scripts.words", ("names", "phrases"))
RULES = (LIST.path, Path("scripts/words.py"), Path("tests/docs/test_words.py"))
"""Files that quote the words."""


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


def is_python(path: Path, text: str) -> bool:
    """By its name or, as `scripts/smoke`, by its first line."""
    return path.suffix == ".py" or (not path.suffix and text.partition("\n")[0].endswith("python3"))


def count(root: Path, files: list[str]) -> dict[str, Counts]:
    """Of each file that has any."""
    counts: dict[str, Counts] = {}
    for file in files:
        path = Path(file)
        if path in RULES or path.suffix not in SUFFIXES or not (root / path).is_file():
            continue
        text = (root / path).read_text("utf-8")
        pair = (sum(1 for _ in names(text)) if is_python(path, text) else 0, sum(1 for _ in phrases(text)))
        if any(pair):
            counts[file] = pair
    return counts


def report(root: Path, path: str, counts: Counts, allowed: Counts) -> Iterator[str]:
    """One line for each use in a file that has too many."""
    text = (root / path).read_text("utf-8")
    yield f"{path}: {counts[0]} vague names (allowed: {allowed[0]}), {counts[1]} vague phrases (allowed: {allowed[1]})"
    if counts[0] > allowed[0]:
        yield from (f"  {path}:{line}: name {name}" for line, name in names(text))
    if counts[1] > allowed[1]:
        yield from (f"  {path}:{line}: phrase {phrase!r}" for line, phrase in phrases(text))


def main() -> None:
    root = Path.cwd()
    LIST.refuse_growth(
        count(root, tracked()),
        lambda path, now, allowed: report(root, path, now, allowed),
        "Rename them: a name says what it holds, a sentence names its subject.",
    )


if __name__ == "__main__":
    main()
