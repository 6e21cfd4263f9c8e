"""What private steps cost: against a second accountant, by the quick bound, and solved for the noise."""

import json
import shutil
from pathlib import Path

import pytest

from fedbrats.errors import ConfigurationError, DataError
from fedbrats.privacy.accounting import PrivateSteps, epsilon, epsilon_bound, solve_noise
from fedbrats.privacy.ledger import LEDGER_FILE, Ledger

FOUND = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "accountants.json").read_text())
GRID = FOUND["rows"]
LEDGER = Path(__file__).parent / "phantom_run" / LEDGER_FILE


def test_two_accountants_agree_over_a_grid_and_renyi_is_above_both():
    """`pld` comes from dp-accounting's PLD, which needs an environment of its own (benchmarks/accountants.py)."""
    assert len(GRID) == 20
    for row in GRID:
        assert row["prv"] == pytest.approx(row["pld"], rel=0.01)
        assert row["rdp"] > row["pld"]
        assert row["rdp"] >= row["prv"]


def test_the_grid_is_what_the_code_gives():
    for row in GRID[:2]:
        cost = [PrivateSteps(row["noise"], row["rate"], row["steps"])]
        assert epsilon(cost, row["delta"]) == pytest.approx(row["prv"], rel=1e-3)
        assert epsilon_bound(cost, row["delta"]) == pytest.approx(row["rdp"], rel=1e-3)


def test_the_ledger_of_a_real_run_costs_the_same_by_two_accountants():
    """A site's ledger of a run of fedavg_dp on phantoms; `pld` and `second_rdp` are dp-accounting's numbers."""
    entries = Ledger(LEDGER).read()
    spent, said = [entry.cost for entry in entries], FOUND["ledger"]
    assert (len(entries), sum(each.steps for each in spent)) == (said["lines"], said["steps"])
    prv, rdp = epsilon(spent, said["delta"]), epsilon_bound(spent, said["delta"])
    assert prv == pytest.approx(said["pld"], rel=0.03)
    assert min(rdp, said["second_rdp"]) > max(prv, said["pld"])


@pytest.mark.parametrize("harm", [lambda lines: lines[:3] + lines[4:], lambda lines: lines[:-1]])
def test_a_line_out_of_that_ledger_is_missed(tmp_path, harm):
    for path in LEDGER.parent.iterdir():
        shutil.copy(path, tmp_path)
    ledger = tmp_path / LEDGER_FILE
    ledger.write_bytes(b"".join(harm(ledger.read_bytes().splitlines(keepends=True))))
    with pytest.raises(DataError, match="restore it"):
        Ledger(ledger).read()


def test_jobs_on_the_same_patients_cost_more_than_one_and_less_than_their_sum():
    one, other = PrivateSteps(6.0, 1.0, 20), PrivateSteps(8.0, 1.0, 40)
    both = epsilon([one, other], 1e-3)
    assert max(epsilon([one], 1e-3), epsilon([other], 1e-3)) < both < epsilon([one], 1e-3) + epsilon([other], 1e-3)
    twice = [PrivateSteps(6.0, 1.0, 10), PrivateSteps(6.0, 1.0, 10)]
    assert epsilon_bound(twice, 1e-3) == epsilon_bound([one], 1e-3)
    assert epsilon([], 1e-3) == 0.0


def test_the_noise_of_an_epsilon_costs_that_epsilon():
    noise = solve_noise(8.0, 1e-3, 1.0, 50)
    assert 7.8 < epsilon([PrivateSteps(noise, 1.0, 50)], 1e-3) <= 8.0


def test_an_epsilon_that_no_noise_gives_is_refused():
    with pytest.raises(ConfigurationError, match="no noise up to 1000"):
        solve_noise(1e-4, 1e-5, 1.0, 1_000_000)


def test_where_the_exact_number_takes_minutes_the_bound_stands():
    cost = [PrivateSteps(0.05, 1.0, 1000)]
    assert epsilon(cost, 1e-3) == epsilon_bound(cost, 1e-3) > 1000
