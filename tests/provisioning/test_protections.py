"""What protects a participant is in every kit that is built, and the doctor misses it where it is gone."""

import json
import shutil

import pytest
import yaml

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.doctor import protections
from fedbrats.admin.provision.consortium import build_kits
from fedbrats.errors import ConfigurationError
from fedbrats.shipped import shipped_dir

SERVER, SITE = "fl.brain-consortium.example", "hospital-north"


@pytest.fixture(params=[SERVER, SITE])
def kit(request, kits, tmp_path):
    return shutil.copytree(kits / request.param, tmp_path / request.param)


def states(kit):
    return {finding.check: finding.state for finding in protections.check(open_kit(kit))}


def test_a_fresh_kit_lacks_nothing(kit):
    assert set(states(kit).values()) == {"ok"}


def without(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def without_component(name):
    def change(document):
        document["components"] = [entry for entry in document["components"] if entry["id"] != name]

    return lambda kit: without(kit / "local" / "resources.json.default", change)


def without_validator(kit):
    without(kit / "local" / "resources.json.default", lambda document: document.pop("app_validator"))


def with_flares_start(kit):
    (kit / "startup" / "sub_start.sh").write_text("#!/usr/bin/env bash\n")


@pytest.mark.parametrize(
    ("harm", "check"),
    [
        (without_component("submitter"), "signatures"),
        (without_validator, "signatures"),
        (with_flares_start, "environment"),
    ],
)
def test_what_is_gone_is_missed(kit, harm, check):
    harm(kit)
    (finding,) = [each for each in protections.check(open_kit(kit)) if each.check == check]
    assert finding.state == "failed"
    assert finding.remedy


def test_what_others_can_read_and_what_has_no_limit_is_told(kits, tmp_path):
    kit = shutil.copytree(kits / SITE, tmp_path / SITE)
    kit.chmod(0o755)
    (kit / "local" / "environment").write_text("SECRET_TOKEN\n")
    without(kit / "local" / "fedbrats.json", lambda document: document.pop("max_hours"))
    found = {finding.check: finding for finding in protections.check(open_kit(kit))}
    assert {name for name, finding in found.items() if finding.state == "warning"} == {
        "other users",
        "environment",
        "limits",
    }
    assert "chmod 700" in found["other users"].remedy
    assert "SECRET_TOKEN" in found["environment"].found
    assert "max_hours" in found["limits"].found


def test_a_certificate_of_an_earlier_version_is_told_how_to_be_renewed(kits, tmp_path):
    """Built by FLARE's own CertBuilder, as kits of earlier versions were."""
    project = yaml.safe_load((shipped_dir() / "provisioning" / "project.yml").read_text())
    for builder in project["builders"]:
        if builder["path"].endswith("UsageCertBuilder"):
            builder["path"] = "nvflare.lighter.impl.cert.CertBuilder"
    old = build_kits(project, tmp_path)
    (finding,) = protections.check_usages(open_kit(old / SITE))
    assert finding.state == "warning"
    assert f"fedbrats provision renew {SITE}" in finding.remedy
    assert [finding.state for finding in protections.check_usages(open_kit(kits / SITE))] == ["ok"]


def test_a_project_without_our_builder_builds_nothing(tmp_path):
    project = yaml.safe_load((shipped_dir() / "provisioning" / "project.yml").read_text())
    project["builders"] = [each for each in project["builders"] if "FedbratsBuilder" not in each["path"]]
    with pytest.raises(ConfigurationError, match=r"would lack .*messages, .*signatures, environment; take"):
        build_kits(project, tmp_path)
    assert not list(tmp_path.rglob("startup"))


def test_pads_that_a_hospital_demands_need_its_certificate(kits, tmp_path):
    kit = shutil.copytree(kits / SITE, tmp_path / SITE)

    def pads():
        return next(each for each in protections.check(open_kit(kit)) if each.check == "pads")

    assert (pads().state, "not demanded" in pads().found) == ("ok", True)
    without(kit / "local" / "fedbrats.json", lambda document: document.update(require_pads=True))
    assert (pads().state, pads().found[:8]) == ("ok", "demanded")
    (kit / "startup" / "client.key").write_text("none")
    assert pads().state == "failed"
    assert "the key or the root certificate" in pads().found
