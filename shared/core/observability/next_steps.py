"""What on-call does next, by what fails. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.core.observability.display import count

FLAG_FORM = "/flags?trip=use-nano-banana-2#trip-use-nano-banana-2"
"""Path below the console's address."""
ELSEWHERE = ("overload", "server_error", "timeout", "not_finished")
"""Failures whose next step is a flag."""


def next_step(kind: str) -> str:
    """The first thing to do about a failure of that kind."""
    return STEPS.get(kind, "Open the runbook at this failure; compare one failed call with its packet.")


def link(kind: str) -> str | None:
    """Where that is done."""
    return FLAG_FORM if kind in ELSEWHERE else None


def waiting_for(circuit: str) -> str:
    """The list of requests that wait for the circuit's model."""
    return f"/requests?status=queued&model={circuit.partition('/')[2]}"


def only_a_floor(blocked: int) -> str:
    """For requests that accept no route but the failing one."""
    these = "The request that accepts" if blocked == 1 else f"The {blocked:,} requests that accept"
    return (
        f"Wait for the probes; what may go elsewhere goes already. {these} no other route can only wait, or be "
        "cancelled and resubmitted with a lower floor."
    )


def that_accept_no_other(blocked: int) -> str:
    return f"{count(blocked, 'request')} accept{'s' if blocked == 1 else ''} no other route."


def that_wait(number: int) -> str:
    return f"{count(number, 'request')} wait{'s' if number == 1 else ''}"


STEPS: Mapping[str, str] = {
    "connection": "Check the base URL, DNS and proxy of the worker; then the provider's status page.",
    "connection_lost": "Check the network between worker and provider; the calls may have been billed.",
    "overload": "Wait, or trip use-nano-banana-2 or use-flex for what may go elsewhere.",
    "server_error": "Check the provider's status page; trip use-nano-banana-2 for what may go elsewhere.",
    "timeout": "Check the provider's status page; the calls may have been billed.",
    "credential": "Replace the API key; queued requests continue automatically.",
    "permission": "Check billing, region and API of the key's project.",
    "balance": "Top up the account or set up billing; requests continue automatically.",
    "model_gone": "Correct the model's row in the catalogue.",
    "lane_unsupported": "Remove the lane from the model's row in the catalogue.",
    "paid_nothing": "Compare a packet with the provider's documentation: calls are paid and bring no image.",
    "image_store": "Check the bucket's rights and quota: paid images wait to be stored.",
}  # fmt: skip
