"""Each rule against its paper's formula, computed another way, on vectors."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from fedbrats.federation.gates import Contribution
from fedbrats.methods.feddyn import FedDyn
from fedbrats.methods.geometric_median import GeometricMedian
from fedbrats.methods.multi_krum import MultiKrum
from fedbrats.methods.scaffold import Scaffold
from fedbrats.methods.server_optimisers import FedAdam, FedYogi

SITES, SIZE = 7, 5


def vectors(seed: int, sites: int = SITES) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(sites, SIZE))


def contributions(rows: np.ndarray, number: int = 0, cases=None, **said) -> list[Contribution]:
    cases = cases or [10] * len(rows)
    return [
        Contribution(
            f"site-{index}",
            number,
            cases[index],
            1,
            {"w": row},
            said={name: {"w": values[index]} for name, values in said.items()},
        )
        for index, row in enumerate(rows)
    ]


def test_the_geometric_median_has_the_least_sum_of_distances():
    rows, cases = vectors(0), [5, 10, 20, 10, 5, 40, 10]
    found = GeometricMedian(iterations=300).combine(contributions(rows, cases=cases), 0).update["w"]
    weights = np.array(cases) / sum(cases)
    best = minimize(lambda point: weights @ np.linalg.norm(rows - point, axis=1), rows.mean(axis=0), tol=1e-12)
    np.testing.assert_allclose(found, best.x, atol=1e-4)


def test_the_geometric_median_stays_with_the_majority():
    rows = np.concatenate([np.ones((4, SIZE)), 1e6 * np.ones((3, SIZE))])
    combined = GeometricMedian(iterations=100).combine(contributions(rows), 0)
    np.testing.assert_allclose(combined.update["w"], 1, rtol=1e-3)
    assert sum(row["weight"] for row in combined.rows) == pytest.approx(1)
    same = GeometricMedian().combine(contributions(np.ones((3, SIZE))), 0)
    np.testing.assert_array_equal(same.update["w"], 1)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_multi_krum_chooses_as_its_paper_says(bad):
    """Every score from its definition: the n - f - 2 smallest squared distances to the others."""
    rows = vectors(1)
    scores = []
    for one in range(SITES):
        squares = sorted(float(np.sum((rows[one] - rows[other]) ** 2)) for other in range(SITES) if other != one)
        scores.append(math.fsum(squares[: SITES - bad - 2]))
    chosen = sorted(range(SITES), key=lambda index: scores[index])[: SITES - bad]
    combined = MultiKrum(bad).combine(contributions(rows), 0)
    np.testing.assert_allclose(combined.update["w"], rows[chosen].mean(axis=0))
    assert [row["weight"] > 0 for row in combined.rows] == [index in chosen for index in range(SITES)]


def test_multi_krum_of_few_sites_believes_in_fewer_bad_ones():
    for count in (1, 2, 3, 4):
        rows = vectors(2, count)
        np.testing.assert_allclose(MultiKrum(5).combine(contributions(rows), 0).update["w"], rows.mean(axis=0))


@pytest.mark.parametrize("kind", [FedAdam, FedYogi])
def test_adaptive_servers_move_as_algorithm_2_of_their_paper(kind):
    rate, beta1, beta2, tau = 0.1, 0.9, 0.95, 0.01
    for index in range(SIZE):  # number by number, in plain floats
        first, second = 0.0, tau**2
        method = kind(rate=rate, beta1=beta1, beta2=beta2, tau=tau)
        for number in range(4):
            rows = vectors(10 + number)
            change = math.fsum(rows[:, index]) / SITES
            first = beta1 * first + (1 - beta1) * change
            if kind is FedAdam:
                second = beta2 * second + (1 - beta2) * change**2
            else:
                second -= (1 - beta2) * change**2 * math.copysign(1.0, second - change**2)
            step = method.combine(contributions(rows, number), number).update["w"][index]
            assert step == pytest.approx(rate * first / (math.sqrt(second) + tau))


def test_scaffolds_server_moves_by_the_plain_mean_and_its_control_by_the_share_of_sites():
    method = Scaffold(server_rate=0.5)
    control = np.zeros(SIZE)
    for number, count in enumerate((4, 2, 3)):  # four sites are known from the first round on
        rows, changes = vectors(number, count), vectors(50 + number, count)
        combined = method.combine(contributions(rows, number, cases=[1, 2, 3, 4], control=changes), number)
        np.testing.assert_allclose(combined.update["w"], 0.5 * rows.mean(axis=0))
        control += changes.sum(axis=0) / 4
        np.testing.assert_allclose(method.tell()["control"]["w"], control)


def test_feddyns_server_is_that_of_its_paper():
    alpha, method, model, h = 0.1, FedDyn(alpha=0.1), np.zeros(SIZE), np.zeros(SIZE)
    for number, count in enumerate((4, 2, 3)):
        rows = vectors(number, count)
        ours = model + method.combine(contributions(rows, number), number).update["w"]
        h = h - alpha / 4 * rows.sum(axis=0)  # algorithm 1: theta_k - theta are the updates
        model = (model + rows).mean(axis=0) - h / alpha
        np.testing.assert_allclose(ours, model)


def test_the_order_of_sites_is_that_of_their_names():
    """Of the robust rules, any order gives the same set of chosen sites."""
    rows = vectors(3, 5)
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 17):
        update = MultiKrum(1).combine(contributions(rows[list(order)]), 0).update["w"]
        np.testing.assert_allclose(update, MultiKrum(1).combine(contributions(rows), 0).update["w"])
