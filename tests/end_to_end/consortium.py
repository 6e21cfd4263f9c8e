"""A consortium on loopback for tests: kits from provisioning/project.yml, real processes from their own start.sh."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from fedbrats.flare.jobs import build_job
from fedbrats.flare.processes import free_port, participant_environment, stop
from fedbrats.flare.provisioning import build_kits
from fedbrats.flare.sessions import admin_session
from fedbrats.house import house_dir

SERVER = "fl.brain-consortium.example"
ADMIN, LEAD = "admin@university.example", "lead@university.example"
MEMBER, HOSPITAL_IT = "statistician@university.example", "it@north.example"
QUICK = {"network": "tiny", "num_rounds": 2, "local_steps": 2}


class Consortium:
    """The consortium of provisioning/project.yml with the server reached on loopback, and phantoms as data."""

    def __init__(self, folder: Path, sites_dir: Path, server_host: str = "localhost", sites: int = 5):
        self.folder = folder
        self.project = yaml.safe_load((house_dir() / "provisioning" / "project.yml").read_text())
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

    def wait_until_connected(self, timeout_s: float = 90) -> None:
        def all_here() -> bool:
            try:
                with admin_session(self.kit(ADMIN), timeout_s=5) as session:
                    return {client.name for client in session.get_system_info().client_info} >= set(self.sites)
            except Exception:  # FLARE raises many kinds while the server is not there yet
                return False

        wait_for(all_here, timeout_s)

    def stop(self) -> None:
        stop(self.folder)

    def log(self, name: str) -> str:
        return (self.kit(name) / "log.txt").read_text(errors="replace") + console(self.kit(name))

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
    with (kit / "console.txt").open("ab") as log:
        subprocess.run(
            [*host, "bash", str(kit.resolve() / "startup" / "start.sh")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=participant_environment(), check=True,
        )  # fmt: skip


def console(kit: Path) -> str:
    path = kit / "console.txt"
    return path.read_text(errors="replace") if path.exists() else ""


def wait_for(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.3)
