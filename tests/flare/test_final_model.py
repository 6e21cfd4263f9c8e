"""The final model by hand: the mean of the last rounds, and part of the way back to the start."""

import numpy as np
import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.federation.averaging import Averaging
from fedbrats.flare.server.state.last_rounds import LastRounds


def model(value):
    return {"w": np.full(2, value, np.float32)}


def play(last, settings, start=0.0, restart=False):
    """What comes of rounds whose models are 1, 2, 3, ...; by round."""
    rounds = LastRounds(settings, last)
    rounds.begin(model(start))
    found = {}
    for number in range(last + 3):
        if restart:
            kept, rounds = rounds.as_stored(), LastRounds(settings, last)
            rounds.take(kept)
        final = rounds.after_round(number, model(number + 1.0))
        if final is not None:
            assert final["w"].dtype == np.float32
            found[number] = float(final["w"][0])
    return found


@pytest.mark.parametrize("restart", [False, True])
def test_the_final_model_by_hand(restart):
    assert play(4, Averaging(), restart=restart) == {}
    assert play(4, Averaging(averaged_rounds=3), restart=restart) == {4: 4.0}
    assert play(4, Averaging(pull_back=0.2), start=10.0, restart=restart) == pytest.approx({4: 0.8 * 5 + 0.2 * 10})
    both = Averaging(averaged_rounds=2, pull_back=0.5)
    assert play(4, both, restart=restart) == pytest.approx({4: 2.25})


def test_a_job_with_fewer_rounds_than_are_averaged_takes_what_there_is():
    assert play(1, Averaging(averaged_rounds=9)) == {1: 1.5}


def test_nothing_is_shared_and_nothing_happens():
    assert play(-1, Averaging(averaged_rounds=2, pull_back=0.5)) == {}


def test_a_start_that_nobody_has_kept_is_said():
    rounds = LastRounds(Averaging(pull_back=0.2), 0)
    with pytest.raises(ConfigurationError, match="has kept no first weights"):
        rounds.after_round(0, model(1.0))
