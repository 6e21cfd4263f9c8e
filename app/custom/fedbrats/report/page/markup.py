"""Pieces of HTML: tables, figures and sections; everything that comes from outside is escaped here."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from fedbrats.report.page.charts import Chart

NOTHING = "<td>&ndash;</td>"


def section(title: str, *parts: str) -> str:
    """A part of the page with its heading; nothing where it has no content."""
    body = "".join(parts)
    anchor = re.sub(r"\W+", "-", title.lower())
    return f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(title)}</h2>{body}</section>' if body else ""


def navigation(page: str) -> str:
    """Links to the sections of a page."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', page)
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in found)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table that scrolls by itself on a narrow screen; its cells are ready-made `<td>` or `<th scope=row>`."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption, quote=True)}">'
        f'<table class="{kind}"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def details(summary: str, body: str) -> str:
    """Something that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def row_head(text: str) -> str:
    """The first cell of a row."""
    return f'<th scope="row">{escape(text)}</th>'


def cell(value: Any) -> str:
    """A plain cell; numbers with three decimals, nothing as a dash."""
    if value is None:
        return NOTHING
    return f"<td>{value:.3f}</td>" if isinstance(value, float) else f"<td>{escape(str(value))}</td>"


def heat_cell(value: float | None) -> str:
    """A value between 0 and 1 on a ground as strong as it is high."""
    if value is None:
        return NOTHING
    return f'<td class="heat" style="--value: {value:.3f}">{value:.3f}</td>'


def charts(found: Iterable[Chart | None]) -> str:
    """The charts that there are, side by side where there is room."""
    figures = "".join(
        f"<figure><figcaption>{escape(chart.title)}</figcaption>{chart.svg}</figure>" for chart in found if chart
    )
    return f'<div class="charts">{figures}</div>' if figures else ""


def picture(title: str, png: bytes, alt: str, said: str) -> str:
    """A picture inside the page."""
    source = base64.b64encode(png).decode()
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><img src="data:image/png;base64,{source}" '
        f'alt="{escape(alt, quote=True)}"><p>{escape(said)}</p></figure>'
    )
