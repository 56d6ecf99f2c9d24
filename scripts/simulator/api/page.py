"""The page at /: says that this is a simulator, and shows its counters."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.bill import BillTotal

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 3rem auto; padding: 0 1rem; color: #1d2b2a; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #d5dedc; }
th:first-child, td:first-child { text-align: left; }
.note { background: #fdf3d8; padding: .6rem 1rem; border-radius: .4rem; }
code { background: #eef3f2; padding: .1rem .3rem; border-radius: .2rem; }
"""


class SimulatorPage:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, request: Request) -> HTMLResponse:
        return HTMLResponse(render(self._simulation))


def render(simulation: Simulation) -> str:
    bill = simulation.ledger.bill()
    rows = "".join(_row(model or "(no model)", total) for model, total in sorted(bill.by_model.items()))
    outcomes = "".join(
        f"<tr><td>{escape(outcome)}</td><td>{count:,}</td></tr>" for outcome, count in sorted(bill.by_outcome.items())
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<title>Gemini image API simulator</title><style>{_STYLE}</style>
<h1>Gemini image API simulator</h1>
<p class="note">This is a simulator. It draws its pictures itself, calls no model and charges no money.</p>
<p>Limits <code>{escape(simulation.limits_text or "none")}</code>, {escape(simulation.window)} window;
latency <code>{escape(simulation.latency_text)}</code>; {len(simulation.faults.report())} scripted faults.</p>
<table><tr><th>Model</th><th>Calls</th><th>Charged</th><th>Images</th><th>Cost, USD</th></tr>
{rows}{_row("Total", bill.total)}</table>
<table><tr><th>Outcome</th><th>Calls</th></tr>{outcomes}</table>
<p>Control: <code>/control/bill</code> <code>/control/calls</code> <code>/control/state</code>
<code>/control/faults</code> <code>/control/webhooks</code></p>
</html>
"""


def _row(name: str, total: BillTotal) -> str:
    cost = f"{total.cost_micros // 1_000_000:,}.{total.cost_micros % 1_000_000:06d}"
    return (
        f"<tr><td>{escape(name)}</td><td>{total.calls:,}</td><td>{total.charged_calls:,}</td>"
        f"<td>{total.images:,}</td><td>{cost}</td></tr>"
    )
