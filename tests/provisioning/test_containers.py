"""What can be said of containers without an engine: the Dockerfile's claims, and FLARE's preparation of a kit."""

import re
import shutil

import pytest

from fedbrats.flare.doctor import policy
from fedbrats.flare.kits import open_kit
from fedbrats.house import house_dir
from tests.end_to_end.own_key import nvflare

DOCKERFILE = house_dir() / "provisioning" / "Dockerfile"


def instructions():
    return re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE.read_text(), re.MULTILINE)


def test_the_image_is_pinned_and_runs_without_root():
    named = instructions()
    assert next(value for name, value in named if name == "USER") == "fedbrats"
    assert [name for name, _ in named].index("USER") < [name for name, _ in named].index("CMD")
    installs = [value for name, value in named if name == "RUN" and "pip install" in value]
    assert installs
    assert all("--constraint constraints.txt" in value for value in installs)


def test_what_the_image_copies_is_there():
    for name, value in instructions():
        if name == "COPY":
            for source in value.split()[:-1]:
                assert (house_dir() / source).exists(), source


@pytest.mark.parametrize("name", ["hospital-north", "fl.brain-consortium.example"])
def test_flares_docker_form_of_a_kit_keeps_the_policy(kits, tmp_path, name):
    kit = shutil.copytree(kits / name, tmp_path / name)
    (tmp_path / "docker.yaml").write_text("runtime: docker\nparent:\n  docker_image: fedbrats\n")
    nvflare("deploy", "prepare", kit, "--config", "docker.yaml", "--output", tmp_path / "prepared", cwd=tmp_path)
    findings = list(policy.check(open_kit(tmp_path / "prepared")))
    assert {finding.state for finding in findings} == {"ok"}
