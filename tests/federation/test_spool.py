"""Updates are the same bits wherever they wait."""

from __future__ import annotations

import os

import numpy as np
import psutil
from hypothesis import given

from fedbrats.federation.spool import Spool
from fedbrats.federation.updates import Update, weighted_mean
from tests.federation.strategies import updates


def test_what_does_not_fit_lies_on_the_disk_in_a_file_without_a_name(tmp_path):
    update = {"w": np.arange(1000, dtype=np.float32).reshape(10, 100), "b": np.array(3.5), "none": np.zeros((0, 3))}
    spool = Spool(tmp_path, memory_bytes=6000)
    first, second = spool.keep(update), spool.keep(update)
    assert first["w"] is update["w"]
    assert isinstance(second["w"].base, np.memmap) or isinstance(second["w"], np.memmap)
    assert not second["w"].flags.writeable
    for name, value in update.items():
        assert np.array_equal(second[name], value)
        assert (second[name].dtype, second[name].shape) == (value.dtype, value.shape)
    assert os.listdir(tmp_path) == []
    open_files = psutil.Process().num_fds()
    spool.clear()
    assert spool.keep(update)["w"] is update["w"]
    for _ in range(5):
        spool.keep(update)
    assert psutil.Process().num_fds() <= open_files + 1


@given(updates(np.float32), updates(np.float32))
def test_a_mean_of_mapped_updates_is_the_same_bits(a: Update, b: Update) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), memory_bytes=0)
        mapped = weighted_mean([spool.keep(a), spool.keep(b)], [1.0, 2.0])
    mean = weighted_mean([a, b], [1.0, 2.0])
    assert all(mapped[name].tobytes() == mean[name].tobytes() for name in mean)
