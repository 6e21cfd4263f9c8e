"""Compare what fedbrats says differential privacy costs with an independent library (dp-accounting): PLD, and Renyi.

Over a grid of settings, and over a ledger that a run of fedavg_dp on phantoms wrote.

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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
LEDGER = Path(__file__).parents[1] / "tests" / "privacy" / "phantom_run" / "privacy_ledger.jsonl"


def second() -> dict[str, Any]:
    """The grid by dp-accounting's privacy loss distributions, and the ledger by both of its accountants."""
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    rows = []
    for delta, (noise, rate, steps) in itertools.product(DELTAS, SETTINGS):
        spent = _epsilon_of(PLDAccountant(), [(noise, rate, steps)], delta)
        rows.append({"noise": noise, "rate": rate, "steps": steps, "delta": delta, "pld": spent})
    lines = [json.loads(line) for line in LEDGER.read_text(encoding="utf-8").splitlines()]
    history = [(line["noise"], line["rate"], line["steps"]) for line in lines]
    delta = lines[0]["delta"]
    ledger = {"lines": len(lines), "steps": sum(line["steps"] for line in lines), "delta": delta}
    ledger["pld"] = _epsilon_of(PLDAccountant(), history, delta)
    ledger["second_rdp"] = _epsilon_of(RdpAccountant(), history, delta)
    return {"rows": rows, "ledger": ledger}


def _epsilon_of(accountant: Any, history: Iterable[tuple[float, float, int]], delta: float) -> float:
    import dp_accounting

    for noise, rate, steps in history:
        accountant.compose(dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise)), steps)
    return float(accountant.get_epsilon(delta))


def compare(path: Path) -> int:
    """Add ours to each row, and write the result."""
    from record import RESULTS, Target, write

    from fedbrats.privacy.accounting import PrivateSteps, epsilon, epsilon_bound
    from fedbrats.privacy.ledger import Ledger

    document = json.loads(path.read_text(encoding="utf-8"))
    rows, ledger = document["rows"], document["ledger"]
    for row in rows:
        cost = [PrivateSteps(row["noise"], row["rate"], int(row["steps"]))]
        row["prv"], row["rdp"] = epsilon(cost, row["delta"]), epsilon_bound(cost, row["delta"])
    spent = [entry.cost for entry in Ledger(LEDGER).read()]
    ledger["prv"], ledger["rdp"] = epsilon(spent, ledger["delta"]), epsilon_bound(spent, ledger["delta"])
    both = [*rows, ledger]
    targets = [
        Target("largest_disagreement", 0.03, max(abs(row["prv"] / row["pld"] - 1) for row in both)),
        Target(
            "smallest_rdp_over_the_others", 1.0, min(row["rdp"] / max(row["prv"], row["pld"]) for row in both), True
        ),
    ]
    return write(RESULTS / "accountants.json", targets, {"rows": rows, "ledger": ledger})


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
