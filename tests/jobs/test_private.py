"""Jobs with differential privacy: what goes together, and the noise that an epsilon asks for."""

import pytest

from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.jobs.build import build_job, read_variables
from fedbrats.jobs.plan import check_settings


def test_an_epsilon_becomes_the_noise_of_the_built_job(tmp_path):
    job = build_job("fine_tuned_dp", tmp_path, {"dp_epsilon": 8.0, "num_rounds": 5, "dp_rate": 1.0})
    found = read_variables(job)
    assert found["dp_epsilon"] is None
    assert 1.5 < found["dp_noise"] < 4.0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"dp_noise": -1.0}, "dp_noise is -1.0, expected a number above 0"),
        ({"dp_noise": 0}, "dp_noise is 0, expected a number above 0"),
        ({"dp_clip": 0}, "dp_clip is 0"),
        ({"dp_rate": 1.5}, "dp_rate is 1.5"),
        ({"dp_delta": 0}, "dp_delta is 0"),
        ({"dp_epsilon": 0}, "dp_epsilon is 0"),
        ({"validate_trained": True}, "validate_trained is True in a job with differential privacy, expected False"),
        ({"compression": "int8"}, "compression is int8 in a job with differential privacy"),
        ({"personal_rounds": 2}, "personal_rounds is 2 in a job with differential privacy"),
        ({"measure_minus_model": True}, "measure_minus_model is True"),
        ({"local_epochs": 1}, "local_epochs is 1"),
        ({"trainable": "none"}, "trainable is 'none', so that nothing would be trained"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        check_settings("fedavg_dp", settings)


def test_training_in_one_place_keeps_no_account(tmp_path, phantom_sites, capsys):
    assert main(["train", str(phantom_sites), "--like", "fedavg_dp", "--out", str(tmp_path)]) == 1
    assert "run it in a federation" in capsys.readouterr().err
