"""A hospital that makes its own key: the steps of the runbook, each side in its own folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from fedbrats.admin.kits import fingerprint, open_kit
from fedbrats.admin.provision.consortium import export_authority
from fedbrats.admin.run.processes import participant_environment
from fedbrats.shipped import shipped_dir
from tests.end_to_end.consortium import ADMIN, Consortium

NVFLARE = str(Path(sys.executable).parent / "nvflare")
SITE = "hospital-new"


def make_own_key_kit(consortium: Consortium, folder: Path) -> Path:
    """Request, approve and package; returns the hospital's kit, which finds the server on loopback."""
    authority, hospital = folder / "authority", folder / "hospital"
    export_authority(consortium.project, consortium.folder / "provisioned", authority)
    hospital.mkdir()
    form = yaml.safe_load((shipped_dir() / "provisioning" / "own_key.yml").read_text())
    form["participants"][0]["fedbrats"]["cache_dir"] = "cache"
    (hospital / "own_key.yml").write_text(yaml.safe_dump(form))
    nvflare("cert", "request", "-p", "own_key.yml", cwd=hospital)
    request, signed = hospital / SITE / f"{SITE}.request.zip", hospital / f"{SITE}.signed.zip"
    profile = authority / "project_profile.yaml"
    nvflare("cert", "approve", request, "-c", authority, "--profile", profile, "--out", signed, cwd=folder)
    root = fingerprint(open_kit(consortium.kit(ADMIN)).root)
    nvflare("package", signed, "--request-dir", SITE, "--fingerprint", root, "-w", "kits", cwd=hospital)
    kit = hospital / "kits" / consortium.project["name"] / "prod_00" / SITE
    _reach_on_loopback(kit / "startup" / "fed_client.json", consortium.port)
    return kit


def nvflare(*words: object, cwd: Path) -> None:
    home = cwd / "home"  # nvflare keeps a record of requests in the home folder
    home.mkdir(exist_ok=True)
    environment = {**participant_environment(), "HOME": str(home)}
    done = subprocess.run([NVFLARE, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _reach_on_loopback(config: Path, port: int) -> None:
    document = json.loads(config.read_text())
    document["servers"][0]["service"]["target"] = f"localhost:{port}"
    config.write_text(json.dumps(document))
