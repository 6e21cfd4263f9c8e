"""A plan is a pure function of fingerprints: what it chooses, and what it warns of."""

import json

import pytest

from fedbrats.data.fingerprint import MOST_BYTES, Fingerprint, read_fingerprint
from fedbrats.data.prepare.settings import CacheSettings
from fedbrats.errors import ConfigurationError
from fedbrats.jobs.build import find_job, job_variables
from fedbrats.jobs.proposal import misfits, propose
from tests.security.attacks import attack

BRAIN_MM = [140.0, 180.0, 150.0]


def site(spacing=1.0, cases=20, gpu_gb=None, **others) -> Fingerprint:
    known = {"cases": cases, "spacing_mm": [float(spacing)] * 3, "brain_mm": BRAIN_MM, "cores": 8, "memory_gb": 32.0}
    return Fingerprint(**{**known, "gpu_gb": gpu_gb, **others})


def chosen(*sites, **given):
    return {choice.name: choice.value for choice in propose(sites, given)}


@pytest.mark.parametrize(
    ("sites", "voxel", "network", "patch"),
    [
        ([site(1)], 2.0, "fast", [48, 64, 48]),  # without a GPU: what the defaults are
        ([site(2)], 2.0, "fast", [48, 64, 48]),
        ([site(4)], 4.0, "fast", [32, 32, 32]),
        ([site(1, gpu_gb=24.0)], 1.0, "large", [128, 128, 128]),
        ([site(2, gpu_gb=24.0)], 2.0, "fast", [48, 64, 48]),
        ([site(1, gpu_gb=24.0), site(1, gpu_gb=8.0)], 2.0, "fast", [48, 64, 48]),  # one plan for all
        ([site(1, gpu_gb=24.0), site(2, cases=5, gpu_gb=24.0)], 1.0, "large", [128, 128, 128]),
        ([site(1, cases=5), site(2), site(2)], 2.0, "fast", [48, 64, 48]),
        ([site(1, cases=50), site(4, cases=5)], 2.0, "fast", [48, 64, 48]),  # a few coarse scans do not decide
    ],
)
def test_one_plan_fits_all_sites(sites, voxel, network, patch):
    found = chosen(*sites)
    assert (found["spacing_mm"], found["network"], found["patch_size"]) == (voxel, network, patch)
    assert found["deep_supervision"] == (network == "large")
    assert misfits(found, [each.spacing_mm for each in sites if min(each.spacing_mm) <= voxel]) == []


@pytest.mark.parametrize(
    "sites",
    [
        [site(2), site(2)],
        [site(1, cases=2), site(1, cases=1)],
        [site(2, cases=16), site(2, cases=15), site(1, cases=2)],
    ],
    ids=["2 mm", "1 mm", "mixed"],
)
def test_without_a_gpu_a_plan_is_the_defaults(sites):
    """So the scores of a job with such a plan are those of the job without it."""
    defaults = job_variables(find_job("fedavg"), {})
    found = chosen(*sites)
    voxel_mm = found.pop("spacing_mm")
    assert {name: defaults[name] for name in found} == found
    for each in sites:  # the default null decides by each scan, and comes to the same size
        assert (CacheSettings(spacing_mm=defaults["spacing_mm"]).voxel_mm(each.spacing_mm) or min(each.spacing_mm)) == (
            voxel_mm
        )


def test_what_is_given_stays_and_the_rest_goes_with_it():
    found = chosen(site(1), spacing_mm=1)
    assert "spacing_mm" not in found
    assert found["patch_size"] == [96, 128, 96]  # the same part of a head
    assert chosen(site(1), network="large", spacing_mm=1.0)["patch_size"] == [128, 128, 128]
    with pytest.raises(ConfigurationError, match="volume_shape"):
        propose([site()], {"volume_shape": [64, 64, 64]})
    with pytest.raises(ConfigurationError, match="one site at least"):
        propose([], {})


@attack(
    "have the lead's `fedbrats plan` end in a traceback, or plan for a head of a kilometre, by a fingerprint",
    who="a hospital",
    happens="one sentence: the file, the number, and what it may be",
    says="site-1.json: brain_mm is [1e+308, 1e+308, 1e+308], expected three numbers from 0 to 1000",
)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        *(({"spacing_mm": [edge] * 3}, f"is [{edge}, {edge}, {edge}], expected three numbers from 0.01 to 100")
          for edge in (0.0, -1.0, 1e308, 1e-300)),
        *(({"brain_mm": [side] * 3}, f"is [{side}, {side}, {side}], expected three numbers from 0 to 1000")
          for side in (-5.0, 1e308)),
        ({"spacing_mm": [1.0] * 4}, "three numbers"),
        ({"gflops": float("nan")}, "gflops is NaN"),
        ({"cases": 10**400}, "cases is"),
    ],
)  # fmt: skip
def test_a_fingerprint_with_numbers_that_no_site_has_is_refused(tmp_path, changes, sentence):
    path = tmp_path / "site-1.json"
    path.write_text(json.dumps({**site().model_dump(), **changes}))
    with pytest.raises(ConfigurationError) as refused:
        read_fingerprint(path)
    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_of_any_size_is_no_fingerprint(tmp_path):
    path = tmp_path / "large.json"
    path.write_bytes(b" " * (MOST_BYTES + 1))
    assert read_fingerprint(path) is None


def test_the_order_of_sites_changes_nothing():
    sites = [site(1, cases=10), site(2, cases=10), site(1.5, cases=7)]
    assert chosen(*sites) == chosen(*sites[::-1])


@pytest.mark.parametrize(
    ("values", "spacings", "said"),
    [
        ({"spacing_mm": 1.0, "patch_size": [48, 64, 48]}, [[1.0] * 3], None),
        ({"spacing_mm": 1.0, "patch_size": [48, 48, 48]}, [], "48 x 48 x 48 mm of a head"),
        ({"spacing_mm": 1.0, "patch_size": [96, 128, 96]}, [[2.0] * 3], "finer voxels cost more"),
        ({"spacing_mm": None, "patch_size": [48, 64, 48]}, [[1.0] * 3, [2.0] * 3], None),
        ({"spacing_mm": None, "patch_size": [48, 64, 48]}, [[1.0] * 3, [4.0] * 3], "different voxel sizes, 2 and 4 mm"),
        ({"spacing_mm": 1.0, "patch_size": None}, [[1.0] * 3], None),
        ({"volume_shape": [64, 64, 64], "patch_size": [8, 8, 8]}, [[1.0] * 3], None),
    ],
)
def test_what_does_not_fit_is_said(values, spacings, said):
    found = misfits(values, spacings)
    assert found == [] if said is None else said in " ".join(found)


def test_what_leaves_a_site_is_rounded():
    found = site(0.98, cases=43, validation=9, gflops=123.456).rounded()
    assert (found.cases, found.validation, found.spacing_mm, found.gflops) == (40, 5, [1.0] * 3, 120.0)
