"""A cell of a table of methods: a Dice, and what is known of how sure it is."""

from __future__ import annotations

from fedbrats.report.numbers.comparison import Cell
from fedbrats.report.page.blocks import Result


def show_cell(found: Cell | None, *, is_advised: bool = False) -> Result | None:
    """A cell of a table: the Dice, whether it is the best, and in small figures what is known of how sure that is.

    is_advised: whether to mark it as what to use.
    """
    if found is None:
        return None
    mark = "best" if found.is_clear else "≈ best" if found.is_level else ""
    mark = ", ".join(filter(None, (mark, "use" if is_advised else "")))
    lines = [] if found.is_ranked else ["other patients"]
    if found.interval:
        lines.append(f"{found.interval.low:.3f} to {found.interval.high:.3f}")
    if found.p is not None:
        lines.append(show_p(found.p) + (f", {found.seeds} seeds" if found.seeds > 1 else ""))
    values = ", ".join(f"{value:.2f}" for value in found.values)
    return Result(found.dice, found.is_clear or is_advised, mark, lines, values)


def show_p(p: float) -> str:
    """A p-value in words."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
