"""An address is shown without user, password, query and fragment."""

from __future__ import annotations

import pytest

from renderlane.rules import shown as shown_by_client
from shared.core.validation.addresses import without_secrets
from shared.core.validation.shapes import shown


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("https://host/a.png", "https://host/a.png"),
        ("https://host/a.png?sig=hush", "https://host/a.png?…"),
        ("https://host/a.png#hush", "https://host/a.png#…"),
        ("https://ann:hush@host:8443/a", "https://…@host:8443/a"),
        ("ftp://ann:hu@sh@host/a?x@y", "ftp://…@host/a?…"),
        ("see https://h/a?hush and gs://b/c", "see https://h/a?… and gs://b/c"),
        ("https://a?hush=https://b?hush", "https://a?…"),
        ("'https://h/?hush' was given", "'https://h/?…' was given"),
        ("no address, ann:pw@host", "no address, ann:pw@host"),
        ("", ""),
    ],
)
def test_what_may_be_a_secret_is_cut_out(text: str, bare: str) -> None:
    assert without_secrets(text) == bare
    assert "hush" not in bare


def test_worker_and_client_show_a_wrong_address_alike() -> None:
    value = "ftp://ann:hush@host/a?sig=hush"
    assert shown(value) == shown_by_client(value) == '"ftp://…@host/a?…"'


def test_a_long_signature_makes_no_text_longer_than_the_address() -> None:
    assert shown("https://h/?" + "x" * 500) == '"https://h/?…"'
