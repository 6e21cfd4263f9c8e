"""What is known of a run's privacy: what differential privacy it had, and what an audit found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedbrats.report.numbers.results import Results
from fedbrats.report.page.blocks import Block, Paragraph, Table

AUDITED = ("run", "who", "members", "others", "AUC", "95 % interval", "found at 10 % false")
SPENT = ("run", "noise", "rate", "steps", "delta")
NO_PROOF = (
    "An audit is one attack on these patients. An AUC near 0.5 is no proof that nothing leaks, and no number says "
    "anything where a control did not come out."
)


SUMS_ONLY = (
    "Secure aggregation (secure=pads): of {runs} the server saw the sum of each round's updates only, and of single "
    "sites a sketch of 4096 numbers, a length and the report."
)


def privacy(runs: Sequence[Results]) -> Sequence[Block]:
    """A table of the runs with differential privacy, one of those that were audited, and which had sums under pads."""
    private = [(run.name, spent) for run in runs if (spent := _spent(run.summary.get("variables") or {}))]
    audited = [(run.name, row) for run in runs if run.audit for row in _rows(run.audit)]
    padded = [run.name for run in runs if (run.summary.get("variables") or {}).get("secure") == "pads"]
    blocks: list[Block] = [Paragraph(SUMS_ONLY.format(runs=", ".join(padded)))] if padded else []
    if private:
        blocks.append(Table("Differential privacy of patients; `fedbrats privacy status` has epsilon", SPENT, private))
    if audited:
        blocks += [Table("Who was in the training data, by an audit", AUDITED, audited, "text"), Paragraph(NO_PROOF)]
    return blocks


def _spent(variables: Mapping[str, Any]) -> tuple[Any, ...]:
    if variables.get("dp_noise") is None:
        return ()
    steps = variables["num_rounds"] * variables["local_steps"]
    return variables["dp_noise"], variables["dp_rate"], steps, f"{variables['dp_delta']:g}"


def _rows(audit: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """All patients, every site with enough of them, and the controls."""
    found = [("all sites", audit["membership"])]
    found += [(site, own) for site, own in audit["by_site"].items() if own]
    for name, control in audit["controls"].items():
        verdict = "as expected" if control["as_expected"] else "NOT as expected"
        if control["found"]:
            found.append((f"control: {name.replace('_', ' ')}, {verdict}", control["found"]))
    return [_row(who, own) for who, own in found]


def _row(who: str, own: Mapping[str, Any]) -> tuple[Any, ...]:
    share, low, high = own["hits"]["0.1"]
    interval, hits = f"{own['low']:.3f} to {own['high']:.3f}", f"{share:.2f} ({low:.2f} to {high:.2f})"
    return who, own["members"], own["others"], own["auc"], interval, hits
