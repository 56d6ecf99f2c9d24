"""Reservations that are not known to be handed out: the requests tell, and lost ones are returned.

A pump that dies between writing a budget and handing a request out leaves the reservation named in the budget. The
request shows what became of it: at the release's number or a later one, it has taken the money over. Below it, the
request is written once before the money is returned: a release that is still under way finds another version, and
fails.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from shared.core.accounting.budget import BudgetAccount
from shared.core.lifecycle import request_record
from shared.core.records.versioned import request_in
from shared.core.values.documents import Committed, Document, Update
from shared.ports.store import Store


class Cleared(Struct, frozen=True):
    """A budget's account after its open reservations were looked at."""

    account: BudgetAccount
    rewritten: tuple[str, ...] = ()
    """Requests that have changed since."""


async def clear(store: Store, account: BudgetAccount, now: datetime) -> Cleared:
    """The account without reservations that were handed out, or certainly never will be; requests that change during
    the look stay open."""
    pending = account.pending
    if not pending:
        return Cleared(account)
    requests = await store.get_all([request_record.path(reservation.request_id) for reservation in pending])
    taken, untaken, rewritten = [], [], []
    for reservation, request in zip(pending, requests, strict=True):
        if not isinstance(request, Document) or request_in(request).record.release >= reservation.release:
            taken.append(reservation.request_id)  # a missing request has ended, and its money is in the shards
        elif request_in(request).record.status != "queued":
            untaken.append(reservation.request_id)  # it ended before: no release finds the version that it was made for
        elif isinstance(await store.commit(Update(request.path, {"updated_at": now}, request.version)), Committed):
            untaken.append(reservation.request_id)
            rewritten.append(reservation.request_id)
    return Cleared(account.handed_out(taken).give_back(untaken), tuple(rewritten))
