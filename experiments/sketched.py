"""Compare weights and quarantine from sketches, as in a job with pads, to those from full updates; takes a minute.

    python experiments/sketched.py [--seeds 10] [--out experiments/results/sketched.json]

On the federations of `experiments/simulated.py`. Writes the rows as JSON and prints the table of
docs/reference/contribution.md.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from simulated import SETTINGS
from simulation.command import run_command
from simulation.federate import Course, run
from simulation.methods import Factor, SketchedFactor
from simulation.trouble import TROUBLES

from fedbrats.report.markdown import markdown_table

MOST_LOST = 0.1  # of avoidable loss, between the two


def measure(seeds: int) -> dict[str, Any]:
    """One row a setting, over all kinds of trouble and all seeds, and the federations that were decided otherwise."""
    rows, others = [], []
    for name, setting in SETTINGS.items():
        pairs = {
            (trouble, seed): [run(setting, TROUBLES[trouble], method, seed) for method in (Factor, SketchedFactor)]
            for trouble in TROUBLES
            for seed in range(seeds)
        }
        other = [(where, full, sketched) for where, (full, sketched) in pairs.items() if not same(full, sketched)]
        losses = np.array([[full.excess, sketched.excess] for full, sketched in pairs.values()])
        weights = [np.abs(full.weight_ratio - sketched.weight_ratio).mean() for full, sketched in pairs.values()]
        rows.append(
            {
                "setting": name,
                "federations": len(pairs),
                "same_decisions": len(pairs) - len(other),
                "weight_ratio_difference": float(np.mean(weights)),
                "loss_full": float(losses[:, 0].mean()),
                "loss_sketched": float(losses[:, 1].mean()),
                "largest_difference": float(np.abs(losses[:, 1] - losses[:, 0]).max()),
            }
        )
        others += [
            {"setting": name, "trouble": trouble, "seed": seed, "full": decided(full), "sketched": decided(sketched)}
            for (trouble, seed), full, sketched in other
        ]
    return {"seeds": list(range(seeds)), "most_lost": MOST_LOST, "rows": rows, "decided_otherwise": others}


def same(full: Course, sketched: Course) -> bool:
    """Whether the same hospitals, troubled or not, were ever in quarantine."""
    return [rounds > 0 for rounds in decided(full)] == [rounds > 0 for rounds in decided(sketched)]


def decided(course: Course) -> list[int]:
    """Rounds in quarantine, of troubled sites and of others."""
    return [course.troubled_in_quarantine, course.others_in_quarantine]


def as_markdown(document: dict[str, Any]) -> str:
    """The table of the page."""
    header = ("setting", "federations", "same decisions", "weights differ by", "loss left, full", "sketched",
              "largest difference")  # fmt: skip
    rows = [
        (e["setting"], e["federations"], e["same_decisions"], f"{e['weight_ratio_difference']:.3f}",
         f"{e['loss_full']:.4f}", f"{e['loss_sketched']:.4f}", f"{e['largest_difference']:.4f}")
        for e in document["rows"]
    ]  # fmt: skip
    return str(markdown_table(header, rows))


if __name__ == "__main__":
    sys.exit(run_command("sketched", str(__doc__), measure, as_markdown))
