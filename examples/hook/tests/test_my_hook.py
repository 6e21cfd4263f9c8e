"""The hook keeps its promises, and loses nothing of an update."""

import numpy as np
from my_hook import MyHook, MyHookMean

from fedbrats.extensions.trial import try_method


def test_a_restart_after_every_round_changes_no_bit():
    try_method(MyHookMean, hooks=[MyHook])


def test_what_does_not_travel_waits():
    hook, update = MyHook(share=0.25), {"w": np.array([4.0, 3.0, 2.0, 1.0], np.float32)}
    np.testing.assert_array_equal(hook.change_update(update)["w"], [4, 0, 0, 0])
    np.testing.assert_array_equal(hook.change_update({"w": np.zeros(4, np.float32)})["w"], [0, 3, 0, 0])
