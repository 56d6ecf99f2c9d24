"""How gateways and their proofs are shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from scripts.cli.data.json_output import to_json as to_line
from shared.core.catalogue.catalogue import Gateway
from shared.core.catalogue.gateway_proof import ITEMS, GatewayProof
from shared.core.routing import gateway
from shared.core.values.money import usd


def to_json(name: str, provider: Gateway, proof: GatewayProof, now: datetime, *, has_key: bool) -> dict[str, Any]:
    """One object for one gateway. Never its key."""
    lacks = {item.item: item.why for item in proof.lacks(gateway.fingerprint(provider), now, provider.fresh_for)}
    return {
        "gateway": name,
        "on": has_key and not lacks,
        "key": has_key,
        "owner": provider.owner,
        "base_url": provider.base_url,
        "form": provider.form,
        "sizes": list(provider.sizes),
        "per": provider.per,
        "prices_usd": {model: usd(micros) for model, micros in provider.prices.items()},
        "prices_checked": provider.checked.isoformat(),
        "failed_calls": dict(provider.bills),
        "fresh_days": provider.fresh_for.days,
        "lacks": lacks,
        "proof": {
            item: plain(evidence.to_json()) if (evidence := proof.items.get(item)) is not None else None
            for item in ITEMS
        },
    }


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it: times as text."""
    payload: dict[str, Any] = json.loads(to_line(fields))
    return payload


def table(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "no gateways in the catalogue"
    return "\n".join(f"{row['gateway']:<16} {'on ' if row['on'] else 'off'}  {_why(row)}" for row in rows)


def sheet(row: dict[str, Any]) -> str:
    """One gateway in full."""
    lines = [
        f"{row['gateway']}: {'on' if row['on'] else 'off'}",
        f"  owner      {row['owner']}, {row['base_url']}, form {row['form']}, sizes {', '.join(row['sizes'])}",
        f"  key        {'set' if row['key'] else 'not set'}",
        f"  prices     a {row['per']}, checked {row['prices_checked']}; the provider's, not Google's",
        *(f"             {model:<30} ${price}" for model, price in row["prices_usd"].items()),
        f"  failed     {', '.join(f'{what} {bill}' for what, bill in row['failed_calls'].items())}",
        "  proof",
    ]
    for item, evidence in row["proof"].items():
        lack = row["lacks"].get(item)
        lines.append(
            f"    {'ok     ' if lack is None else 'LACKING'}  {item:<14} {_evidence_text(evidence, lack, item)}"
        )
    return "\n".join(lines)


def _evidence_text(evidence: dict[str, Any] | None, lack: str | None, item: str) -> str:
    if evidence is None:
        return f"to record: {ITEMS[item]}"
    text = f"{evidence['text']} ({evidence['by']}, {evidence['at'][:10]})"
    return text if lack is None else f"{lack}. It was: {text}"


def _why(row: dict[str, Any]) -> str:
    missing = [f"{item} {why}" for item, why in row["lacks"].items()]
    if not row["key"]:
        missing.insert(0, "no key")
    return "; ".join(missing) or "verified"
