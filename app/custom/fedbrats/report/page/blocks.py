"""What the page is made of: sections of blocks, as data. The templates turn them into HTML and escape every text."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from fedbrats.report.page.charts import Chart
from fedbrats.report.page.words import meaning_of

if TYPE_CHECKING:
    from jinja2 import Environment

    from fedbrats.report.page.gallery import GalleryItem


@dataclass(frozen=True)
class Section:
    """A part of the page with its heading; a section without blocks is left out.

    Attributes:
        title: The heading.
        blocks: What stands below it.
    """

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The heading's id, to which the contents link."""
        return re.sub(r"\W+", "-", self.title.lower())


@dataclass(frozen=True)
class Paragraph:
    """Plain text; `style` is a class of page.css."""

    kind: ClassVar[str] = "paragraph"
    text: str
    style: str = ""


@dataclass(frozen=True)
class Answer:
    """A question, its short answer, and what stands behind it."""

    question: str
    short: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Answers:
    """The questions that the page begins with."""

    kind: ClassVar[str] = "answers"
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Table:
    """A table whose rows are (head, cells); `style` is a class of page.css.

    A cell is a text, a number (three decimals where it is a float), None (a dash), `Heat`, `Code` or `Result`.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Any]]]
    style: str = ""


@dataclass(frozen=True)
class Heat:
    """A cell with a value between 0 and 1, on a ground as strong as it is high."""

    kind: ClassVar[str] = "heat"
    value: float


@dataclass(frozen=True)
class Code:
    """A block, or a cell, of text for machines."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Result:
    """A cell of the results table: a Dice, what it is called, and the lines and single values below it, small."""

    kind: ClassVar[str] = "result"
    dice: float
    is_best: bool
    mark: str
    lines: Sequence[str]
    values: str = ""


@dataclass(frozen=True)
class Charts:
    """Charts side by side where there is room, with what their words mean."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]
    words: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures of cases, inside the page."""

    kind: ClassVar[str] = "pictures"
    items: Sequence[GalleryItem]


@dataclass(frozen=True)
class Details:
    """Something that opens on demand."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: Sequence[Block]


Block = Paragraph | Answers | Table | Code | Charts | Pictures | Details


def charts(found: Iterable[Chart | None], words: str = "") -> list[Charts]:
    """One block with the charts that there are; none without."""
    there = [chart for chart in found if chart]
    return [Charts(there, words)] if there else []


def fold(summary: str, blocks: Sequence[Block]) -> list[Details]:
    """The blocks behind a line that opens them; nothing without blocks."""
    return [Details(summary, blocks)] if blocks else []


def heat(value: float | None) -> Heat | None:
    """A heat cell, or a dash."""
    return None if value is None else Heat(value)


def render(sections: Iterable[Section], **context: Any) -> str:
    """The HTML of page.html with the sections that hold something. context: the other names of the template."""
    return _environment().get_template("page.html").render(sections=[s for s in sections if s.blocks], **context)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fedbrats.report.page"),  # its folder templates/
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for kind in (Heat, Code, Result):  # of a cell; by its class, as a table of a row's JSON could have a `kind` too
        environment.tests[kind.kind] = _is_a(kind)
    environment.filters["meaning"] = meaning_of
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment


def _is_a(kind: type) -> Callable[..., Any]:
    return lambda value: isinstance(value, kind)
