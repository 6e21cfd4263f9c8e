"""A real federation to break: its processes by name, its rows as they come, its sabotage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fedbrats.admin.run import poc
from fedbrats.admin.run.processes import find_processes, stop
from fedbrats.admin.run.remote import ENDED, resumed_job, submit
from fedbrats.admin.run.runs import collect
from fedbrats.admin.run.sessions import admin_session
from fedbrats.atomic import write_json_atomic
from fedbrats.jobs.build import build_job
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER, read_rows

PATIENCE_S = 420  # machines are busy; nothing here proves anything by being fast
QUICK = {
    "network": "tiny",
    "local_steps": 4,
    "patch_size": [16, 16, 16],
    "spacing_mm": 8.0,
    "final_flips": False,
    "deadline_floor_s": 60,
}
SABOTAGE = Path(__file__).parent / "sabotage"


class Federation:
    """A POC that runs, with a saboteur in every kit."""

    def __init__(self, folder: Path, sites_dir: Path) -> None:
        self.folder = folder
        self.orders = folder / "orders"
        self.orders.mkdir(parents=True)
        os.environ["NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT"] = "20"  # FLARE's own is a quarter of an hour
        self.poc = poc.prepare(folder / "poc", sites_dir, site_facts={"threads": 1})
        for name in (poc.SERVER, *self.poc.sites):
            own = self.poc.kits / name / "local" / "resources.json"
            path = own if own.exists() else own.with_suffix(".json.default")
            custom = own.parent / "custom"
            custom.mkdir()
            shutil.copy(SABOTAGE / "saboteur.py", custom)
            (custom / "orders.txt").write_text(str(self.orders))
            document = json.loads(path.read_text())
            document["components"].append({"id": "saboteur", "path": "saboteur.Saboteur", "args": {}})
            path.write_text(json.dumps(document))

    def start(self, *names: str) -> None:
        """Start every participant, or these alone, and wait until they are connected."""
        poc.start(self.poc, names)

    def stop(self) -> None:
        """End every process, stopped ones too."""
        for process in find_processes(self.poc.workspace):
            process.send_signal(signal.SIGCONT)
        stop(self.poc.workspace)

    # ---- jobs

    def submit(self, job: str = "fedavg", **settings: Any) -> str:
        """Submit a shipped job with quick settings; returns its id."""
        job_dir = build_job(job, self.folder / "jobs", {**QUICK, **settings})
        with admin_session(self.poc.admin_kit) as session:
            return submit(session, job_dir)

    def resume(self, job_id: str, **settings: Any) -> str:
        """Submit a job that goes on from another; returns its id."""
        folder = self.folder / "resumed" / job_id
        with admin_session(self.poc.admin_kit) as session:
            return submit(session, resumed_job(session, self.poc.admin_kit, job_id, folder, settings))

    def wait_for_end(self, job_id: str) -> str:
        """The job's status when it has ended."""
        return wait_for(lambda: self._ended(job_id), f"the end of {job_id}")

    def _ended(self, job_id: str) -> str | None:
        try:
            with admin_session(self.poc.admin_kit) as session:
                status = str(session.get_job_meta(job_id).get("status", ""))
        except Exception:  # FLARE raises many kinds while a server is busy or not there
            return None
        return status if status.startswith(ENDED) else None

    def rows(self, job_id: str) -> list[dict[str, Any]]:
        """The rows of a job that runs, or has ended and was collected."""
        live = self.poc.run_dir(poc.SERVER, job_id) / ROWS_FOLDER / ROWS_FILE
        path = live if live.exists() else next(self.results(job_id).rglob(ROWS_FILE), None)
        return read_rows(path) if path else []

    def wait_for_row(self, job_id: str, kind: str, **values: Any) -> dict[str, Any]:
        """The first row of a running job with these values."""

        def find() -> dict[str, Any] | None:
            rows = self.rows(job_id)
            return next((r for r in rows if r["kind"] == kind and all(r.get(k) == v for k, v in values.items())), None)

        return wait_for(find, f"a row {kind} {values} of {job_id}")

    def results(self, job_id: str) -> Path:
        """Where a job's results are collected to."""
        return self.folder / "results" / job_id

    def collect(self, job_id: str) -> list[dict[str, Any]]:
        """Bring home what an ended job left; returns its rows."""
        with admin_session(self.poc.admin_kit) as session:
            collect(self.poc, session, job_id, self.results(job_id))
        return self.rows(job_id)

    def model(self, job_id: str, name: str = "FL_global_model.pt") -> dict[str, np.ndarray]:
        """The weights of a collected job."""
        import torch

        path = next(self.results(job_id).rglob(name))
        return {k: v.numpy() for k, v in torch.load(path, weights_only=True)["model"].items()}

    def personal(self, job_id: str, site: str) -> dict[str, np.ndarray]:
        """A site's personal weights."""
        with np.load(self.poc.workspace / "personal" / job_id / site / "personal.npz") as stored:
            return {name: stored[name] for name in stored.files}

    # ---- processes and what is done to them

    def order(self, identity: str, event: str, round_number: int, **how: Any) -> Path:
        """Have a process hit at an event (see sabotage/saboteur.py); returns the file that is there when it was."""
        path = self.orders / f"{identity}-{event}-{round_number}.json"
        order = {"identity": identity, "event": event, "round": round_number, "signal": "SIGKILL", "what": "job", **how}
        write_json_atomic(path, order)
        return path.with_suffix(".done")

    def processes(self, name: str, job_id: str | None = None) -> list[psutil.Process]:
        """The processes of a participant: its own, or those of one job."""
        kit = f"{self.poc.kits / name}"
        found = [p for p in find_processes(self.poc.workspace) if kit in p.cmdline()]
        job = ("runner_process", "worker_process")
        mine = [p for p in found if any(word in " ".join(p.cmdline()) for word in job)]
        if job_id is None:
            return [p for p in found if p not in mine]
        return [p for p in mine if job_id in p.cmdline()]

    def restart(self, *names: str) -> None:
        """Start participants that were killed, and wait until all are connected."""
        for name in names:
            for process in find_processes(self.poc.workspace):
                if f"{self.poc.kits / name}" in " ".join(process.cmdline()):
                    process.kill()
                    process.wait(30)
        poc.start(self.poc, names)


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {timeout_s} s")


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether two models have the same bits."""
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


@contextmanager
def running(folder: Path, sites_dir: Path, *names: str) -> Iterator[Federation]:
    """A federation that is up, or these participants of it, and whatever happens down afterwards."""
    federation = Federation(folder, sites_dir)
    try:
        federation.start(*names)
        yield federation
    finally:
        federation.stop()
        assert find_processes(federation.poc.workspace) == []
