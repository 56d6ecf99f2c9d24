"""One of each query that the flows make."""

from __future__ import annotations

from shared.core.lifecycle import queries
from shared.core.values.documents import Query
from tests.builders import NOW

QUERIES: dict[str, Query] = {
    "heads": queries.heads("gemini-3-pro-image", "bulk", 10),
    "woken": queries.woken(NOW, 10),
    "asleep_before": queries.asleep_before(3, 10),
    "waiting_of": queries.waiting_of("web", "gemini-3-pro-image", "bulk"),
    "longest_queued": queries.longest_queued("bulk", 10),
    "due_before": queries.due_before("gemini-3-pro-image", NOW, 10),
    "sleeping": queries.sleeping(NOW, 10),
    "asleep_since": queries.asleep_since(NOW, 10),
    "overdue": queries.overdue(NOW, 10),
    "unclaimed": queries.unclaimed(NOW, 10),
    "lapsed": queries.lapsed(NOW, 10),
    "rendering": queries.rendering(10),
    "running": queries.running(10),
    "first_of_next_tenant": queries.first_of_next_tenant("gemini-3-pro-image", "bulk", None),
    "first_of_next_tenant later": queries.first_of_next_tenant("gemini-3-pro-image", "bulk", "web"),
    "newest_ended": queries.newest_ended("failed", 10),
    "tenants": queries.tenants(10),
    "collecting": queries.collecting(10),
    "due_batches": queries.due_batches(NOW, 10),
    "unannounced": queries.unannounced(NOW, 10),
    "in_status": queries.in_status("queued", 10),
    "in_flight": queries.in_flight("gemini-3-pro-image", "released", 10),
    "newest_of": queries.newest_of("web", None, NOW, NOW, 10),
    "newest_of in status": queries.newest_of("web", "failed", None, None, 10),
    "rejections_of": queries.rejections_of("r-1", 10),
    "newest_rejected": queries.newest_rejected(None, None, 10),
    "with_id": queries.with_id("r-1", 10),
    "newest": queries.newest(None, 10),
    "newest in status": queries.newest("failed", 10),
    "evidence_since": queries.evidence_since(NOW),
    "ledger": queries.ledger("2026-11-01", "2026-11-22", 10, ("2026-11-02", "x")),
    "ledger_of": queries.ledger_of("web", "2026-11-01", "2026-11-22", 10, ("2026-11-02", "x")),
    "waiting_for": queries.waiting_for("web", "the tenant's budget is used up", 10),
    "webhook_endpoints": queries.webhook_endpoints("web", 10),
    "due_webhook_deliveries": queries.due_webhook_deliveries(NOW, 10),
    "due_webhook_deliveries later": queries.due_webhook_deliveries(NOW, 10, NOW),
    "webhook_deliveries": queries.webhook_deliveries("web", None, 10),
    "webhook_deliveries in state": queries.webhook_deliveries("web", "dead", 10),
    "flag_history": queries.flag_history(10),
    **{f"outlived {each}": queries.outlived(each, NOW, 10) for each in queries.EXPIRING},
}
