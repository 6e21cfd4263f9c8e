"""What the methods do at a site, against their papers' formulas on a linear model, step by step; and a restart."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from fedbrats.extensions.trial import synthetic_site, try_method
from fedbrats.methods.ditto import Ditto
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.methods.feddyn import FedDyn, FedDynSite
from fedbrats.methods.fedrep import HeadThenBody
from fedbrats.methods.geometric_median import GeometricMedian
from fedbrats.methods.multi_krum import MultiKrum
from fedbrats.methods.scaffold import Scaffold, ScaffoldSite
from fedbrats.methods.server_optimisers import FedAdam, FedYogi
from fedbrats.site.local_round import LocalRound
from fedbrats.site.task import RoundTask

RATE, STEPS = 0.1, 4
CURVATURE, OPTIMUM = np.array([1.0, 2.0, 0.5]), np.array([1.0, -1.0, 3.0])


class Point(nn.Module):
    """The parameter w of the loss (w - o)' H (w - o) / 2."""

    def __init__(self, start):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def loss(self):
        return (torch.tensor(CURVATURE) * (self.w - torch.tensor(OPTIMUM)) ** 2).sum() / 2


def gradient(w):
    return CURVATURE * (w - OPTIMUM)


def play(hook, start, told):
    """One round of plain SGD with a hook; the last w."""
    point = Point(start)
    weights = {"w": np.asarray(start, np.float64)}
    hook.begin_round(SimpleNamespace(), weights, RoundTask(weights, 0, 3, told=told))
    hook.before_steps(point)
    for _ in range(STEPS):
        point.zero_grad()
        hook.change_loss(point.loss(), point).backward()
        hook.change_gradient(point)
        with torch.no_grad():
            point.w -= RATE * point.w.grad
    end = point.w.detach().numpy().copy()
    hook.end_round({"w": end})
    hook.change_update({"w": end - weights["w"]})
    return end


def test_scaffold_steps_and_control_variates_are_those_of_option_ii():
    hook, own = ScaffoldSite(), np.zeros(3)
    for start, server in (([0.0, 0, 0], np.zeros(3)), ([0.5, 0.5, 0], np.array([0.3, -0.2, 0.1]))):
        w = np.array(start)
        for _ in range(STEPS):
            w = w - RATE * (gradient(w) - own + server)
        after = own - server + (np.array(start) - w) / (STEPS * RATE)
        found = play(hook, start, {"control": {"w": server.astype(np.float32)}})
        np.testing.assert_allclose(found, w, atol=1e-6)
        np.testing.assert_allclose(hook.say()["control"]["w"], after - own, atol=1e-5)
        own = after


def test_feddyn_steps_are_those_of_its_objective():
    hook, alpha, kept = FedDynSite(), 0.3, np.zeros(3)
    for start in ([0.0, 0, 0], [0.5, 0.5, 0]):
        w = np.array(start)
        for _ in range(STEPS):
            w = w - RATE * (gradient(w) - kept + alpha * (w - np.array(start)))
        np.testing.assert_allclose(play(hook, start, {"alpha": alpha}), w, atol=1e-6)
        kept = kept - alpha * (w - np.array(start))
        np.testing.assert_allclose(hook.state()["w"], kept, atol=1e-6)


def test_ditto_trains_its_own_model_and_leaves_the_common_update_as_it_is(tmp_path):
    def answers(*hooks):
        site = synthetic_site("site-1", tmp_path, optimiser="adam")
        local_round = LocalRound(site, hooks, [tmp_path / str(len(hooks))])
        first = site.trainer.get_weights()
        return [local_round.answer(RoundTask(first, number, 2)).update for number in range(2)], site, first

    plain, _, _ = answers()
    hook = Ditto(pull=0.0)
    with_own, site, first = answers(hook)
    for one, other in zip(plain, with_own, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
    own = hook.evaluated_model(site, first)
    assert any(not np.array_equal(own[name], first[name]) for name in own)


def test_the_pull_of_ditto_holds_the_own_model_near_the_common_one(tmp_path):
    def distance(pull):
        site, hook = synthetic_site("site-1", tmp_path, local_steps=6), Ditto(pull=pull)
        first = site.trainer.get_weights()
        LocalRound(site, [hook], [tmp_path / str(pull)]).answer(RoundTask(first, 0, 2))
        return sum(float(np.square(value - first[name]).sum()) for name, value in hook.state().items())

    assert distance(100.0) < 0.7 * distance(0.0)


def test_fedrep_trains_the_head_first_and_then_the_body(tmp_path):
    site = synthetic_site("site-1", tmp_path, local_steps=4)
    hook, network, moved = HeadThenBody(head_share=0.5), site.trainer.network, []
    head = set(network.personal_names("head"))
    before = site.trainer.get_weights()

    def watch(_network):
        nonlocal before
        now = site.trainer.get_weights()
        moved.append({name in head for name in now if not np.array_equal(now[name], before[name])})
        before = now

    hook.after_step = watch
    LocalRound(site, [hook], [tmp_path / "kept"]).answer(RoundTask(before, 0, 2))
    assert moved == [{True}, {True}, {False}, {False}]


@pytest.mark.parametrize(
    ("aggregator", "hooks"),
    [
        (Scaffold, [ScaffoldSite]),
        (FedDyn, [FedDynSite]),
        (WeightedFedAvg, [Ditto]),
        (WeightedFedAvg, [HeadThenBody]),
        (FedAdam, []),
        (FedYogi, []),
        (GeometricMedian, []),
        (MultiKrum, []),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_restart_after_every_round_changes_no_bit(aggregator, hooks):
    try_method(aggregator, hooks)
