"""The weights of phantoms that ship with the package: in every job that they fit, and those of their card."""

import hashlib
import json

import numpy as np
import pytest

from fedbrats.array_files import read_safetensors
from fedbrats.errors import ConfigurationError, DataError
from fedbrats.jobs.build import build_job, read_variables
from fedbrats.jobs.plan import check_built, check_settings
from fedbrats.jobs.start import START_FILE, shipped_start, unpack_start
from fedbrats.model.network import SegmentationNetwork


def weights_of(seed, preset):
    return {name: value.numpy() for name, value in SegmentationNetwork(preset, seed).state_dict().items()}


@pytest.mark.parametrize("changes", [{}, {"start": "phantoms"}])
def test_a_job_begins_with_the_weights_of_phantoms_where_there_are_some(tmp_path, changes):
    job = build_job("fedavg", tmp_path / "jobs", changes)
    assert read_variables(job)["start"] == "given"
    folder, sha256 = job / "app" / "models", read_variables(job)["start_sha256"]
    packed = unpack_start(folder, weights_of(0, "fast"), sha256)
    expected, _ = read_safetensors(shipped_start("fast"))
    assert all(np.array_equal(packed[name], value) for name, value in expected.items())
    assert (folder / START_FILE).stat().st_size < 3e6
    check_built(job)
    other = "0" * 64
    with pytest.raises(DataError, match="its checksum is not the one that the job says"):
        unpack_start(folder, weights_of(0, "fast"), other)


def test_a_network_without_weights_of_phantoms_is_told_what_to_do():
    with pytest.raises(ConfigurationError, match="no such weights for the network tiny, only for fast; set start=none"):
        check_settings("fedavg", {"network": "tiny", "start": "phantoms"})


def test_the_weights_that_ship_are_those_of_their_card():
    path = shipped_start("fast")
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    weights, metadata = read_safetensors(path)
    about = json.loads(metadata["fedbrats"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert f"--steps {about['steps']} --seed {about['seed']}" in card
    assert about["network"] == "fast"
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float16)}
    assert path.stat().st_size < 3e6
