"""The arguments of `interactions.create`, so that google-genai does not check and write each body at length.

google-genai 3.6 builds a pydantic model for every request that it writes, and tries each part of the body against all
types of its unions: 7 of the 8 ms of processor that a background call's start took. A body of ours is JSON already. So
a minimal request, checked once, carries the whole body in `extra_body`, the SDK's own way to add members, and the SDK's
writers are kept.

`tests/adapters/gemini/test_interaction_request.py` compares the result with what the SDK would have written itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Requests(Struct, frozen=True):
    """The arguments of `create` for a body, in both ways of making a call."""

    foreground: Any
    background: Any

    def arguments(self, body: dict[str, Any]) -> dict[str, Any]:
        """For a body with all its members. The SDK continues no background call by itself, and must continue no
        other."""
        if body.get("background"):
            return {"request": self.background, "extra_body": body}
        return {"request": self.foreground, "extra_body": body, "automatic_continuation": False}


def requests_of(create_request: Callable[..., Any]) -> Requests:
    """`create_request`: the SDK's CreateInteractionRequest. Model and input are those of `extra_body`."""
    least = {"model": "in-extra-body", "input": ""}
    return Requests(
        create_request(body={**least, "store": False}),
        create_request(body={**least, "store": True, "background": True}),
    )


def keep_writers(serializers: Any) -> None:
    """`serializers`: google.genai._gaos.utils.serializers. Its writer for one type is built once, not for each call.

    Without the name that is replaced, as in another version of the SDK, requests are written as it does by itself.
    """
    build = getattr(serializers, "create_model", None)
    if build is None or hasattr(build, "original"):
        return
    built: dict[tuple[str, Any], Any] = {}

    def build_once(name: str, **definition: Any) -> Any:
        if definition.keys() != {"body", "__config__"}:
            return build(name, **definition)
        key = (name, definition["body"])
        try:
            return built[key]
        except KeyError:
            return built.setdefault(key, build(name, **definition))
        except TypeError:  # a type that cannot be a key
            return build(name, **definition)

    build_once.original = build  # type: ignore[attr-defined]
    serializers.create_model = build_once
