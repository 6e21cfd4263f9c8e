"""The model card's numbers are of the card's weights, or there are none."""

import json
from dataclasses import replace

import pytest
import torch

from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.saved import load_model
from fedbrats.report.export.model_card import write_model_card
from fedbrats.report.numbers.measured import find_measured
from fedbrats.rows import metric_rows, summarise_rows
from fedbrats.site.personal import save_personal

VARIABLES = {"network": "tiny", "seed": 0, "spacing_mm": 8.0, "normalisation": "zscore", "volume_shape": None}


def metrics(value):
    return {metric: dict.fromkeys(("mean", "WT", "TC", "ET"), value) for metric in ("dice", "iou")}


ROWS = [
    *metric_rows(-1, "north", "final", metrics(0.5), 4),
    *metric_rows(-1, "south", "final", None, 2),
    *metric_rows(-1, "north", "best", metrics(0.75), 4),
    *metric_rows(-1, "south", "best", None, 2),
]


@pytest.fixture
def results(tmp_path):
    for name in ("global_model.pt", "best_model.pt", "other.pt"):
        torch.save({"model": SegmentationNetwork("tiny").state_dict()}, tmp_path / name)
    (tmp_path / "summary.json").write_text(json.dumps({"variables": VARIABLES}))
    return tmp_path


def card_of(model, rows=ROWS):
    return write_model_card(model, summarise_rows(rows), find_measured(model, rows), "0" * 64)


@pytest.mark.parametrize(("name", "dice"), [("global_model.pt", 0.5), ("best_model.pt", 0.75)])
def test_each_model_has_its_own_numbers_over_the_cases_of_sites_that_said_them(results, name, dice):
    card = card_of(load_model(results / name))
    assert f"| mean | {dice:.3f} | {dice:.3f} |" in card
    assert "(4 in all)" in card


def test_a_model_that_was_not_evaluated_has_none(results):
    card = card_of(load_model(results / "best_model.pt"), ROWS[:8])
    assert "Not known for these weights: no rows" in card
    assert "0.500" not in card
    assert "none of the models" in card_of(load_model(results / "other.pt"))


@pytest.mark.parametrize("variables", [{"personal": "head"}, {"personal_rounds": 3}])
def test_numbers_measured_with_every_sites_own_part_are_no_numbers_of_the_common_model(results, variables):
    (results / "summary.json").write_text(json.dumps({"variables": {**VARIABLES, **variables}}))
    card = card_of(load_model(results))
    assert "together with each site's own personal weights" in card
    assert "| mean |" not in card


def test_the_mean_over_all_sites_is_no_number_of_one_sites_model(results):
    network = SegmentationNetwork("tiny", seed=1)
    save_personal(results, {name: network.state_dict()[name].numpy() for name in network.personal_names("head")})
    card = card_of(load_model(results, results / "personal.npz"))
    assert "one site's personal weights" in card
    assert "| mean |" not in card


def test_a_model_of_train_is_the_final_one(trained_results):
    model = load_model(trained_results)
    assert find_measured(model, ROWS).dice["mean"] == 0.5
    assert not find_measured(replace(model, is_personal=True), ROWS).dice
