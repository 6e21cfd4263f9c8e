"""Between grids: averages over blocks going coarser, a constant stays constant whatever the step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbrats.data.prepare.resampling import grid_matrix, resample


def test_twice_as_coarse_is_the_mean_over_blocks():
    volume = np.random.default_rng(0).normal(size=(2, 6, 4, 8)).astype(np.float32)
    matrices = [grid_matrix(2.0, (0, n), (0, n // 2)) for n in volume.shape[1:]]
    blocks = volume.reshape(2, 3, 2, 2, 2, 4, 2).mean(axis=(2, 4, 6))
    np.testing.assert_allclose(resample(volume, matrices), blocks, atol=1e-6)


def test_an_odd_last_block_is_the_mean_of_what_there_is():
    np.testing.assert_allclose(grid_matrix(2.0, (0, 3), (0, 2)).toarray(), [[0.5, 0.5, 0], [0, 0, 1]])


@settings(max_examples=60, deadline=None)
@given(step=st.floats(0.2, 5), inputs=st.integers(2, 40))
def test_a_constant_stays_constant(step, inputs):
    outputs = max(1, int(np.ceil(inputs / step)))
    sums = grid_matrix(step, (0, inputs), (0, outputs)).toarray().sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


@pytest.mark.parametrize("step", [0.5, 0.7])
def test_finer_follows_a_ramp(step):
    outputs = int(20 / step)
    ramp = grid_matrix(step, (0, 20), (0, outputs)) @ np.arange(20.0)
    centres = (np.arange(outputs) + 0.5) * step - 0.5
    inside = (centres > 0) & (centres < 19)
    np.testing.assert_allclose(ramp[inside], centres[inside], atol=1e-5)
