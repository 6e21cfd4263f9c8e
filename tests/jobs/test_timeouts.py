"""Timeouts follow from the model, the line and the slowest hospital."""

import json
import math

import pytest

from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.jobs.timeouts import (
    COMMUNICATION_S,
    advise,
    measured_round,
    transfer_seconds,
)

VARIABLES = {"first_deadline_s": 3600, "deadline_floor_s": 300, "num_rounds": 5}


def table(**changes):
    arguments = {"variables": VARIABLES, "model_bytes": 5_000_000, "mbit_per_s": 20.0, "round_s": 100.0, **changes}
    return {row.setting: row for row in advise(**arguments)}


def test_a_job_hears_of_its_own_variables_only():
    of_flare = {"communication_timeout", "heart_beat_timeout", "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT"}
    assert set(table()) == {"first_deadline_s", "deadline_floor_s", *of_flare}
    assert table()["first_deadline_s"].now == 3600


def test_a_slower_hospital_or_line_or_a_larger_model_waits_longer():
    known = table()["deadline_floor_s"].advised
    assert known > 100
    assert table(round_s=200.0)["deadline_floor_s"].advised > known
    assert table(mbit_per_s=0.5)["deadline_floor_s"].advised > known
    assert table(model_bytes=80_000_000)["deadline_floor_s"].advised > known


def test_one_transfer_of_a_large_model_over_a_thin_line_outlasts_flares_own_timeout():
    assert table()["communication_timeout"].advised == COMMUNICATION_S
    thin = table(model_bytes=80_000_000, mbit_per_s=2.0)["communication_timeout"].advised
    assert thin >= 3 * transfer_seconds(80_000_000, 2.0) > COMMUNICATION_S


def test_what_cannot_be_is_said(tmp_path):
    for mbit in (0, -1, math.nan, math.inf, 1e-300):
        with pytest.raises(ConfigurationError, match="Mbit/s cannot be"):
            table(mbit_per_s=mbit)
    for seconds in (-1, math.nan, math.inf):
        with pytest.raises(ConfigurationError, match=r"a round of .* s cannot be"):
            table(round_s=seconds)
    with pytest.raises(ConfigurationError, match="holds no answers"):
        measured_round(tmp_path)


def test_a_training_without_a_federation_has_no_answers(trained_results, capsys):
    words = ["job", "timeouts", "fedavg", "--mbit", "20", "--results", str(trained_results)]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "holds no answers of sites" in error
    assert "not of `fedbrats train`" in error
    assert error.count("\n") == 1


def test_the_slowest_answer_counts(tmp_path):
    rows = [{"kind": "site", "answered_s": seconds} for seconds in (3.0, 8.0, 5.0)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert measured_round(tmp_path) == 8.0


def test_the_command_says_how_large_the_model_is(capsys):
    words = ["job", "timeouts", "fedavg", "--mbit", "20", "--round-seconds", "60", "--set", "network=tiny", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert 0 < document["model_bytes"] < 5e6
    assert main(["job", "timeouts", "fedavg", "--mbit", "20", "--round-seconds", "60"]) == 0
    assert "communication_timeout" in capsys.readouterr().out
