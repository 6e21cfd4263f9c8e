"""Compare what fedbrats says differential privacy costs with a second, independent accountant (dp-accounting's PLD).

dp-accounting wants another attrs than the pinned set, so it runs in an environment of its own:

example:
  python3 -m venv /tmp/second && /tmp/second/bin/pip install dp-accounting==0.6.0
  /tmp/second/bin/python benchmarks/accountants.py second > /tmp/second.json
  .venv/bin/python benchmarks/accountants.py compare /tmp/second.json      # writes benchmarks/results/accountants.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

DELTAS = (1e-3, 1e-5)
# (noise, rate, steps): from few patients in every step to many that are seldom drawn, and two whole jobs.
SETTINGS = (
    *itertools.product((1.0, 2.0), (0.1, 0.5), (64,)),
    (1.0, 0.1, 640),
    (8.0, 0.5, 640),
    (4.0, 0.5, 200),
    (16.0, 1.0, 200),
    (1.0, 0.01, 3200),
    (2.0, 0.05, 1000),
)


def second() -> list[dict[str, float]]:
    """The grid by dp-accounting's privacy loss distributions."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    rows = []
    for delta, (noise, rate, steps) in itertools.product(DELTAS, SETTINGS):
        accountant = PLDAccountant()
        event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
        accountant.compose(event, steps)
        rows.append(
            {"noise": noise, "rate": rate, "steps": steps, "delta": delta, "pld": accountant.get_epsilon(delta)}
        )
    return rows


def compare(path: Path) -> int:
    """Add ours to each row, and write the result."""
    from record import RESULTS, Target, write

    from fedbrats.privacy.accounting import PrivateSteps, epsilon, epsilon_bound

    rows = json.loads(path.read_text(encoding="utf-8"))
    for row in rows:
        cost = [PrivateSteps(row["noise"], row["rate"], int(row["steps"]))]
        row["prv"], row["rdp"] = epsilon(cost, row["delta"]), epsilon_bound(cost, row["delta"])
    targets = [
        Target("largest_disagreement", 0.03, max(abs(row["prv"] / row["pld"] - 1) for row in rows)),
        Target(
            "smallest_rdp_over_the_others", 1.0, min(row["rdp"] / max(row["prv"], row["pld"]) for row in rows), True
        ),
    ]
    return write(RESULTS / "accountants.json", targets, {"rows": rows})


def main() -> int:
    """One half or the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("second", help="print the grid by dp-accounting, as JSON")
    actions.add_parser("compare", help="add ours, and write the result").add_argument("second", type=Path)
    args = parser.parse_args()
    if args.action == "compare":
        return compare(args.second)
    print(json.dumps(second(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
