"""A game: who chooses the models sees only what leaves the site, and must not learn of a single patient."""

import json
import resource
from dataclasses import replace

import numpy as np
import pytest

from fedbrats.data.cases.datalist import read_datalist, write_datalist
from fedbrats.data.phantom.cohort import CohortSettings, write_cohort
from fedbrats.site.evaluations import BUDGET_FILE, count_evaluation
from fedbrats.site.local_site import open_local_site
from tests.security.attacks import attack

LEAST = 5
SETTINGS = {"final_flips": False, "component_share": 0.0, "local_steps": 60, "patch_size": None}


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Ask a site of five validation cases about a model of the adversary's, whose last bias is moved.

    Returns what is told, and the Dice of WT of each case, which stays.
    """
    root = tmp_path_factory.mktemp("game")
    (site_list,) = write_cohort(root / "sites", CohortSettings(sites=1, cases=9, spacing_mm=6.0))
    folder = root / "sites" / site_list.site
    datalist = read_datalist(folder)
    cases = datalist.cases
    write_datalist(folder, replace(datalist, training=cases[:4], validation=cases[4:], test=()))
    local = root / "kit" / "local"
    local.mkdir(parents=True)
    facts = {"data_dir": str(folder), "cache_dir": "cache", "personal_dir": "p", "min_cases": LEAST, "threads": 1}
    (local / "fedbrats.json").write_text(json.dumps(facts))
    site = open_local_site(
        "hospital",
        local,
        root / "run",
        network={"preset": "tiny", "seed": 0},
        training=SETTINGS,
        preparation={},
        seed=0,
    )
    site.trainer.train_round(0, 1)  # a model that finds something
    weights = site.trainer.get_weights()
    last = [name for name in weights if name.endswith("bias")][-1]

    def ask(bias):
        moved = {name: value.copy() for name, value in weights.items()}
        moved[last] = weights[last] + np.array([bias] + [0] * (len(weights[last]) - 1), np.float32)
        site.trainer.set_weights(moved)
        scores = site.evaluate_finally()
        told = site.metrics(scores)
        return told, [score.dice["WT"] for score in scores]

    return ask


@attack(
    "choose models so that the mean over five cases is one patient's score",
    who="a lead, or the server's operator",
    happens="a mean to which fewer than min_cases cases contribute is withheld",
)
def test_no_choice_of_models_singles_out_a_patient(ask):
    """Bisection for the model by which one case alone has a predicted voxel: its mean, times five, was that case's."""
    high, low, withheld = 4.0, -12.0, 0
    while high - low > 1e-3:
        bias = (high + low) / 2
        told, scores = ask(bias)
        partly = sum(0 < score < 1 for score in scores)
        if told is None:
            withheld += 1
            high = bias  # all that an adversary knows: somebody is found
            continue
        assert partly == 0 or partly >= LEAST
        high, low = (bias, low) if told["dice"]["WT"] > 0 else (high, bias)
    assert withheld > 3, "the search never met a single case"
    assert ask(high)[0] is None
    assert ask(4.0)[0] is not None or ask(0.0)[0] is not None, "nothing is ever told"


def test_what_is_told_has_three_decimals(ask):
    told = next(told for told in (ask(bias)[0] for bias in (0.0, 2.0, 4.0, -12.0)) if told is not None)
    assert all(value == round(value, 3) for means in told.values() for value in means.values())


def test_evaluations_are_counted_and_bounded_a_day(tmp_path):
    assert [count_evaluation(tmp_path, 2) for _ in range(4)] == [True, True, False, False]
    document = json.loads((tmp_path / BUDGET_FILE).read_text())
    (tmp_path / BUDGET_FILE).write_text(json.dumps({**document, "day": "2020-01-01"}))
    assert count_evaluation(tmp_path, 2), "another day"
    for broken in ("{", "[]", '{"day": 3', json.dumps({"day": document["day"]})):
        (tmp_path / BUDGET_FILE).write_text(broken)
        assert not count_evaluation(tmp_path, 2), "what cannot be counted is used up"
    assert count_evaluation(tmp_path, None)


def test_a_full_disk_does_not_give_the_day_back(tmp_path):
    assert count_evaluation(tmp_path, 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # no file of this process takes a byte more
    try:
        with pytest.raises(OSError, match="File too large"):
            count_evaluation(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [count_evaluation(tmp_path, 2) for _ in range(2)] == [True, False]
