"""The method keeps its promises, and does what its paper says."""

import numpy as np
from my_method import MyMethod

from fedbrats.extensions.trial import try_method
from fedbrats.federation.gates import Contribution


def test_a_restart_after_every_round_changes_no_bit():
    try_method(MyMethod)


def test_a_second_equal_update_comes_with_a_share_of_the_first():
    method, update = MyMethod(momentum=0.5), {"w": np.ones(3, np.float32)}
    first, second = (
        method.combine([Contribution("a", round_number=n, cases=4, steps=1, update=update)], n).update["w"]
        for n in range(2)
    )
    np.testing.assert_allclose(first, 1.0)
    np.testing.assert_allclose(second, 1.5)
