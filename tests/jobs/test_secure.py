"""Jobs with secure aggregation: what pads cannot do is refused in one sentence, at submission and at a site."""

import pytest

from fedbrats.admin.run.remote import submit
from fedbrats.admin.run.simulator import simulate_job
from fedbrats.errors import ConfigurationError
from fedbrats.jobs.build import build_job, check_deployed
from fedbrats.jobs.plan import check_settings

PADS = {"secure": "pads"}
NAMED = {**PADS, "secure_sites": ["north", "south", "west"]}


@pytest.mark.parametrize(
    "job", ["fedavg", "fedprox", "fedper", "fedper_decoder", "fedbn", "fedrep", "fine_tuned", "contribution", "ditto"]
)
def test_jobs_whose_update_is_a_sum_take_pads(job, tmp_path):
    check_settings(job, PADS)
    built = build_job(job, tmp_path, {**NAMED, "start": "none"})
    check_deployed(built / "app" / "config")


@pytest.mark.parametrize(
    ("job", "changes", "sentence"),
    [
        ("median", {}, "secure=pads hides single updates, and CoordinateMedian needs them; take a job like fedavg"),
        ("trimmed_mean", {}, "TrimmedMean needs them"),
        ("geometric_median", {}, "GeometricMedian needs them"),
        ("multi_krum", {}, "MultiKrum needs them"),
        ("fedce", {}, "FedCE needs them"),
        ("scaffold", {}, "Scaffold needs them"),
        ("fedavg", {"compression": "float16"}, "compression is float16 in a job with secure=pads, expected none"),
        ("fedavg", {"compression": "int8"}, "compression is int8"),
        ("fedavg", {"measure_minus_model": True}, "a model without one site's share needs that site's update"),
        ("fedavg", {"hooks": {"fedbrats.methods.scaffold.ScaffoldSite": {}}}, "ScaffoldSite may say more"),
        ("local_only", {}, "nothing is shared"),
        ("fedavg", {"secure_sites": ["north", "south"]}, "needs 3 sites, and there are 2: a sum of two tells each the"),
        ("fedavg", {"secure_sites": ["north"] * 3}, "needs 3 sites, and there are 1"),
    ],
)
def test_what_pads_cannot_do_is_refused_at_submission_and_at_the_site(job, changes, sentence, tmp_path):
    with pytest.raises(ConfigurationError, match=sentence):
        check_settings(job, {**NAMED, **changes})
    built = build_job(job, tmp_path, {"start": "none", **NAMED, **changes})  # by who did not check
    with pytest.raises(ConfigurationError, match=sentence):
        check_deployed(built / "app" / "config")


def test_a_job_that_does_not_say_among_which_sites_is_refused_before_anybody_logs_in(tmp_path):
    built = build_job("fedavg", tmp_path, {**PADS, "start": "none"})
    for refuse in (lambda: submit(None, built), lambda: check_deployed(built / "app" / "config")):
        with pytest.raises(ConfigurationError, match="secure=pads needs the names of all sites of the job"):
            refuse()


def test_the_simulator_whose_sites_have_no_certificates_refuses_pads(tmp_path):
    built = build_job("fedavg", tmp_path, {**NAMED, "start": "none"})
    with pytest.raises(ConfigurationError, match="simulated sites have none; use `fedbrats poc run`"):
        simulate_job(built, tmp_path / "sites", tmp_path / "results", cache_dir=tmp_path / "cache")
