"""Run one job in a federation on this machine: submit it, follow its rows, bring its results home."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbrats.admin.run.following import Follower, Progress, RowsReader
from fedbrats.admin.run.poc import PERSONAL_FOLDER, SERVER, Poc, allow_here, ended
from fedbrats.admin.run.sessions import job_status, pause_between_questions
from fedbrats.admin.run.unfinished import write_unfinished
from fedbrats.at_work import at_work
from fedbrats.atomic import replace_folder, write_json_atomic, write_text_atomic
from fedbrats.errors import FedbratsError
from fedbrats.flare.kit.versions import check_job_version
from fedbrats.jobs.build import read_variables, set_variables
from fedbrats.jobs.named_classes import packages_named
from fedbrats.jobs.plan import check_built
from fedbrats.jobs.secure import uses_pads
from fedbrats.misbehaviour.jobs import let_misbehave
from fedbrats.report.numbers.conditions import CONDITIONS, describe_conditions
from fedbrats.rows import (
    CASES_FILE,
    ROWS_FILE,
    ROWS_FOLDER,
    Row,
    read_rows,
    summarise_evaluation,
    summarise_rows,
)
from fedbrats.run_folder import BEST_MODEL, COMPLETED, FINAL_MODEL, SUMMARY_FILE
from fedbrats.site.personal import PERSONAL_FILE

POLL_S = 0.5
ABORT_S = 20.0  # for a job that is aborted
MODEL_FILES = {"FL_global_model.pt": FINAL_MODEL, "best_FL_global_model.pt": BEST_MODEL}  # FLARE's name, ours
CRASHED = "FINISHED:EXECUTION_EXCEPTION"  # as FLARE calls a job that ended by an error
ERROR_MARK = " - ERROR - "
# What FLARE 2.9.0 puts before an error that ends a job: who logs it, that the job ends, where it came from, its class.
BEFORE_ERROR = re.compile(
    r"(\[identity=[^\]]*\](?:: | - ))?(Aborting current RUN due to FATAL_SYSTEM_ERROR received: )?"
    r"(Exception in \w+ control_flow: )?((fedbrats\.errors\.)?(Update|Configuration|Data|Fedbrats)Error: )?"
)


def run_job(
    poc: Poc,
    session: Any,
    job_dir: Path,
    results_dir: Path,
    on_progress: Callable[[Progress], None] | None = None,
    on_submitted: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Submit a built job, wait for its end, collect its results and return the summary document.

    on_submitted: is told the job's id.

    Raises: FedbratsError where the job did not complete or left no result; what can be collected is collected first.
        ConfigurationError for a job of another version.
    """
    began = time.monotonic()
    check_job_version(job_dir)
    variables = _name_sites(job_dir, poc.sites)
    let_misbehave(job_dir, poc.misbehaviour)
    allow_here(poc, packages_named(variables))
    job_id = session.submit_job(str(job_dir.resolve()))
    if on_submitted:
        on_submitted(job_id)
    try:
        with at_work(results_dir, job_dir.name):
            status = _follow(poc, session, job_dir.name, job_id, variables, results_dir, on_progress)
    except BaseException as error:
        with contextlib.suppress(Exception):  # the reason why we leave is what must be told
            session.abort_job(job_id)
            _wait_for_end(session, job_id)
        write_unfinished(results_dir, job_dir.name, job_id, variables, time.monotonic() - began, error)
        raise
    seconds = time.monotonic() - began
    collect(poc, session, job_id, results_dir)
    return finish_results(
        results_dir, job_dir.name, job_id, status, seconds, variables, poc.misbehaviour, site_dirs=poc.data_dirs
    )


def _name_sites(job_dir: Path, sites: Sequence[str]) -> dict[str, Any]:
    """The variables of a built job; one with pads that names no sites is for all. Raises: ConfigurationError."""
    variables = read_variables(job_dir)
    if not uses_pads(variables) or variables.get("secure_sites"):
        return variables
    set_variables(job_dir / "app" / "config", {"secure_sites": sorted(sites)}, source="the POC's sites")
    check_built(job_dir)
    return read_variables(job_dir)


def _wait_for_end(session: Any, job_id: str) -> None:
    """Let the server keep what there is of a job that was aborted: only of a job that has ended can one go on."""
    until = time.monotonic() + ABORT_S
    while time.monotonic() < until and not job_status(session, job_id, 0.0).startswith("FINISHED"):
        time.sleep(POLL_S)


def collect(poc: Poc, session: Any, job_id: str, results_dir: Path) -> None:
    """Download a job's result from the server, and copy every site's own scores and personal weights.

    In POC all of it is one person's. The results folder then needs no workspace to predict with.
    """
    results_dir.mkdir(parents=True, exist_ok=True)
    downloaded = Path(session.download_job_result(job_id, str(results_dir)))
    target = results_dir / SERVER
    replace_folder(downloaded, target)
    for site in poc.sites:
        scores = poc.run_dir(site, job_id) / ROWS_FOLDER / CASES_FILE
        personal = poc.workspace / PERSONAL_FOLDER / job_id / site / PERSONAL_FILE
        for path in (scores, personal):
            if path.exists():
                (results_dir / "sites" / site).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, results_dir / "sites" / site / path.name)


def finish_results(
    results_dir: Path,
    job: str,
    job_id: str,
    status: str | None,
    seconds: float,
    variables: Mapping[str, Any],
    misbehaviour: Mapping[str, str] | None = None,
    *,
    site_dirs: Sequence[Path] = (),
) -> dict[str, Any]:
    """Put rows and models at the top of a results folder, write `summary.json` and return it.

    status: of the job as its server says it; None where nobody does, as in the simulator, and the rows decide.
    misbehaviour: what sites did wrong on purpose, by their names.
    site_dirs: the folders of the sites' cases, where they are on this machine.

    Raises: FedbratsError where the outputs say that the job failed, whatever its status says.
    """
    rows = lift_files(results_dir)
    conditions: dict[str, Any] = {}
    if rows:
        conditions = describe_conditions(rows, variables, site_dirs, misbehaviour)
        lines = [{"kind": CONDITIONS, **conditions}, *rows]
        write_text_atomic(results_dir / ROWS_FILE, "".join(json.dumps(row) + "\n" for row in lines))
    # Its values are None where every site has too few cases to speak of: that is no failure.
    matrix = summarise_evaluation(rows)
    evaluated = matrix or any(row["kind"] == "metrics" and row["stage"] == "final" for row in rows)
    whole = evaluated and rows[-1]["kind"] == "end" and rows[-1]["status"] == "ended"
    status = status or (COMPLETED if whole else CRASHED)
    document = {
        "job": job,
        "job_id": job_id,
        "status": status,
        **summarise_rows(rows),
        "seconds": round(seconds, 2),
        "results": str(results_dir),
        "variables": dict(variables),
        **({CONDITIONS: conditions} if conditions else {}),
    }
    if whole and status != COMPLETED:
        document["note"] = (
            f"the server says {status}, but by its rows the job was done: every round, the evaluation of the final "
            f"model, and the end"
        )
    if misbehaviour:
        document["misbehaviour"] = dict(misbehaviour)
    if matrix:
        document["evaluation"] = matrix
    write_json_atomic(results_dir / SUMMARY_FILE, document)
    if not evaluated or (status != COMPLETED and not whole):
        why = _last_error(results_dir)
        ended = f"job {job} ({job_id}) ended as {status} after {document['rounds']} rounds"
        raise FedbratsError(f"{why}; {ended}" if why else f"{ended}; see the logs in {results_dir}")
    return document


def lift_files(results_dir: Path) -> list[Row]:
    """Copy the server's rows and models to the top of a results folder; returns the rows."""
    server = results_dir / SERVER
    for stored, name in {ROWS_FILE: ROWS_FILE, **MODEL_FILES}.items():
        if path := next(iter(server.rglob(stored)), None):
            shutil.copyfile(path, results_dir / name)
    rows = next(iter(server.rglob(ROWS_FILE)), None)
    return read_rows(rows) if rows else []


def _follow(
    poc: Poc,
    session: Any,
    job: str,
    job_id: str,
    variables: Mapping[str, Any],
    results_dir: Path,
    on_progress: Callable[[Progress], None] | None,
) -> str:
    """Wait for the job's end; meanwhile the rows so far stand in its results folder, where a live report finds them."""
    rows = RowsReader(poc.run_dir(SERVER, job_id) / ROWS_FOLDER / ROWS_FILE, mirror=results_dir / ROWS_FILE)
    follower = Follower(job, variables, len(poc.sites), rows)
    last: Progress | None = None
    began = next_question = time.monotonic()
    while True:
        now = time.monotonic()
        if SERVER in ended(poc):
            raise FedbratsError(
                f"the server's process has ended in the middle of job {job_id}: start it again with `fedbrats poc "
                f"restart`, then go on from the last finished round with `fedbrats poc submit --resume {job_id}`"
            )
        if now >= next_question:
            status = job_status(session, job_id)
            next_question = now + pause_between_questions(now - began, POLL_S)
        progress = follower.progress()
        if on_progress and progress and progress != last:
            on_progress(progress)
            last = progress
        if status.startswith("FINISHED"):
            return status
        time.sleep(POLL_S)


def _last_error(results_dir: Path) -> str | None:
    """The last error of the server's or the simulator's log in its own words, without what FLARE puts before it."""
    logs = [*results_dir.rglob("log.txt"), *results_dir.glob("simulator.log")]
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if ERROR_MARK in line]
    if not lines:
        return None
    said = lines[-1].split(ERROR_MARK, 1)[1]
    return BEFORE_ERROR.sub("", said, count=1).rstrip(". ") or said
