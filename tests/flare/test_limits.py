"""What a site allows a job, whatever the job says: hours, voxels and disk."""

import json
import time

import pytest
from nvflare.apis.fl_constant import ReturnCode

from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.site_cases import read_site
from fedbrats.errors import ConfigurationError
from fedbrats.site.job_record import RECORD_FILE, keep_record
from tests.faults.site import Site
from tests.flare.conftest import JOB_ID
from tests.security.attacks import attack


@pytest.fixture
def site(tmp_path, phantom_sites):
    def make(**facts):
        return Site(tmp_path, phantom_sites, facts)

    return make


def test_a_job_that_has_run_for_too_long_is_answered_no_more(site, tmp_path, caplog):
    """Its time counts from its first start here, over restarts."""
    folder = tmp_path / "personal" / JOB_ID / "site-1"
    keep_record(folder, "lead@university.example")
    assert site(max_hours=1).answer().get_return_code() == ReturnCode.OK
    record = json.loads((folder / RECORD_FILE).read_text())
    (folder / RECORD_FILE).write_text(json.dumps({**record, "began": time.time() - 3601}))
    assert site(max_hours=1).answer().get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "site-1 answers this job no more: it has run here for longer than max_hours" in caplog.text
    assert site(max_hours=2).answer().get_return_code() == ReturnCode.OK


@attack(
    "fill a hospital's disk or memory with prepared cases",
    who="a lead",
    happens="refused by the hospital's own limits before a case is prepared",
    says="and this site prepares at most 100 (max_prepared_voxels in its site file)",
)
@pytest.mark.parametrize(
    ("facts", "sentence"),
    [({"max_prepared_voxels": 100}, "prepares at most 100"), ({"cache_gb": 1e-6}, "cache_gb of the site file allows")],
)
def test_what_a_job_would_have_prepared_beyond_the_sites_limits_is_refused(site, caplog, facts, sentence):
    assert site(**facts).answer().get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert sentence in caplog.text


@attack(
    "take a hospital's memory by a window, a patch or a batch of any size",
    who="a lead",
    happens="refused by the hospital before it trains",
    says="inference_window of the job takes 68719476736 voxels at once, and this site prepares at most",
)
@pytest.mark.parametrize(
    "training",
    [{"inference_window": [4096] * 3}, {"patch_size": [4096] * 3}, {"patch_size": [64] * 3, "batch_size": 1024}],
    ids=("window", "patch", "batch"),
)
def test_parts_larger_than_the_sites_cases_are_refused(tmp_path, phantom_sites, caplog, training):
    site = Site(tmp_path, phantom_sites)
    site.executor._training = training
    assert site.answer().get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "voxels at once, and this site prepares at most" in caplog.text
    assert not list(tmp_path.rglob("entry.json"))


def test_a_batch_of_whole_volumes_counts_the_largest_case(tmp_path, phantom_sites, monkeypatch, caplog):
    """Without a patch, a batch of four of the largest cases is the most, where that is all that the site prepares."""
    monkeypatch.setattr("fedbrats.model.training.trainer.Trainer", _build_none)
    voxels = _largest_case(tmp_path, phantom_sites)
    for batch_size, sentence in (
        (4, "a trainer is built"),
        (5, f"whole volumes (patch_size null) of the job takes 5 times {voxels} voxels at once"),
    ):
        caplog.clear()
        site = Site(tmp_path, phantom_sites, {"max_prepared_voxels": voxels})
        site.executor._training = {"patch_size": None, "batch_size": batch_size}
        site.answer()
        assert sentence in caplog.text


def _build_none(*_args, **_options):
    raise ConfigurationError("a trainer is built")


def _largest_case(tmp_path, sites):
    cases = read_site(sites / "site-1", tmp_path / "cache", CacheSettings()).training
    return max(case.image[0].size for case in cases)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_hours", (0, -1, "long", True)),
        ("cache_gb", (0, -1, "much", True)),
        ("max_prepared_voxels", (0, -1, 2**31 + 1, 1.5, "many")),
        ("max_evaluations", (0, -1, 1e9, "many")),
    ],
)
def test_a_limit_that_is_none_is_refused(site, caplog, name, values):
    for value in values:
        caplog.clear()
        assert site(**{name: value}).answer().get_return_code() == ReturnCode.EXECUTION_EXCEPTION
        assert f"{name} is " in caplog.text
        assert ", expected a " in caplog.text
