"""The minutes of a job are a pure function of measured costs, of the work of each site and of the cores."""

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.jobs.estimate import (
    IN_ONE_PLACE,
    Cost,
    Work,
    last_evaluation,
    parts_in_one_place,
    parts_of_job,
    shared,
    usual_cost,
)

VALUES = {"num_rounds": 10}
COST = Cost(step_s=0.1, score_s=0.5, final_s=2.0, prepare_s=1.0, launch_s=3.0, at_once=2)
WORK = Work(8, 2, 20)
ROUND_S = 20 * 0.1 + 2 * 2 * 0.5  # steps, then the model that came and the one that was trained


def test_sites_share_the_cores():
    one = parts_of_job(COST, [WORK], VALUES, 2, "remote")
    assert one.rounds_s == pytest.approx(10 * ROUND_S)
    assert one.final_s == pytest.approx(2 * 2 * 2.0)  # the last model and the best one
    assert one.prepare_s == pytest.approx(10.0)
    for sites, factor in ((2, 1), (4, 2), (7, 3.5)):
        found = parts_of_job(COST, [WORK] * sites, VALUES, 2, "remote")
        assert found.rounds_s == pytest.approx(factor * one.rounds_s)
        assert found.final_s == pytest.approx(factor * one.final_s)


def test_what_a_job_is_told_to_leave_out_costs_nothing():
    seldom = parts_of_job(COST, [WORK], {**VALUES, "validate_every": 4}, 2, "remote")
    assert seldom.rounds_s == pytest.approx(10 * 2.0 + 3 * 2.0)  # rounds 4, 8 and the last
    without = {**VALUES, "validate_received": False, "validate_trained": False}
    assert parts_of_job(COST, [WORK], without, 2, "remote").rounds_s == pytest.approx(10 * 2.0)
    twice = parts_of_job(COST, [WORK], {**without, "hooks": {"fedbrats.methods.ditto.Ditto": {}}}, 2, "remote")
    assert twice.rounds_s == pytest.approx(2 * 10 * 2.0)


def test_a_federation_takes_its_start_and_its_end_too():
    poc, alone = (parts_of_job(COST, [WORK] * 4, VALUES, 2, way) for way in ("poc", "remote"))
    assert alone.launch_s == 0 < poc.launch_s
    assert poc.rounds_s > alone.rounds_s
    assert poc.final_s > alone.final_s
    assert poc.total_s == pytest.approx(poc.launch_s + poc.prepare_s + poc.rounds_s + poc.final_s)


def test_all_in_one_place_makes_the_steps_of_all():
    found = parts_in_one_place(COST, [WORK] * 4, VALUES, 2)
    assert found.rounds_s == pytest.approx(10 * (80 * 0.1 + 8 * 0.5))
    assert found.final_s == pytest.approx(8 * 2.0)


@pytest.mark.parametrize(
    ("seconds", "lanes", "done"),
    [([3.0], 2, 3.0), ([3.0, 1.0], 1, 4.0), ([1.0, 2.0, 6.0], 2, 6.5), ([1.0, 1.0, 1.0], 3, 1.0), ([], 2, 0.0)],
)
def test_who_is_done_leaves_the_cores_to_the_others(seconds, lanes, done):
    assert shared(seconds, lanes) == pytest.approx(done)


def test_more_sites_get_more_of_a_machine_that_others_use():
    """Two processes that got half of two cores leave two others; seven sites then get seven ninths."""
    busy = Cost(**{**COST.__dict__, "step_s": 0.2, "share": 0.5})
    assert busy.share_of(2) == pytest.approx(0.5)
    assert busy.share_of(7) == pytest.approx(7 / 9)
    assert Cost(**{**COST.__dict__, "share": 1.0}).share_of(7) == 1
    values = {**VALUES, "validate_received": False, "validate_trained": False}
    found = parts_of_job(busy, [WORK] * 7, values, 2, "remote")
    assert found.rounds_s == pytest.approx(10 * 3.5 * 20 * 0.1 / (7 / 9))


def test_the_last_evaluation_goes_by_a_round_that_evaluated():
    assert last_evaluation([4.0, 2.0], {}, "poc") == pytest.approx(4.0 / 2 * 2 * 8)
    assert last_evaluation([4.0], {"final_flips": False}, "poc") == pytest.approx(4.0)
    assert last_evaluation([4.0], {"validate_received": False}, "poc") == pytest.approx(4.0 * 8)
    assert last_evaluation([4.0], IN_ONE_PLACE, "train") == pytest.approx(4.0 * 8)
    assert last_evaluation([4.0], {"validate_received": False, "validate_trained": False}, "poc") is None
    assert last_evaluation([0.0], {}, "poc") is None
    assert last_evaluation([], {}, "poc") is None


def test_costs_come_back_from_a_plan():
    assert Cost.of_document(COST.document()) == COST
    for change in ({"share": 0}, {"step_s": "x"}, {"at_once": 0}, {"score_s": float("inf")}):
        with pytest.raises(ConfigurationError, match="no measured costs"):
            Cost.of_document({**COST.document(), **change})
    with pytest.raises(ConfigurationError):
        Cost.of_document({})


def test_usual_costs_grow_with_the_patch_and_the_network():
    small, default, large = (
        usual_cost({"patch_size": patch, "network": network})
        for patch, network in (([24, 32, 24], "fast"), ([48, 64, 48], "fast"), ([48, 64, 48], "large"))
    )
    assert small.step_s < default.step_s < large.step_s
    assert small.score_s == pytest.approx(default.score_s)  # of a whole brain, whatever the patch
