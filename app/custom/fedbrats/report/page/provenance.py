"""How the results came about: what it takes to make them again, and to know the models again."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from html import escape
from importlib.metadata import version

from fedbrats import __version__
from fedbrats.report.numbers.results import Results
from fedbrats.report.page import markup

_PACKAGES = ("nvflare", "monai", "torch", "numpy")


def provenance(runs: Sequence[Results]) -> str:
    """Versions, jobs, seeds, the models' checksums and every variable."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    parts = [markup.paragraph(f"This page: fedbrats {__version__}, {packages}, Python {platform.python_version()}.")]
    rows = []
    for run in runs:
        began = next(iter(run.of_kind("job")), {})
        values = (
            run.summary.get("job_id") or began.get("job_id"),
            run.summary.get("status", "running"),
            run.summary.get("rounds"),
            (run.summary.get("variables") or {}).get("seed"),
            began.get("version"),
            f"{run.summary['seconds']:.0f} s" if "seconds" in run.summary else None,
        )
        rows.append((markup.row_head(run.name), *(markup.cell(value) for value in values)))
    columns = ("method", "job", "status", "rounds", "seed", "fedbrats", "took")
    parts.append(markup.table("The runs", columns, rows, "text"))
    models = [
        (markup.row_head(run.name), f"<td><code>{name}</code></td>", f"<td><code>{checksum}</code></td>")
        for run in runs
        for name, checksum in run.checksums.items()
    ]
    if models:
        parts.append(markup.table("The models, by SHA-256", ("method", "file", "checksum"), models, "text"))
    for run in runs:
        if variables := run.summary.get("variables"):
            shown = escape(json.dumps(variables, indent=1))
            parts.append(
                f"<details><summary>Variables of {escape(run.name)}</summary><pre><code>{shown}</code></pre></details>"
            )
    return "".join(parts)
