"""A consortium on loopback for tests: kits from provisioning/project.yml, real processes from their own start.sh."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from fedbrats.admin.provision.consortium import build_kits
from fedbrats.admin.run.processes import (
    find_processes,
    free_port,
    participant_environment,
    stop,
)
from fedbrats.admin.run.remote import submit, wait_for_end
from fedbrats.admin.run.sessions import admin_session
from fedbrats.jobs.build import build_job
from fedbrats.shipped import shipped_dir

SERVER = "fl.brain-consortium.example"
ADMIN, LEAD = "admin@university.example", "lead@university.example"
MEMBER, HOSPITAL_IT = "statistician@university.example", "it@north.example"
NORTH, SOUTH, EAST, WEST, CENTRAL = (f"hospital-{side}" for side in ("north", "south", "east", "west", "central"))
QUICK = {"network": "tiny", "num_rounds": 2, "local_steps": 2}
SETTINGS = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
FEDBRATS = str(Path(sys.executable).parent / "fedbrats")


class Consortium:
    """The consortium of provisioning/project.yml with the server reached on loopback, and phantoms as data."""

    def __init__(self, folder: Path, sites_dir: Path, server_host: str = "localhost", sites: int = 5):
        self.folder = folder
        self.project = yaml.safe_load((shipped_dir() / "provisioning" / "project.yml").read_text())
        clients = [entry for entry in self.project["participants"] if entry["type"] == "client"]
        self.project["participants"] = [entry for entry in self.project["participants"] if entry not in clients[sites:]]
        self.port = free_port()
        site_dirs = iter(sorted(path for path in sites_dir.iterdir() if path.is_dir()))
        for entry in self.project["participants"]:
            if entry["type"] == "server":
                # The name, and so the certificate, stays the real one; hospitals find the host elsewhere.
                entry.update(default_host=server_host, fed_learn_port=self.port, admin_port=self.port)
                entry["fedbrats"] = {"storage_dir": str(folder / "storage")}
            if entry["type"] == "client":
                entry["fedbrats"].update(data_dir=str(next(site_dirs)), cache_dir="cache", threads=1, min_cases=1)
        self.sites = [entry["name"] for entry in self.project["participants"] if entry["type"] == "client"]
        self.kits = build_kits(self.project, folder / "provisioned")

    def kit(self, name: str) -> Path:
        return self.kits / name

    def start(self, *names: str) -> None:
        for name in names or (SERVER, *self.sites):
            start_kit(self.kit(name))

    def wait_until_connected(self, timeout_s: float = 300) -> None:
        def all_here() -> bool:
            try:
                with admin_session(self.kit(ADMIN), timeout_s=5) as session:
                    return {client.name for client in session.get_system_info().client_info} >= set(self.sites)
            except Exception:  # FLARE raises many kinds while the server is not there yet
                return False

        wait_for(all_here, timeout_s)

    def connected(self) -> set[str]:
        """The sites that the server says are there."""
        with admin_session(self.kit(ADMIN)) as session:
            return {client.name for client in session.get_system_info().client_info}

    def jobs(self) -> set[str]:
        """The ids of the jobs that the server knows."""
        with admin_session(self.kit(ADMIN)) as session:
            return {job["job_id"] for job in session.list_jobs()}

    def write_project(self) -> None:
        """Write `project.yml`, for `fedbrats provision`."""
        people = textwrap.indent(yaml.safe_dump(self.project["participants"], sort_keys=False), "  ")
        rest = {name: value for name, value in self.project.items() if name != "participants"}
        text = f"{yaml.safe_dump(rest, sort_keys=False)}participants:\n{people}"
        (self.folder / "project.yml").write_text(text)

    def submit(self, jobs: dict[str, Path]) -> dict[str, tuple[str, str]]:
        """Submit jobs as the lead and wait for all of them: name -> (job id, status)."""
        with admin_session(self.kit(LEAD)) as session:
            ids = {name: submit(session, job) for name, job in jobs.items()}
            return {name: (job_id, wait_for_end(session, job_id)) for name, job_id in ids.items()}

    def stop(self) -> None:
        stop(self.folder)

    def log(self, name: str) -> str:
        return kit_log(self.kit(name))

    def job_log(self, name: str, job_id: str) -> str:
        """What a participant logged of a job: its own log, and that of the job's process."""
        path = self.kit(name) / job_id / "log.txt"
        return self.log(name) + (path.read_text(errors="replace") if path.exists() else "")

    def job(self, name: str = "fedavg", sites: list[str] | None = None, **settings) -> Path:
        """A built job in a folder of its own; for some sites only where `sites` says so."""
        settings = {**QUICK, **({"min_clients": len(sites)} if sites else {}), **settings}
        folder = build_job(name, self.folder / "jobs" / str(time.monotonic_ns()), settings)
        if sites is not None:
            meta = json.loads((folder / "meta.json").read_text())
            meta["deploy_map"] = {"app": ["server", *sites]}
            (folder / "meta.json").write_text(json.dumps(meta))
        return folder


def start_kit(kit: Path, inside: str | None = None) -> None:
    """Run a kit's own start.sh, as its hospital does; what it says goes to console.txt in the kit.

    inside: a network namespace.
    """
    host = ["ip", "netns", "exec", inside] if inside else []
    # A job that a hospital left ends when this is over; FLARE's own is 15 minutes (docs/reference/deployment.md).
    environment = {**participant_environment(), "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT": "20"}
    with (kit / "console.txt").open("ab") as log:
        subprocess.run(
            [*host, "bash", str(kit.resolve() / "startup" / "start.sh")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, check=True,
        )  # fmt: skip


def console(kit: Path) -> str:
    path = kit / "console.txt"
    return path.read_text(errors="replace") if path.exists() else ""


def kit_log(kit: Path) -> str:
    """What a participant logged, and what its processes said on their console."""
    path = kit / "log.txt"
    return (path.read_text(errors="replace") if path.exists() else "") + console(kit)


def leave(kit: Path) -> None:
    """Run a kit's own stop_fl.sh, as its hospital does, and wait until nothing of it runs."""
    words = ["bash", str(kit.resolve() / "startup" / "stop_fl.sh")]
    subprocess.run(words, input=b"y", capture_output=True, env=participant_environment(), check=True)
    wait_for(lambda: not find_processes(kit), 120)


def fedbrats(*words: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([FEDBRATS, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=600)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def wait_for(condition: Callable[[], object], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.3)
