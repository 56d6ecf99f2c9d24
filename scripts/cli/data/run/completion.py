"""Waiting for what was sent: each message ends as a finished request, or as a rejection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from scripts.cli.data.run.outgoing import SentMessage
from scripts.cli.data.see.requests import RejectedMessage, StoredRequest, with_attempts
from scripts.local.upstream import PAGE, until
from shared.core.lifecycle import request_record
from shared.core.messages.request_key import id_of
from shared.core.records.versioned import Request, request_in
from shared.core.values.documents import Document
from shared.ports.store import Store

Ended = Request | RejectedMessage


class Submission:
    """What is known about the messages of one submission. A cancellation has no end of its own to wait for."""

    def __init__(self, store: Store, sent: Sequence[SentMessage]) -> None:
        self._store = store
        self._sent = [sent_request for sent_request in sent if not sent_request.cancels]
        self._open = {sent_request.message_id: sent_request for sent_request in self._sent}
        self.total = len(self._different())
        self.requests: dict[tuple[str, str], Request] = {}
        """By tenant and id, as last read."""
        self.rejected: dict[str, RejectedMessage] = {}
        """By message id."""

    @property
    def unfinished(self) -> int:
        return len(self._different())

    def statuses(self) -> Counter[str]:
        """Of what is still open."""
        return Counter(self._status(sent_request) for sent_request in self._different())

    @property
    def cost_micros(self) -> int:
        return sum(request.record.cost_micros for request in self.requests.values())

    async def until_ended(self, timeout: float | None, report: Callable[[Sequence[Ended]], None]) -> bool:
        """False if time was up first. `report` gets what has ended since its last call, even if that is nothing."""

        async def are_over() -> bool:
            report(await self.look())
            return not self._open

        return await until(are_over, timeout)

    async def look(self) -> list[Ended]:
        """Look up everything open; what has ended is no longer open."""
        await self._read()
        ended: dict[str, Ended] = {}
        for message_id, sent_request in list(self._open.items()):
            document = self._own(sent_request)
            if message_id in self.rejected:
                ended[message_id] = self.rejected[message_id]
            elif document is not None and document.record.is_final:
                ended[document.path] = document  # once, however many messages asked for it
            else:
                continue
            del self._open[message_id]
        return list(ended.values())

    async def answers(self) -> list[StoredRequest | RejectedMessage]:
        """Everything that is known, in the order of sending, requests with their attempts."""
        requests = {item.key: item for item in await with_attempts(self._store, list(self.requests.values()))}
        answers: dict[str, StoredRequest | RejectedMessage] = {}
        for sent_request in self._sent:
            if sent_request.message_id in self.rejected:
                answers[sent_request.message_id] = self.rejected[sent_request.message_id]
            elif (own := self._own(sent_request)) is not None and own.id in requests:
                answers[own.path] = requests[own.id]
        return list(answers.values())

    def _different(self) -> list[SentMessage]:
        """What is open; the same request published twice is one."""
        open_now = self._open.values()
        return list(
            {
                (
                    sent_request.tenant,
                    sent_request.request_id,
                    sent_request.content_hash or sent_request.message_id,
                ): sent_request
                for sent_request in open_now
            }.values()
        )

    async def _read(self) -> None:
        expected = {
            (sent_request.tenant, sent_request.request_id, sent_request.content_hash)
            for sent_request in self._open.values()
        }
        paths: dict[str, None] = {}
        for message_id, sent_request in self._open.items():
            if sent_request.request_id is not None and sent_request.content_hash is not None:
                paths |= dict.fromkeys(request_record.paths_of(sent_request.tenant, sent_request.request_id))
            if self._own(sent_request) is None:
                paths[f"rejected/{message_id}"] = None
        wanted = list(paths)
        for start in range(0, len(wanted), PAGE):
            for document in await self._store.get_all(wanted[start : start + PAGE]):
                if not isinstance(document, Document):
                    continue
                if document.path.startswith("rejected/"):
                    self.rejected[document.id] = RejectedMessage.of(document)
                else:
                    request = request_in(document)
                    tenant, request_id = request.record.tenant, id_of(request.id)
                    if (tenant, request_id, request_record.content_hash(request.record)) in expected:
                        self.requests[tenant, request_id] = request

    def _own(self, sent: SentMessage) -> Request | None:
        """The request for this message: other content under the same id is another request."""
        document = self.requests.get((sent.tenant, sent.request_id or ""))
        return document if document and request_record.content_hash(document.record) == sent.content_hash else None

    def _status(self, sent: SentMessage) -> str:
        document = self._own(sent)
        return document.record.status if document else "sent"
