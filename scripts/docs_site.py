"""Gathers the pages of the documentation in build/docs, as they lie in the checkout: links between them stay.

A link to a file that is no page (code, data) has no place on the site: it is checked here and written as code.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = Path("build/docs")
PAGES = ("README.md", "RUNBOOK.md", "CONTRIBUTING.md", "CHANGELOG.md", "MIGRATION.md", "SECURITY.md")
FOLDERS = ("docs", "shared/client", "shared/client-ts")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def gather(root: Path) -> list[str]:
    """Write the pages; return what is wrong: links to files that do not exist."""
    out = root / OUT
    shutil.rmtree(out, ignore_errors=True)
    wrong: list[str] = []
    for page in sorted(pages(root)):
        target = out / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".md":
            text = (root / page).read_text("utf-8")
            wrong += [f"{page}: {link} does not exist" for link in broken(root, page, text)]
            target.write_text(_without_links_to_code(page, text), "utf-8")
        else:
            shutil.copy(root / page, target)
    return wrong


def pages(root: Path) -> Iterator[Path]:
    """Relative paths of all pages and their pictures."""
    yield from (Path(name) for name in PAGES if (root / name).is_file())
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            if path.suffix in (".md", ".png", ".svg") and ".venv" not in path.parts:
                yield path.relative_to(root)


def broken(root: Path, page: Path, text: str) -> list[str]:
    targets = [match[2] for match in LINK.finditer(text) if "://" not in match[2]]
    return [target for target in targets if not (root / page.parent / target).exists()]


def _without_links_to_code(page: Path, text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        target = match[2]
        is_page = "://" in target or target.startswith("mailto:") or target.endswith((".md", ".png", ".svg"))
        return match[0] if is_page else f"`{match[1].strip('`')}`"

    return LINK.sub(plain, text)


def main() -> int:
    wrong = gather(ROOT)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
