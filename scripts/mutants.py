"""Faults planted one at a time in a copy of the sources: `.venv/bin/python -m scripts.mutants [NAME...]`.

Each is a fault that a test must notice. Some survived the first review of the house; the others stand for a promise
that is easy to lose in a rewrite. A mutant that survives, or whose text is no longer there, makes the exit code 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

Verdict = Literal["killed", "survived", "stale"]


class Mutant(Struct, frozen=True):
    path: str
    before: str
    """Stands once in the file."""
    after: str
    tests: tuple[str, ...]
    """One of them must fail."""


MUTANTS: Mapping[str, Mutant] = {
    "closed requests keep their page": Mutant(
        "shared/flows/pump/dormant.py",
        "if self._fronts.is_full_of(model, priority, len(pairs)):",
        "if False:",
        ("tests/flows/operations/test_flags.py", "tests/flows/pump/test_dormant.py"),
    ),
    "a render does not wake a pump that has left": Mutant(
        "shared/flows/wakeups.py",
        'case "left" if effect in ("queued", "awaiting"):',
        'case "left" if False:',
        ("tests/flows/test_wakeups.py",),
    ),
    "kicks are not spaced": Mutant(
        "shared/flows/wakeups.py", "if rest > 0:", "if False:", ("tests/flows/test_wakeups.py",)
    ),
    "an open slot is given before a queue": Mutant(
        "shared/flows/wakeups.py",
        "return not await self._view.knows_of(queue_name(model, priority))",
        "return True",
        ("tests/flows/intake/test_open_slots.py",),
    ),
    "a noted cancellation stops the give-back": Mutant(
        "shared/flows/render/render.py",
        "if isinstance(answer, Conflict) and undo:",
        "if False and undo:",
        ("tests/flows/render/test_give_back.py",),
    ),
    "the next route lies in the same circuit": Mutant(
        "shared/core/routing/ladder.py",
        "option.route.circuit != best.route.circuit",
        "option is not best",
        ("tests/core/routing",),
    ),
    "a gateway's price counts as a saving": Mutant(
        "shared/core/routing/ladder.py",
        "if (wanted.lane == GATEWAY) == (taken.lane == GATEWAY) else 0",
        "if True else 0",
        ("tests/core/routing",),
    ),
    "a lost increment is repeated": Mutant(
        "shared/adapters/google_cloud/firestore_store.py",
        "is_repeatable = any(not isinstance(write, documents.Increment) for write in writes)",
        "is_repeatable = True",
        ("tests/adapters/google_cloud/test_firestore_repeats.py",),
    ),
    "a failed publish loses its reservation": Mutant(
        "shared/flows/pump/release.py",
        "    except TopicsUnavailable as error:\n        _escalate(ports, head, error)\n        return OnRecord()",
        "    except TopicsUnavailable as error:\n        _escalate(ports, head, error)\n        return Unconfirmed()",
        ("tests/flows/pump/test_release.py",),
    ),
    "a tick changes the state before its stages are over": Mutant(
        "shared/flows/pump/tick.py",
        "        swept = await sweep(act, state)",
        "        self.state = replace(state, ticks=state.ticks + 1)\n        swept = await sweep(act, state)",
        ("tests/flows/pump/test_stages.py",),
    ),
    "a new pump corrects calendars by reports of an older one's time": Mutant(
        "shared/flows/pump/sight.py",
        "return {} if before is None else changes, counted",
        "return changes, counted",
        ("tests/flows/pump/test_sight.py",),
    ),
    "a lost slot is not given back": Mutant(
        "shared/flows/pump/tick.py",
        "        lost=handed_out.lost,",
        "        lost=(),",
        ("tests/flows/pump/test_stages.py",),
    ),
    "a crash has a usage": Mutant(
        "shared/core/provider/failure.py",
        "if self.kind is FailureKind.CRASHED and self.usage is not None:",
        "if False:",
        ("tests/core/lifecycle/test_settlement.py",),
    ),
    "defaults are hashed": Mutant(
        "shared/core/messages/render_request.py",
        'chosen = _without_defaults(content, kind(request_id="", prompt="").to_json())',
        "chosen = content",
        ("tests/core/messages",),
    ),
    "virtual time runs backwards": Mutant(
        "shared/core/admission/fair_queueing.py",
        "queue: max(served.get(queue, 0.0), tag)",
        "queue: tag",
        ("tests/core/admission/test_fair_queueing.py",),
    ),
    "one API is not sent a field": Mutant(
        "shared/adapters/gemini/interactions_lane.py",
        "if order.system_instruction is not None:",
        "if False:",
        ("tests/adapters/test_orders_are_sent_whole.py",),
    ),
    "a form promises what is not configured": Mutant(
        "shared/core/routing/flag_form.py",
        'case "use-vertex" if lanes.VERTEX not in open_lanes:',
        'case "use-vertex" if False:',
        ("tests/core/routing/test_flag_kinds.py",),
    ),
    "a clock that was set back goes unnoticed": Mutant(
        "shared/flows/clock.py",
        "if self.now() - read_at > CLOCK_TOLERANCE:",
        "if False:",
        ("tests/flows/test_clock_set_back.py",),
    ),
    "an open breaker frees no request that backs off": Mutant(
        "shared/flows/pump/rerouted.py",
        "if head.circuit in closed and",
        "if False and",
        ("tests/flows/pump/test_breakers.py",),
    ),
}


def verdict(root: Path, mutant: Mutant) -> Verdict:
    """Of the sources below `root`, which are left as they were."""
    path = root / mutant.path
    text = path.read_text("utf-8") if path.is_file() else ""
    if text.count(mutant.before) != 1:
        return "stale"
    path.write_text(text.replace(mutant.before, mutant.after), "utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests]
        ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    finally:
        path.write_text(text, "utf-8")
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"the tests of {mutant.path} could not be run:\n{ended.stdout}{ended.stderr}")
    return "survived" if ended.returncode == 0 else "killed"


def copied(root: Path, to: Path) -> None:
    """The tracked files, as they are now."""
    names = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout
    for name in names.split("\0"):
        if name and (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)


def played(names: list[str]) -> Iterator[tuple[str, Verdict]]:
    with tempfile.TemporaryDirectory(prefix="renderlane-mutants-") as folder:
        copied(Path.cwd(), Path(folder))
        for name in names:
            yield name, verdict(Path(folder), MUTANTS[name])


def main() -> int:
    names = sys.argv[1:] or list(MUTANTS)
    if unknown := [name for name in names if name not in MUTANTS]:
        print(f"found {unknown[0]!r}; allowed: {', '.join(map(repr, MUTANTS))}", file=sys.stderr)
        return 2
    verdicts: list[Verdict] = []
    for name, end in played(names):
        print(f"{end:<9} {name}", flush=True)
        verdicts.append(end)
    return int(set(verdicts) != {"killed"})


if __name__ == "__main__":
    sys.exit(main())
