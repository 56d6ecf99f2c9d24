"""A bill as a picture: a bar a group, stacked by what the money was for; the providers' in a panel of their own."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from shared.core.accounting.cost_report import Bill, Bills

INK, GRID = "#1a1a1a", "#e2e2e2"
COLOURS = {"first": "#0b3d91", "retry": "#56b4e9", "again": "#d55e00", "refused": "#cc79a7", "no_image": "#7f7f7f",
           "duplicate": "#009e73"}  # fmt: skip
NAMES = {"first": "first attempts", "retry": "retries", "again": "paid again", "refused": "refusals",
         "no_image": "no image", "duplicate": "duplicates"}  # fmt: skip
MOST_BARS = 40


def draw(bills: Bills, by: str, path: str, title: str) -> None:
    """Writes an SVG or a PNG, by the name's ending."""
    panels = [("Google", bills.google)] + ([("gateways", bills.gateways)] if bills.gateways.groups else [])
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "renderlane", "text.color": INK}):
        figure, axes = pyplot.subplots(1, len(panels), figsize=(3 + 5.5 * len(panels), 5.4), squeeze=False)
        for axis, (name, bill) in zip(axes[0], panels, strict=True):
            _bars(axis, bill, newest=by == "day")
            axis.set_title(f"{name}: ${bill.total.micros / 1_000_000:,.2f}", loc="left", fontweight="bold")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower left", ncols=6, fontsize=9, frameon=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        figure.tight_layout(rect=(0.0, 0.06, 1.0, 1.0))
        figure.savefig(path, dpi=110, facecolor="white", metadata={"Date": None} if path.endswith(".svg") else None)
        pyplot.close(figure)


def _bars(axes: Axes, bill: Bill, *, newest: bool) -> None:
    """The dearest groups, or the newest days, as far as there is room."""
    names = list(bill.groups)[-MOST_BARS:] if newest else list(bill.groups)[:MOST_BARS]
    bottom = [0.0] * len(names)
    for use in NAMES:
        heights = [bill.groups[name].by_use[use] / 1_000_000 for name in names]
        axes.bar(range(len(names)), heights, bottom=bottom, color=COLOURS[use], label=NAMES[use], width=0.8)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    turned = len(names) > 4 or any(len(name) > 14 for name in names)
    axes.set_xticks(range(len(names)), names, rotation=40 if turned else 0, ha="right" if turned else "center")
    axes.set_ylim(0, 1.08 * max(bottom, default=0.0) or 1.0)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${value:,.2f}"))
