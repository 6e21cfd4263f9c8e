"""Make what `fedbrats privacy plan` reads, app/custom/fedbrats/privacy/curves.json, from the committed experiments.

example:
  python experiments/private_curves.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from fedbrats.atomic import write_json_atomic

RESULTS = Path(__file__).parent / "results"
OUT = Path(__file__).parents[1] / "app" / "custom" / "fedbrats" / "privacy" / "curves.json"


def main() -> None:
    """Write the file."""
    write_json_atomic(OUT, {"curves": list(curves())})


def curves() -> Iterable[dict[str, Any]]:
    """The curves, each of one experiment."""
    real, phantoms = (json.loads((RESULTS / name).read_text()) for name in ("private.json", "private_phantoms.json"))
    patients = sum(real["patients"].values())
    yield {
        "data": "real cases at 2 mm, from the start that saw phantoms only",
        "sites": len(real["patients"]),
        "matches": {"network": "fast", "trainable": real["settings"]["trainable"]},
        "points": _points({"patients": patients, **run} for run in real["runs"]),
    }
    yield {
        "data": "phantoms at 6 mm, from random weights",
        "sites": phantoms["settings"]["sites"],
        "matches": {"network": "tiny", "trainable": "all"},
        "points": _points(phantoms["runs"]),
    }


def _points(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The mean gain over seeds of every number of patients and epsilon; none of a number that had no run with noise."""
    gains: dict[tuple[int, float | None], list[float]] = {}
    for run in runs:
        gain = run["dice"]["mean"] - run["dice_of_the_start"]["mean"]
        gains.setdefault((run["patients"], run["epsilon"]), []).append(gain)
    private = {patients for patients, wanted in gains if wanted is not None}
    return [
        {"patients": patients, "epsilon": wanted, "gain": round(mean(found), 3)}
        for (patients, wanted), found in sorted(gains.items(), key=lambda each: (each[0][0], each[0][1] or 1e9))
        if patients in private
    ]


if __name__ == "__main__":
    main()
