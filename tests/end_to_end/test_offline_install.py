"""A hospital without internet: fetched elsewhere, installed in a namespace that has no network."""

import json
import shutil
import subprocess

import pytest

from fedbrats.cli.main import main
from fedbrats.shipped import shipped_dir
from tests.end_to_end import runbook
from tests.end_to_end.consortium import NORTH
from tests.end_to_end.versions import ALONE


@pytest.mark.long
def test_a_hospital_without_internet_installs_by_the_runbook(kits, tmp_path):
    """Everything that the package needs is fetched here; the rest is done where there is no network."""
    if subprocess.run([*ALONE, "true"]).returncode:
        pytest.skip("this machine allows no namespaces")
    wheel = runbook.wheel_of(shipped_dir(), tmp_path / "dist")
    if main(["provision", "wheelhouse", str(tmp_path / "wheelhouse"), "--wheel", str(wheel)]):
        pytest.skip("no package index can be reached")
    kit = shutil.copytree(kits / NORTH, tmp_path / NORTH)
    shutil.copy(tmp_path / "wheelhouse" / "requirements.txt", kit / "local")
    make_venv = runbook.block("Hospital IT")[0]
    install = runbook.inline("venv/bin/pip install --no-index").replace("/media/wheelhouse", f"{tmp_path}/wheelhouse")
    script = f"{make_venv} && {install} && venv/bin/fedbrats doctor . --offline --json"
    alone = [*ALONE, "bash", "-c", script]
    done = subprocess.run(alone, cwd=kit, capture_output=True, text=True)
    findings = {each["check"]: each for each in json.loads(done.stdout[done.stdout.index("{") :])["findings"]}
    assert findings["installed packages"]["state"] == "ok"
