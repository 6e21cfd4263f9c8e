"""What another version of the package made is told by its classes, and refused with what to do."""

import shutil
from types import SimpleNamespace

import pytest

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.doctor import kit_rules
from fedbrats.admin.run.remote import submit
from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit import policy
from fedbrats.flare.kit.versions import check_job_version, find_missing, has_class
from fedbrats.jobs.build import list_jobs

OLD = {
    "fedbrats.flare.server.workflow.QuorumScatterAndGather": "fedbrats.flare.controller.PatientScatterAndGather",
    "fedbrats.flare.site.executor.SegmentationExecutor": "fedbrats.flare.executor.SegmentationExecutor",
    "fedbrats.flare.kit.job_rules.NoPaths": "fedbrats.flare.job_rules.NoPaths",
    "fedbrats.flare.kit.site_gate.SiteGate": "fedbrats.flare.site_gate.SiteGate",
}


def age(path):
    """Write the names of classes as an earlier version did."""
    text = path.read_text()
    for new, old in OLD.items():
        text = text.replace(new, old)
    path.write_text(text)


def test_this_version_has_every_class_that_jobs_and_kits_name():
    assert find_missing([value for name, value in vars(policy).items() if name.isupper()]) == []
    ours = [name for name in policy.ALLOWED_CLASSES if name.startswith("fedbrats.")]
    assert len(ours) > 10
    assert all(has_class(name) for name in ours)


@pytest.mark.parametrize("name", [job.name for job in list_jobs()])
def test_a_job_of_this_version_is_submitted(name, build_any_job):
    check_job_version(build_any_job(name))


@pytest.mark.parametrize("name", ["fedavg", "evaluate"])
def test_a_job_of_an_earlier_version_is_refused_before_anybody_sees_it(name, build_any_job, tmp_path):
    job_dir = shutil.copytree(build_any_job(name), tmp_path / name)
    for path in (job_dir / "app" / "config").glob("*.json"):
        path.write_text(path.read_text().replace("fedbrats.flare.site.", "fedbrats.flare."))
    with pytest.raises(ConfigurationError, match=r"another version made it; build it again .* `fedbrats job build`"):
        submit(SimpleNamespace(), job_dir)


@pytest.mark.parametrize("name", ["fedbrats.no.such.Class", "fedbrats.flare.server.workflow.Other", *OLD.values()])
def test_a_class_that_is_not_there_is_found_at_any_depth(name):
    assert find_missing({"a": [{"b": name}], "c": "text", "d": "fedbrats.json", "e": "other.Class"}) == [name]


@pytest.mark.parametrize("name", ["fedbrats.../../etc.Passwd", "fedbrats", "fedbrats.version", "nvflare.Class", ""])
def test_what_is_no_class_of_ours_is_nothing_to_it(name):
    assert find_missing([name]) == []


@pytest.mark.parametrize("kind", ["client", "server"])
def test_the_doctor_says_of_an_older_kit_that_it_must_be_built_again(kits, tmp_path, kind):
    found = next(path for path in sorted(kits.iterdir()) if (path / "startup" / f"fed_{kind}.json").exists())
    copy = shutil.copytree(found, tmp_path / found.name)
    assert "kit version" not in {finding.check for finding in kit_rules.check(open_kit(copy))}
    for path in (copy / "local").glob("*.json*"):
        age(path)
    (finding,) = [each for each in kit_rules.check(open_kit(copy)) if each.check == "kit version"]
    assert finding.state == "failed"
    assert "fedbrats.flare.job_rules.NoPaths" in finding.found
    assert "built again with this version" in finding.remedy
