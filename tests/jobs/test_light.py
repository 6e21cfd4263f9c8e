"""A shipped job is checked and built without PyTorch and FLARE, which take seconds to import."""

import subprocess
import sys

import numpy as np
import pytest

from fedbrats.jobs.start import AUTO, read_start
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.presets import PRESETS, WHOLE_SETS

PROGRAM = """
import sys
from pathlib import Path
from fedbrats.jobs.build import build_job
from fedbrats.jobs.plan import check_settings
settings = {"num_rounds": 2, "personal": "head", "local_steps": 3}
check_settings("fedper", settings)
build_job("fedper", Path(sys.argv[1]), settings)
assert not {"torch", "monai", "nvflare.private"} & set(sys.modules)
"""


def test_a_job_is_checked_and_built_without_pytorch(tmp_path):
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_network_has_what_is_not_looked_for_in_it(preset):
    network = SegmentationNetwork(preset)
    for words in WHOLE_SETS:
        network.personal_names(words)
    start = read_start(AUTO, {"preset": preset, "seed": 0})
    if start is not None:
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        assert {name: np.shape(value) for name, value in start.items()} == shapes
