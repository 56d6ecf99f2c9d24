"""A field of a request without a worded option still has one."""

from __future__ import annotations

import click

from scripts.cli.commands.run import submit
from scripts.cli.data.run.request_options import PLAIN, missing


def options() -> dict[str, click.Option]:
    return {option.name or "": option for option in missing(set())}


def test_every_plain_field_has_an_option_and_none_has_two() -> None:
    names = [parameter.name for parameter in submit.command.params]
    assert set(PLAIN) <= set(names)
    assert len(set(names)) == len(names)
    assert {"prompt", "request_id", "floor", "labels", "allow"}.isdisjoint(PLAIN)


def test_an_option_follows_from_the_fields_declaration() -> None:
    quality, lane, cost = (options()[name] for name in ("output_quality", "thinking", "max_cost_usd"))
    assert quality.opts == ["--output-quality"]
    assert quality.type is click.INT
    assert isinstance(lane.type, click.Choice)
    assert (lane.help or "").startswith("How much the model thinks first")
    assert (cost.help or "").startswith("Maximum cost of all attempts together")


def test_a_worded_option_is_kept() -> None:
    assert [option.name for option in missing(set(PLAIN) - {"group"})] == ["group"]
