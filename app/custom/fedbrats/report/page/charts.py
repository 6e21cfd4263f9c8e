"""Draw with matplotlib into SVG that takes its colours and its font from the page, and so is light or dark with it.

A chart is drawn in placeholder colours, each of which becomes a CSS variable of the page.
"""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

INK, GRID = "#010101", "#020202"
SERIES = tuple(f"#0303{number:02x}" for number in range(1, 9))  # --series-1 to --series-8 of the page
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # with colours, for eyes or printers that do not tell these apart
WIDTH_INCHES, HEIGHT_INCHES = 5.0, 2.7
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedbrats",  # the same chart gives the same bytes
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


@dataclass(frozen=True)
class Chart:
    """A picture of the page: inline SVG, its title, and what it says in words for those who do not see it."""

    title: str
    alt: str
    svg: str


class Canvas:
    """One chart in the making: draw on `axes`, then `finish`."""

    def __init__(self, height_inches: float = HEIGHT_INCHES) -> None:
        with matplotlib.rc_context(_STYLE):
            self.figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
            self.axes: Axes = self.figure.subplots()

    def finish(self, title: str, alt: str, *, legend_entries: int = 0) -> Chart:
        """The chart, with a legend below it where there are several series."""
        with matplotlib.rc_context(_STYLE):
            if legend_entries > 1:
                columns = min(legend_entries, 3)
                self.figure.legend(loc="outside lower center", ncols=columns, handlelength=2.2, columnspacing=1.2)
            for text in self.figure.findobj(Text):  # made before, by the names of sites: a `$` in one is no formula
                text.set_parse_math(False)
            stream = io.StringIO()
            self.figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return Chart(title, alt, _adapt(stream.getvalue(), title, alt))


def series_style(number: int) -> dict[str, Any]:
    """Colour and marker of the series of that number, counted from 0."""
    return {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}


def _adapt(svg: str, title: str, alt: str) -> str:
    """Inline SVG for a page of many: colours from its CSS, its font, names of its own, and words for readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor").replace(GRID, "var(--grid)")
    for number, colour in enumerate(SERIES, start=1):
        svg = svg.replace(colour, f"var(--series-{number})")
    svg = re.sub(r"font: ([\d.]+)px [^;\"<&]*", r"font-size: \1px", svg)
    own = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'\bid="', f'id="{own}-', svg).replace('href="#', f'href="#{own}-').replace("url(#", f"url(#{own}-")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt, quote=True)}"', 1)
