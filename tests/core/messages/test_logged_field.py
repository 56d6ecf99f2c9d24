"""What a log says of a wrong field: its declared name, and never one of the publisher's own."""

from __future__ import annotations

import pytest

from shared.core.messages.logged_field import logged_field


@pytest.mark.parametrize(
    ("field", "logged"),
    [
        ("image_size", "image_size"),
        ("references[13].uri", "references[13].uri"),
        ("floor.model", "floor.model"),
        ("the message", "the message"),
        ("cancel", "cancel"),
        ("a zebra crossing", "…"),
        ("a zebra. crossing", "….…"),
        ("labels.campaign", "labels.…"),
        ("allow.a zebra", "allow.…"),
        ("references[0].a zebra", "references[0].…"),
        ("prompt[0]zebra", "…"),
    ],
)
def test_only_declared_names_are_logged(field: str, logged: str) -> None:
    assert logged_field(field) == logged
