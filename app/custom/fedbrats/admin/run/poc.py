"""A FLARE POC federation on this machine: prepared, started, watched and stopped, with every process accounted for."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fedbrats.admin.provision.builders import allow_extensions
from fedbrats.admin.provision.consortium import build_kits
from fedbrats.admin.run import warming
from fedbrats.admin.run.place import check_own_address, check_place, pass_by_proxy
from fedbrats.admin.run.processes import (
    find_processes,
    free_port,
    participant_environment,
    stop,
)
from fedbrats.admin.run.sessions import admin_session
from fedbrats.at_work import identify
from fedbrats.atomic import write_json_atomic, write_text_atomic
from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.data.parallel import count_cores
from fedbrats.errors import ConfigurationError, DataError, FedbratsError
from fedbrats.extensions.packages import Package
from fedbrats.misbehaviour.jobs import allow_misbehaviour, let_misbehave
from fedbrats.shipped import shipped_dir
from fedbrats.site.site_file import MLFLOW, REGISTER, SITE_FILE

STATE_FILE = "processes.json"
ADMIN = "admin@example.org"
SERVER = "server"
PERSONAL_FOLDER = "personal"  # in a workspace: every site's personal weights, by job
START_TIMEOUT_S = 120


@dataclass(frozen=True)
class Poc:
    """A prepared POC: its workspace and the names of its sites."""

    workspace: Path
    kits: Path
    sites: tuple[str, ...]
    misbehaviour: Mapping[str, str] = field(default_factory=dict)  # what sites do wrong in every job, by their names
    forks: bool = False  # whether the processes of jobs are forked from one that has imported everything

    @property
    def admin_kit(self) -> Path:
        """The kit of the project admin, whose `transfer` folder holds the built jobs."""
        return self.kits / ADMIN

    @property
    def data_dirs(self) -> list[Path]:
        """The folders with the sites' cases, of those sites whose file names one."""
        facts = [(name, self.kits / name / "local" / SITE_FILE) for name in self.sites]
        found = [(name, json.loads(path.read_text(encoding="utf-8"))["data_dir"]) for name, path in facts]
        return [Path(place.replace("{site}", name)) for name, place in found]

    def run_dir(self, participant: str, job_id: str) -> Path:
        """Where a participant keeps a job's run while the job is there."""
        return self.kits / participant / job_id


def prepare(
    workspace: Path,
    sites_dir: Path,
    *,
    site_facts: Mapping[str, Any] | None = None,
    cache_dir: Path | None = None,
    mlflow_uri: str | None = None,
    misbehaviour: Mapping[str, str] | None = None,
) -> Poc:
    """Provision a POC for the sites of a data folder, in an empty workspace; what a crashed one left there is cleared.

    site_facts: entries that every site's `local/fedbrats.json` gets beside its folders.
    mlflow_uri: the MLflow server that gets the training curves.
    misbehaviour: what sites do wrong on purpose in every job of this federation, by their names.

    Raises: DataError where a site has nothing to train on; ConfigurationError where a POC is running in the workspace,
    the folder is something else, or FLARE cannot run in it.
    """
    from nvflare.lighter.utils import update_storage_locations

    check_place(workspace)
    check_own_address()
    pass_by_proxy()
    register_of(find_sites(sites_dir))  # refused before anything is cleared
    workspace = workspace.resolve()
    _clear(workspace)
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / ".fedbrats-poc").touch()
    project = describe_project(workspace, sites_dir, site_facts=site_facts, cache_dir=cache_dir, mlflow_uri=mlflow_uri)
    write_text_atomic(workspace / "project.yml", yaml.safe_dump(project, sort_keys=False))
    kits = build_kits(project, workspace, poc=True)
    update_storage_locations(local_dir=str(kits / SERVER / "local"), workspace=str(workspace))
    forks = warming.can_fork(dict(site_facts or {}))
    names = tuple(entry["name"] for entry in project["participants"] if entry["type"] == "client")
    poc = Poc(workspace, kits, names, dict(misbehaviour or {}), forks)
    _change_kits(poc)
    _write_state(poc, [])
    return poc


def describe_project(
    workspace: Path,
    sites_dir: Path,
    *,
    site_facts: Mapping[str, Any] | None = None,
    cache_dir: Path | None = None,
    mlflow_uri: str | None = None,
) -> dict[str, Any]:
    """The project of a POC, as FLARE's project.yml has it: the sites of a data folder, and a free port.

    workspace, sites_dir, site_facts, cache_dir, mlflow_uri: as of `prepare`.

    Raises: DataError where a site has nothing to train on.
    """
    sites = find_sites(sites_dir)
    register = register_of(sites)
    project: dict[str, Any] = yaml.safe_load((shipped_dir() / "poc" / "project.yml").read_text(encoding="utf-8"))
    port = free_port()
    people = [entry for entry in project["participants"] if entry["type"] != "client"]
    for entry in people:
        if entry["type"] == "server":
            entry.update(fed_learn_port=port, admin_port=port, fedbrats={MLFLOW: mlflow_uri})
    clients = [
        {
            "name": site.name,
            "type": "client",
            "org": "fedbrats",
            REGISTER: register[site.name],
            "fedbrats": {**shared_facts(workspace, sites_dir, cache_dir, len(sites)), **(site_facts or {})},
        }
        for site in sites
    ]
    project["participants"] = people + clients
    return project


def allow_here(poc: Poc, packages: Sequence[Package]) -> None:
    """Let the kits of a POC run what a job names of these packages, from its next job on.

    In production the consortium lists them in its project.yml (`extensions` of FedbratsBuilder).
    """
    for name in (SERVER, *poc.sites) if packages else ():
        allow_extensions(poc.kits / name / "local", packages)


def _change_kits(poc: Poc) -> None:
    """What a POC's kits have beside those of production."""
    from nvflare.lighter.constants import ProvFileName

    from fedbrats.flare.launch.launcher import let_fork

    if poc.forks:
        for name in (SERVER, *poc.sites):
            for path in (poc.kits / name / "local").glob("resources.json*"):  # FLARE's own changes are in a second one
                let_fork(path)
    if poc.misbehaviour:
        for name in poc.sites:
            allow_misbehaviour(poc.kits / name / "local" / ProvFileName.RESOURCES_JSON_DEFAULT)
        for job_dir in (poc.admin_kit / "transfer").iterdir():
            let_misbehave(job_dir, poc.misbehaviour)


def register_of(sites: Sequence[Path]) -> dict[str, int]:
    """How many training cases each site registers; raises DataError for a site without any."""
    register = {site.name: len(read_datalist(site).training) for site in sites}
    for name, cases in register.items():
        if not cases:
            raise DataError(
                f"site {name} has no training case, so it cannot take part; give it cases or remove its folder"
            )
    return register


def shared_facts(workspace: Path, sites_dir: Path, cache_dir: Path | None, sites: int) -> dict[str, Any]:
    """Site facts for several sites on this one machine: a shared cache, and the cores shared out."""
    return {
        "data_dir": f"{sites_dir.resolve()}/{{site}}",
        "cache_dir": str((cache_dir or workspace / "cache").resolve()),
        "personal_dir": str((workspace / PERSONAL_FOLDER).resolve()),
        "threads": max(1, count_cores() // sites),
        "min_cases": 1,  # nothing leaves this machine
    }


def open_poc(workspace: Path) -> Poc:
    """Return the POC prepared in a workspace; raises ConfigurationError where there is none."""
    state = _read_state(workspace)
    if state is None:
        raise ConfigurationError(f"no POC is prepared in {workspace}; start one with `fedbrats poc up --data FOLDER`")
    pass_by_proxy()
    kits, sites = Path(state["kits"]), tuple(state["sites"])
    return Poc(workspace, kits, sites, state.get("misbehaviour", {}), state.get("forks", False))


def start(poc: Poc, names: Sequence[str] = ()) -> None:
    """Start the server and every site, or those of `names` alone, and wait until every site that runs is connected.

    Raises: FedbratsError where a process ends early or a site does not connect in time. What this call started is then
    stopped, and nothing else: the rest of a federation may be in the middle of a job.
    """
    names = names or (SERVER, *poc.sites)
    known = (_read_state(poc.workspace) or {"processes": []})["processes"]
    processes: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in known}
    before = find_processes(poc.workspace)
    warm = warming.start(poc.kits) if poc.forks and warming.is_asked(poc.kits / SERVER) else None
    try:
        for name in names:
            processes[name] = {"name": name, **_start_participant(poc, name)}
            # Those whose turn has not come stay in it, so that a restart that failed can be repeated.
            _write_state(poc, list(processes.values()))
        _wait_until_ready(poc, processes.keys() - {SERVER})
    except BaseException:
        stop(*(poc.kits / name for name in names), spare=before)
        if warm:
            warm.kill()
            warm.wait()
        raise


def restart(poc: Poc) -> list[str]:
    """Start the participants again whose process has ended, and return their names.

    Their kits, and what the server keeps of its jobs, are as they were, so that a job can be resumed.
    """
    names = ended(poc)
    if names:
        start(poc, names)
    return names


def ended(poc: Poc) -> list[str]:
    """The participants that were started and whose process is no more."""
    state = _read_state(poc.workspace) or {"processes": []}
    return [entry["name"] for entry in state["processes"] if not _is_alive(entry)]


def _is_alive(entry: Mapping[str, Any]) -> bool:
    """Whether a participant's process is still the one that was started: numbers of processes come again."""
    return identify(entry["pid"]) == entry["started"]


def _start_participant(poc: Poc, name: str) -> dict[str, Any]:
    """Start one kit's process directly; FLARE's start.sh sleeps five seconds before it does the same."""
    log = (poc.kits / name / "console.log").open("ab")
    with log:
        process = subprocess.Popen(
            ["bash", str(poc.kits / name / "startup" / "sub_start.sh"), "--once"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=participant_environment(),
            start_new_session=True,
            cwd=poc.kits / name,
        )
    return {"pid": process.pid, "started": identify(process.pid)}


def _wait_until_ready(poc: Poc, sites: Set[str]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    reached: set[str] = set()
    while time.monotonic() < deadline:
        _check_alive(poc)
        try:
            with admin_session(poc.admin_kit, timeout_s=5.0) as session:
                while time.monotonic() < deadline:
                    reached = {client.name for client in session.get_system_info().client_info}
                    if reached >= sites:
                        return
                    _check_alive(poc)
                    time.sleep(0.25)
        except FedbratsError:
            raise
        except Exception:  # FLARE raises many kinds while the server is not there yet
            time.sleep(0.5)
    missing = sorted(sites - reached)
    raise FedbratsError(
        f"after {START_TIMEOUT_S} s these sites have not connected: {', '.join(missing)}; "
        f"see console.log of the server and of these in {poc.kits}"
    )


def _check_alive(poc: Poc) -> None:
    state = _read_state(poc.workspace) or {"processes": []}
    for entry in state["processes"]:
        if not _is_alive(entry):
            log = poc.kits / entry["name"] / "console.log"
            lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
            said = f"; it last said: {lines[-1]}" if lines else ""
            raise FedbratsError(f"the process of {entry['name']} ended while starting (log: {log}){said}")


def _clear(workspace: Path) -> None:
    if not workspace.exists():
        return
    if not (workspace / ".fedbrats-poc").exists() and any(workspace.iterdir()):
        raise ConfigurationError(f"{workspace} is not a POC workspace of fedbrats and not empty; choose another")
    running = find_processes(workspace)
    if running:
        raise ConfigurationError(
            f"a POC is running in {workspace} ({len(running)} processes); stop it with "
            f"`fedbrats poc down --workspace {workspace}`"
        )
    # Prepared cases are keyed by content and personal weights by job: a new federation can trust them.
    for path in workspace.iterdir():
        if path.name not in ("cache", PERSONAL_FOLDER):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _write_state(poc: Poc, processes: Sequence[Mapping[str, Any]]) -> None:
    state = {
        "kits": str(poc.kits),
        "sites": list(poc.sites),
        "misbehaviour": dict(poc.misbehaviour),
        "forks": poc.forks,
        "processes": list(processes),
    }
    write_json_atomic(poc.workspace / STATE_FILE, state)


def _read_state(workspace: Path) -> dict[str, Any] | None:
    try:
        return json.loads((workspace / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {workspace / STATE_FILE}: {error}; remove {workspace}") from None
