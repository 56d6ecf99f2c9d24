"""What intake would reject, reported before anything is published: impossible models, caps and lanes, missing files.

Rules that depend on the worker's own environment (places that it may read, its tier, its lanes if the store does not
have them) are left to it: another shell may have other variables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from scripts.cli.data.run.outgoing import OutgoingMessage
from shared import wiring
from shared.config import Settings
from shared.core.catalogue.catalogue import Catalogue
from shared.core.messages.render_request import InvalidRequest, RenderRequest
from shared.core.validation.shapes import Problem
from shared.core.values.lanes import NAMES
from shared.flows.intake.intake import check

if TYPE_CHECKING:
    from shared.ports.images import References

OF_THE_WORKER = ("references[", "allow")
"""Prefixes of fields that only the worker can check."""


class _AnyPlace:
    """References, as far as their places matter: the worker knows its own."""

    def check(self, uri: str, tenant: str) -> None:
        pass


def complaints(
    settings: Settings, lines: Iterable[OutgoingMessage], file: str | None, lanes: Collection[str] = ()
) -> list[str]:
    """`lanes` of the worker, empty if they are unknown. Raises BrokenCatalogue."""
    catalogue = wiring.catalogue(settings)
    return [
        f"{file}:{line.number}: {problem}" if file else str(problem)
        for line in lines
        if isinstance(line.meaning, RenderRequest)
        for problem in problems_of(line.meaning, catalogue, lanes or NAMES, files_are_here=settings.one_machine)
    ]


def problems_of(
    request: RenderRequest, catalogue: Catalogue, lanes: Collection[str], *, files_are_here: bool
) -> list[Problem]:
    missing = [
        Problem(
            f"references[{index}].uri",
            f"no file at {_path(reference.uri)}",
            "an image file that exists",
            "Check the path.",
        )
        for index, reference in enumerate(request.references)
        if files_are_here and reference.uri.startswith("file://") and not _path(reference.uri).is_file()
    ]
    if request.allow_gateway:  # what gateways offer is known to the worker alone
        return missing
    try:
        check(request, catalogue, cast("References", _AnyPlace()), lanes)
    except InvalidRequest as error:
        own = (*OF_THE_WORKER, "lane") if request.lane in catalogue.barred else OF_THE_WORKER
        return missing + [problem for problem in error.problems if not problem.field.startswith(own)]
    return missing


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))
