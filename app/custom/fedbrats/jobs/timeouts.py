"""Timeouts of a federation, from the model's size, the slowest line and the slowest hospital's measured round."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedbrats.errors import ConfigurationError
from fedbrats.rows import ROWS_FILE, read_rows

# How many times the slowest hospital's answer a job waits; those of these that a job has are variables of it.
ROUND_WAITS = {
    "first_deadline_s": (4.0, "for the first round, which also prepares the data"),
    "evaluation_timeout_s": (4.0, "for each hospital's evaluation of the final model"),
    "deadline_floor_s": (2.0, "at least, whatever the sites' measured speeds say"),
}
# Of FLARE 2.9.0: one exchange of a site with the server, and how long a silent site is taken for alive.
COMMUNICATION_S, HEART_BEAT_S = 300, 600
OUTCOME_S, SHORTEST_OUTCOME_S = 900, 60  # how long a job whose last round is over waits for word from every site
SMALLEST_MBIT, MOST_MBIT = 0.001, 1_000_000
LONGEST_ROUND_S = 10_000_000  # four months
TRANSFER_MARGIN = 3.0  # a line is slower at noon than when it was measured
ROUNDING_S = 10


@dataclass(frozen=True)
class Timeout:
    """One row of the table: where the setting stands, its value now, the value advised, and what it waits for."""

    setting: str
    where: str
    now: float | None
    advised: int
    waits: str


def transfer_seconds(model_bytes: int, mbit_per_s: float) -> float:
    """How long the model takes over a line, one way."""
    if not SMALLEST_MBIT <= mbit_per_s <= MOST_MBIT:
        raise ConfigurationError(
            f"a line of {mbit_per_s} Mbit/s cannot be, expected {SMALLEST_MBIT} to {MOST_MBIT}; measure that of the "
            f"slowest hospital"
        )
    return model_bytes * 8 / (mbit_per_s * 1e6)


def advise(variables: Mapping[str, Any], model_bytes: int, mbit_per_s: float, round_s: float) -> Iterator[Timeout]:
    """The table for one job. round_s: the slowest hospital's round without its transfers.

    Raises: ConfigurationError for a line or a round that cannot be.
    """
    transfer_s = transfer_seconds(model_bytes, mbit_per_s)
    if not 0 <= round_s <= LONGEST_ROUND_S:
        raise ConfigurationError(f"a round of {round_s} s cannot be, expected 0 to {LONGEST_ROUND_S}")
    answer_s = round_s + 2 * transfer_s
    for name, (times, waits) in ROUND_WAITS.items():
        if name in variables:
            yield Timeout(name, "the job", variables[name], _round_up(times * answer_s), waits)
    communication_s = max(COMMUNICATION_S, _round_up(TRANSFER_MARGIN * transfer_s))
    where = "site: local/resources.json, client"
    yield Timeout("communication_timeout", where, COMMUNICATION_S, communication_s, "one transfer of the model")
    where, waits = "server: local/resources.json, servers", "a silent site is taken for alive this long"
    yield Timeout("heart_beat_timeout", where, HEART_BEAT_S, HEART_BEAT_S, waits)
    where, waits = "server: environment of start.sh", "after the last round, for word from hospitals that have left"
    outcome_s = max(SHORTEST_OUTCOME_S, _round_up(answer_s))
    yield Timeout("NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT", where, OUTCOME_S, outcome_s, waits)


def measured_round(results_dir: Path) -> float:
    """Seconds of the slowest answer of any site in any round of a finished job.

    Raises: ConfigurationError where the folder holds no rows of answers, as that of `fedbrats train`.
    """
    path = results_dir / ROWS_FILE
    sites = [row for row in read_rows(path) if row["kind"] == "site"] if path.is_file() else []
    answers = [row["answered_s"] for row in sites if row.get("answered_s") is not None]
    if not answers:
        raise ConfigurationError(
            f"{results_dir} holds no answers of sites, for which a federation must have run; give the results folder "
            f"of a job, not of `fedbrats train`"
        )
    return max(answers)


def _round_up(seconds: float) -> int:
    return math.ceil(seconds / ROUNDING_S) * ROUNDING_S
