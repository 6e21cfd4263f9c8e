"""Steps of the optimiser, with and without a scaled loss."""

import numpy as np
import pytest
import torch
from torch import nn

from fedbrats.errors import UpdateError
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.optimisation import FIRST_SCALE, Optimisation, join_moments, learning_rate_at

CPU = torch.device("cpu")


def steps(network, optimisation, losses):
    return [optimisation.step(network(torch.ones(1, 3)).square().sum() * factor, 0.1) for factor in losses]


def new(scaled, clip=1.0):
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    settings = TrainingSettings(gradient_clip=clip)
    return network, Optimisation(network, settings, CPU, scaled=scaled)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_scaled_loss_makes_the_same_steps_bit_for_bit(clip):
    plain, scaled = new(False, clip), new(True, clip)
    assert steps(*plain, [1, 2, 3]) == steps(*scaled, [1, 2, 3]) == [True] * 3
    assert torch.equal(plain[0].weight, scaled[0].weight)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_that_overflows_changes_nothing_and_the_next_scale_is_smaller(clip):
    network, optimisation = new(True, clip)
    before = network.weight.clone()
    assert steps(network, optimisation, [1e37]) == [False]
    assert torch.equal(network.weight, before)
    assert steps(network, optimisation, [1.0]) == [True]
    assert optimisation._scaler.get_scale() == FIRST_SCALE / 2


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_gradient_that_is_not_finite_changes_neither_the_weights_nor_the_optimiser(scaled, clip):
    network, optimisation = new(scaled, clip)
    before = network.weight.clone()
    assert optimisation.step(network(torch.ones(1, 3)).sum() * torch.inf, 0.1) is False
    assert torch.equal(network.weight, before)
    assert steps(network, optimisation, [1.0]) == [True]
    assert torch.isfinite(network.weight).all()


@pytest.mark.parametrize("scaled", [False, True])
def test_a_restart_makes_the_same_steps(scaled, tmp_path):
    network, optimisation = new(scaled)
    steps(network, optimisation, [1e37 if scaled else 1.0, 1.0])
    optimisation.save(tmp_path / "state.pt")
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    steps(network, optimisation, [2.0])
    again, restarted = new(scaled)
    again.load_state_dict(weights)
    restarted.load(tmp_path / "state.pt")
    steps(again, restarted, [2.0])
    assert np.array_equal(again.weight.detach(), network.weight.detach())


def test_a_state_of_an_earlier_version_is_taken_up_alike(tmp_path):
    network, optimisation = new(False)
    steps(network, optimisation, [1.0, 2.0])
    torch.save(optimisation.state(), tmp_path / "earlier.pt")
    optimisation.save(tmp_path / "state.pt")
    _, earlier = new(False)
    _, later = new(False)
    earlier.load(tmp_path / "earlier.pt")
    later.load(tmp_path / "state.pt")
    kept, found = earlier.state()["optimiser"], later.state()["optimiser"]
    assert found["param_groups"] == kept["param_groups"]
    assert found["state"].keys() == kept["state"].keys()
    for number, moments in kept["state"].items():
        assert found["state"][number].keys() == moments.keys()
        assert all(torch.equal(found["state"][number][kind], value) for kind, value in moments.items())


def test_an_optimiser_that_made_no_step_is_kept_too(tmp_path):
    _, optimisation = new(False)
    optimisation.save(tmp_path / "state.pt")
    optimisation.load(tmp_path / "state.pt")
    assert optimisation.state()["optimiser"]["state"] == {}


def test_moments_that_do_not_fill_their_shapes_are_no_state(tmp_path):
    network, optimisation = new(False)
    steps(network, optimisation, [1.0])
    state = optimisation.state()
    joined = join_moments(state["optimiser"])
    joined["joined"]["exp_avg"] = joined["joined"]["exp_avg"][:-1]
    torch.save({**state, "optimiser": joined}, tmp_path / "state.pt")
    with pytest.raises(UpdateError, match="is not a training state"):
        optimisation.load(tmp_path / "state.pt")


def test_the_learning_rate_follows_the_share_of_the_job_that_is_done():
    settings = TrainingSettings(learning_rate=1.0, warmup_share=0.1)
    rates = [learning_rate_at(settings, share / 100) for share in range(101)]
    assert rates[0] < 0.1
    assert max(rates) > 0.9
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-6)
