"""What arrives at a site: an honest server's models are let in, others are refused in one sentence."""

import numpy as np
import pytest

from fedbrats.privacy.arrivals import LARGEST_JUMP, Arrivals, ArrivedModelError

SHAPES = {"net.a": (3, 4), "net.b": (5,)}


def model(step=0.0, **changes):
    return {name: np.full(shape, step, np.float32) for name, shape in SHAPES.items()} | changes


@pytest.fixture
def arrivals():
    """After two honest rounds with moves of 0.1 a weight."""
    made = Arrivals(SHAPES)
    for number in range(2):
        made.judge_model(model(0.1 * number), number, 8)
    return made


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"net.a": np.zeros((3, 4), np.float32)}, "1 of its names are missing"),
        (model(evil=np.zeros(2)), "1 unknown to this job's network, such as evil"),
        (model(**{"net.b": np.zeros(6)}), r"net.b has the shape \(6,\), expected \(5,\)"),
        (model(**{"net.b": np.zeros(5, int)}), "net.b holds no floating-point numbers"),
        (model(**{"net.b": np.array([1, 2, np.nan, 4, 5])}), "net.b holds NaN"),
        (model(**{"net.b": None}), "net.b holds no floating-point numbers"),
        (model(50.0), r"by the largest move of this job so far, 0\.412, it may be 4\.12 away"),
        (model(**{"net.b": np.full(5, 1e300)}), "away from that of round 1"),
    ],
)
def test_a_crafted_model_is_refused_and_the_next_honest_one_is_not(arrivals, weights, sentence):
    with pytest.raises(ArrivedModelError, match=sentence):
        arrivals.judge_model(weights, 2, 8)
    arrivals.judge_model(model(0.2), 2, 8)


def test_the_bound_is_learned_from_the_job(arrivals):
    arrivals.judge_model(model(0.1 + 0.99 * LARGEST_JUMP * 0.1), 2, 8)
    arrivals.judge_model(model(5.0), 3, 8)  # it may move as far again
    fresh = Arrivals(SHAPES)
    fresh.judge_model(model(7.0), 0, 8)  # the start may be anywhere
    fresh.learn_own(model(0.1))
    with pytest.raises(ArrivedModelError):
        fresh.judge_model(model(14.5), 1, 8)
    fresh.judge_model(model(7.5), 1, 8)


def test_a_site_whose_own_update_is_tiny_follows_the_others():
    arrivals = Arrivals(SHAPES)
    arrivals.judge_model(model(1.0), 0, 8)
    arrivals.learn_own(model(1e-6))
    arrivals.judge_model(model(1.9), 1, 8)


def test_earlier_models_and_their_means_are_never_too_far():
    """As after a rollback, or `pull_back` and `averaged_rounds` before personal rounds."""
    for back in range(40):
        arrivals = Arrivals(SHAPES)
        for number in range(40):
            arrivals.judge_model(model(0.01 * number - 0.2), number, 50)
        arrivals.judge_model(model(0.01 * back - 0.2), 40, 50)


def test_a_site_that_was_away_lets_in_what_has_moved_on(arrivals):
    with pytest.raises(ArrivedModelError):
        arrivals.judge_model(model(2.0), 2, 8)
    arrivals.judge_model(model(2.0), 6, 8)


def test_a_job_does_not_grow_more_rounds(arrivals):
    with pytest.raises(ArrivedModelError, match="the job had 8 rounds, now it says 80"):
        arrivals.judge_model(model(0.2), 2, 80)


def test_evaluations_are_as_many_as_rounds(arrivals):
    for _ in range(8):
        arrivals.judge_evaluation(model(3.0))
    with pytest.raises(ArrivedModelError, match="asked for 8 evaluations before"):
        arrivals.judge_evaluation(model(3.0))


def test_a_restart_forgets_no_model(arrivals):
    again = Arrivals(SHAPES)
    again.restore({name: np.array(value) for name, value in arrivals.state().items()})
    for each in (arrivals, again):
        with pytest.raises(ArrivedModelError, match="away from that of round 1"):
            each.judge_model(model(50.0), 2, 8)
    again.judge_model(model(0.2), 2, 12)  # a job that goes on from this one may have other rounds


def test_a_round_that_is_asked_for_again_makes_a_site_forget_nothing(arrivals):
    for _ in range(8):
        arrivals.judge_evaluation(model(3.0))
    arrivals.restore(None)  # as before round 0
    with pytest.raises(ArrivedModelError, match="away from that of round 1"):
        arrivals.judge_model(model(50.0), 0, 8)
    with pytest.raises(ArrivedModelError, match="the job had 8 rounds"):
        arrivals.judge_model(model(0.2), 0, 80)
    with pytest.raises(ArrivedModelError, match="asked for 8 evaluations"):
        arrivals.judge_evaluation(model(3.0))
