"""How the results came about: what it takes to make them again, and to know the models again."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from fedbrats import __version__
from fedbrats.report.numbers.conditions import CONDITIONS, count_budget
from fedbrats.report.numbers.results import Results
from fedbrats.report.page.blocks import Block, Code, Details, Paragraph, Table

_PACKAGES = ("nvflare", "monai", "torch", "numpy")


def provenance(runs: Sequence[Results]) -> Sequence[Block]:
    """Versions, jobs, seeds, the models' checksums and every variable."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    blocks: list[Block] = [
        Paragraph(f"This page: fedbrats {__version__}, {packages}, Python {platform.python_version()}."),
        Table(
            "The runs",
            ("method", "job", "status", "rounds", "steps", "MB", "seed", "split", "data", "harm", "fedbrats", "took"),
            [(run.name, _about(run)) for run in runs],
            "text",
        ),
    ]
    models = [(run.name, (Code(name), Code(checksum))) for run in runs for name, checksum in run.checksums.items()]
    if models:
        blocks.append(Table("The models, by SHA-256", ("method", "file", "checksum"), models, "text"))
    for run in runs:
        if variables := run.summary.get("variables"):
            blocks.append(Details(f"Variables of {run.name}", [Code(json.dumps(variables, indent=1))]))
    return blocks


def _about(run: Results) -> tuple[Any, ...]:
    """Job, status, rounds, seed, version and duration of a run."""
    began = next(iter(run.of_kind("job")), {})
    said = run.summary.get(CONDITIONS) or {}
    budget = said.get("budget") or count_budget(run.rows)
    split = said.get("split") or {}
    fold = "" if split.get("fold") is None else f", fold {split['fold']} of {split['folds']}"
    return (
        run.summary.get("job_id") or began.get("job_id"),
        run.summary.get("status", "running"),
        run.summary.get("rounds"),
        budget["steps"],
        None if budget["bytes"] is None else f"{budget['bytes'] / 1e6:.0f}",
        (run.summary.get("variables") or {}).get("seed"),
        f"{split['by']}{fold}" if split.get("by") else split.get("made_by"),
        (said.get("data") or "")[:12] or None,
        ", ".join(f"{site}={kind}" for site, kind in run.misbehaviour.items()) or None,
        began.get("version"),
        f"{run.summary['seconds']:.0f} s" if "seconds" in run.summary else None,
    )
