"""Run a job with all its sites in one process: the same job folder, the same rows, no certificates and no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbrats.admin.run.following import Follower, Progress, RowsReader
from fedbrats.admin.run.place import check_own_address, check_place, pass_by_proxy
from fedbrats.admin.run.poc import (
    PERSONAL_FOLDER,
    SERVER,
    register_of,
    shared_facts,
)
from fedbrats.admin.run.processes import participant_environment
from fedbrats.admin.run.runs import finish_results, lift_files
from fedbrats.admin.run.unfinished import write_unfinished
from fedbrats.at_work import at_work
from fedbrats.atomic import write_json_atomic
from fedbrats.data.cases.datalist import find_sites
from fedbrats.data.parallel import count_cores
from fedbrats.extensions.kit_file import server_classes
from fedbrats.extensions.loading import SIMULATED_PACKAGES
from fedbrats.extensions.packages import Package
from fedbrats.flare.kit.policy import ALLOWED_CLASSES
from fedbrats.jobs.build import read_variables
from fedbrats.jobs.named_classes import packages_named
from fedbrats.jobs.secure import refuse_simulated
from fedbrats.misbehaviour.jobs import allow_misbehaviour, let_misbehave
from fedbrats.rows import CASES_FILE, ROWS_FILE, ROWS_FOLDER
from fedbrats.run_folder import SUMMARY_FILE
from fedbrats.site.personal import PERSONAL_FILE
from fedbrats.site.site_file import REGISTER, SITE_FILE

POLL_S = 0.5
END_S = 10.0  # for a process that is asked to end
ONE_PROCESS = "fedbrats.flare.one_process"
SIMULATED = "simulate_job"  # the id of every job there


def simulate_job(
    job_dir: Path,
    sites_dir: Path,
    results_dir: Path,
    *,
    cache_dir: Path,
    misbehaviour: Mapping[str, str] | None = None,
    models: Sequence[Path] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Run a built job with every site of a data folder, and return the summary document.

    misbehaviour: what sites do wrong on purpose, by their names; the job's executors are exchanged for it.
    models: what the job evaluates; sites get their personal parts back from there.

    Raises: FedbratsError where the job left no result.
    """
    check_place(results_dir)
    check_own_address()
    pass_by_proxy()
    refuse_simulated(variables := read_variables(job_dir))
    sites = find_sites(sites_dir)
    results_dir.mkdir(parents=True, exist_ok=True)
    workspace = results_dir / "simulator"
    personal_dir = results_dir / PERSONAL_FOLDER
    facts = {**shared_facts(workspace, sites_dir, cache_dir, len(sites)), "personal_dir": str(personal_dir.resolve())}
    register = register_of(sites)
    shutil.rmtree(workspace, ignore_errors=True)
    # The server and every site have this folder as theirs.
    write_json_atomic(workspace / "local" / SITE_FILE, {**facts, REGISTER: register})
    packages = packages_named(variables)
    _write_policy(workspace / "local" / "resources.json", packages)
    if misbehaviour:
        allow_misbehaviour(workspace / "local" / "resources.json")
        let_misbehave(job_dir, misbehaviour)
    for model in models:
        _give_back_personal(model, personal_dir)
    began = time.monotonic()
    names = [site.name for site in sites]
    try:
        with at_work(results_dir, job_dir.name):
            _run(job_dir, workspace, names, variables, on_progress, packages)
    except BaseException as error:
        _bring_home(workspace, personal_dir, names, results_dir)
        lift_files(results_dir)
        write_unfinished(results_dir, job_dir.name, SIMULATED, variables, time.monotonic() - began, error)
        raise
    seconds = time.monotonic() - began
    _bring_home(workspace, personal_dir, names, results_dir)
    return finish_results(
        results_dir,
        job_dir.name,
        f"simulated-{uuid.uuid4()}",
        None,
        seconds,
        variables,
        misbehaviour,
        site_dirs=sites,
    )


def _write_policy(path: Path, packages: Sequence[Package]) -> None:
    """Which classes a job may name there."""
    allowed = [*ALLOWED_CLASSES, *server_classes(packages)]
    policy = {"format_version": 2, "class_list_enforcement_mode": "enforce", "class_allow_list": allowed}
    write_json_atomic(path, policy)


def _bring_home(workspace: Path, personal_dir: Path, names: Sequence[str], results_dir: Path) -> None:
    """Keep what sites and server have written that belongs to the results, and remove the rest."""
    for name in names:
        scores = next(iter((workspace / name).rglob(CASES_FILE)), None)
        personal = personal_dir / SIMULATED / name / PERSONAL_FILE
        for path in (scores, personal):
            if path and path.exists():
                (results_dir / "sites" / name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, results_dir / "sites" / name / path.name)
    shutil.rmtree(results_dir / SERVER, ignore_errors=True)  # of an earlier run: its rows would be taken for this one's
    if (workspace / SERVER).exists():
        shutil.move(str(workspace / SERVER), str(results_dir / SERVER))
    shutil.rmtree(workspace)
    shutil.rmtree(personal_dir, ignore_errors=True)


def _give_back_personal(model: Path, personal_dir: Path) -> None:
    """Lay the personal weights of a simulated job where its sites look for them."""
    results = model if model.is_dir() else model.parent
    summary = results / SUMMARY_FILE
    for path in results.glob(f"sites/*/{PERSONAL_FILE}"):
        job_id = json.loads(summary.read_text(encoding="utf-8"))["job_id"]
        target = personal_dir / job_id / path.parent.name / PERSONAL_FILE
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _run(
    job_dir: Path,
    workspace: Path,
    sites: list[str],
    variables: Mapping[str, Any],
    on_progress: Callable[[Progress], None] | None,
    packages: Sequence[Package],
) -> None:
    workers = min(len(sites), count_cores())
    command = [sys.executable, "-m", ONE_PROCESS, str(job_dir.resolve()), str(workspace.resolve()), SIMULATED]
    command += [str(workers), ",".join(sites)]
    listed = json.dumps([package.as_json() for package in packages])
    with (workspace.parent / "simulator.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**participant_environment(), "PYTHONUNBUFFERED": "1", SIMULATED_PACKAGES: listed},
            cwd=os.getcwd(),
        )
        try:
            last: Progress | None = None
            follower: Follower | None = None
            while process.poll() is None:
                time.sleep(POLL_S)
                rows = next(iter(workspace.glob(f"{SERVER}/*/{ROWS_FOLDER}/{ROWS_FILE}")), None)
                if rows and not follower:
                    follower = Follower(job_dir.name, variables, len(sites), RowsReader(rows))
                progress = follower.progress() if follower else None
                if on_progress and progress and progress != last:
                    on_progress(progress)
                    last = progress
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
