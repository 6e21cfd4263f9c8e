"""A job ends with the mean of its last rounds, pulled back towards its start, also after a crash of the server."""

import numpy as np

from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.model.network import SegmentationNetwork
from tests.flare.server import Server, gated


def final_of(folder, job, rounds=3, kill_at=None, **controller):
    server = Server(folder, job, aggregator=gated(WeightedFedAvg), rounds=rounds, **controller)
    return server.run(kill_at).weights


def test_a_job_ends_with_the_mean_of_its_last_rounds_and_part_of_its_start(tmp_path):
    plain = [final_of(tmp_path / str(rounds), "plain", rounds) for rounds in (1, 2, 3)]
    start = {name: value.numpy() for name, value in SegmentationNetwork("tiny").state_dict().items()}
    mean = final_of(tmp_path / "mean", "mean", averaged_rounds=2)
    both = final_of(tmp_path / "both", "both", averaged_rounds=2, pull_back=0.25)
    fitted = final_of(tmp_path / "fitted", "fitted", averaged_rounds=2, personal_rounds=1)
    for name, value in start.items():
        middle = (plain[1][name].astype(np.float64) + plain[2][name]) / 2
        np.testing.assert_allclose(mean[name], middle, atol=1e-6)
        np.testing.assert_allclose(both[name], 0.75 * middle + 0.25 * value, atol=1e-6)
        assert fitted[name].shape == value.shape


def test_a_server_that_is_killed_ends_with_the_same_model(tmp_path):
    settings = {"averaged_rounds": 2, "pull_back": 0.25}
    one, two = (f"{number:08x}-0000-4000-8000-000000000000" for number in (1, 2))
    steady = final_of(tmp_path / "steady", one, **settings)
    final_of(tmp_path / "killed", one, kill_at=("_before_aggregation", 2), **settings)
    again = final_of(tmp_path / "killed", two, resume=[one], **settings)
    assert all(np.array_equal(steady[name], again[name]) for name in steady)
