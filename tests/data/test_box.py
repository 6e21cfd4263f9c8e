"""The box around what a volume shows."""

import numpy as np

from fedbrats.data.box import box_of


def test_the_box_holds_all_that_is_true_and_stays_in_the_volume():
    shown = np.zeros((6, 7, 8), bool)
    shown[2, 0, 3:5] = shown[3, 6, 4] = True
    assert box_of(shown) == (slice(2, 4), slice(0, 7), slice(3, 5))
    assert box_of(shown, margin=(1, 1, 9)) == (slice(1, 5), slice(0, 7), slice(0, 8))


def test_where_nothing_is_true_the_box_is_the_whole_volume():
    assert box_of(np.zeros((2, 3, 4), bool), margin=(1, 1, 1)) == (slice(0, 2), slice(0, 3), slice(0, 4))
