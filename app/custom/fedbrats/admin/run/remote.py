"""Jobs in a federation elsewhere: submitted, waited for and fetched over FLARE's API, nothing read from its disks."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedbrats.admin.run.poc import SERVER
from fedbrats.admin.run.runs import finish_results
from fedbrats.admin.run.sessions import job_status, pause_between_questions, quiet
from fedbrats.atomic import replace_folder, write_json_atomic
from fedbrats.errors import ConfigurationError, FedbratsError
from fedbrats.flare.kit.versions import check_job_version
from fedbrats.flare.protocol import STANDING
from fedbrats.jobs.build import (
    META,
    SIGNING_FILES,
    read_variables,
    set_variables,
)
from fedbrats.jobs.secure import require_sites
from fedbrats.rows import ROWS_FILE, counted_rows, read_rows
from fedbrats.standing import read_standing

POLL_S = 2.0
ENDED = ("FINISHED", "FAILED")
PROVENANCE_FILE = "provenance.json"
SITE_FACTS = ("version", "manifest", "training_cases", "validation_cases", "rejected_cases")


def submit(session: Any, job_dir: Path) -> str:
    """Submit a copy of a built job, for signing writes files into it; returns the job's id.

    Raises: FedbratsError with the server's reason where it does not take the job; ConfigurationError for a job of
        another version.
    """
    check_job_version(job_dir)
    require_sites(read_variables(job_dir))
    from nvflare.fuel.flare_api.api_spec import InternalError, InvalidJobDefinition

    with tempfile.TemporaryDirectory(prefix="fedbrats-submit-") as folder:
        copy = shutil.copytree(job_dir, Path(folder) / job_dir.name)
        try:
            with quiet():
                return str(session.submit_job(str(copy)))
        except (InternalError, InvalidJobDefinition) as error:
            raise FedbratsError(f"the server did not take the job {job_dir.name}: {error}") from error


def resumed_job(session: Any, kit: Path, job_id: str, folder: Path, settings: Mapping[str, Any]) -> Path:
    """Write into `folder` a job that goes on from where this one ended, with its own configuration; returns it.

    kit: of the person, who will sign what the server sends as the job's configuration: only if somebody who may has
    signed it before. settings: variables to change, as with --set.

    Raises: FedbratsError where the job still runs, ConfigurationError for a job that nobody signed, a variable that it
    does not have or a value that cannot be.
    """
    from fedbrats.jobs.plan import check_built

    if "start" in settings:
        raise ConfigurationError("start cannot be set: a job that is resumed goes on from its own models")
    status = str(session.get_job_meta(job_id).get("status", ""))
    if not status.startswith(ENDED):
        raise FedbratsError(
            f"job {job_id} is {status.lower() or 'not there'} still; it can be resumed when it has ended"
        )
    with tempfile.TemporaryDirectory(prefix="fedbrats-resume-") as temporary:
        with quiet():
            downloaded = Path(session.download_job_result(job_id, temporary))
        source = _job_folder(downloaded, job_id)
        _check_signed(source, kit, job_id)
        _check_finished_round(downloaded, job_id)
        job_dir = Path(shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns(*SIGNING_FILES)))
    earlier = read_variables(job_dir).get("resume") or []
    config_dir = job_dir / "app" / "config"
    set_variables(config_dir, {**settings, "resume": [job_id, *earlier]}, source="--set")
    if settings:  # as they were, its variables have run
        check_built(job_dir)
    return job_dir


def standing_of(session: Any, job_id: str) -> dict[str, Any] | None:
    """Where a running job stands (fedbrats.standing), by the server's word; None where it does not run or say."""
    try:
        with quiet():
            said = session.show_stats(job_id, "server")["server"][STANDING]
    except Exception:  # FLARE raises many kinds where a job has just ended, or has not begun
        return None
    return read_standing(said)


def wait_for_end(session: Any, job_id: str, on_standing: Callable[[Mapping[str, Any]], None] | None = None) -> str:
    """Wait until a job has ended, however long that takes; returns its status.

    on_standing: is told where the job stands, whenever that is another than before.
    """
    began, before = time.monotonic(), None
    while True:
        status = job_status(session, job_id)
        if status.startswith(ENDED):
            return status
        if on_standing and (standing := standing_of(session, job_id)) and standing != before:
            before = standing
            on_standing(standing)
        time.sleep(pause_between_questions(time.monotonic() - began, POLL_S))


def fetch(session: Any, job_id: str, results_dir: Path) -> dict[str, Any]:
    """Download a finished job into `results_dir` and return its summary document.

    Raises: FedbratsError where the job has not ended or did not complete; what there is of it is fetched first.
    """
    meta = session.get_job_meta(job_id)
    status = str(meta.get("status", ""))
    if not status.startswith(ENDED):
        raise FedbratsError(f"job {job_id} is {status.lower() or 'not there'} still; fetch it when it has ended")
    results_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=results_dir) as folder:
        with quiet():
            downloaded = Path(session.download_job_result(job_id, folder))
        replace_folder(downloaded, results_dir / SERVER)
    job_dir = _job_folder(results_dir / SERVER, job_id)
    write_json_atomic(results_dir / PROVENANCE_FILE, provenance(meta, job_dir, results_dir / SERVER))
    return finish_results(
        results_dir, str(meta["name"]), job_id, status, seconds_of(meta.get("duration")), read_variables(job_dir)
    )


def _check_signed(source: Path, kit: Path, job_id: str) -> None:
    """Raise ConfigurationError for a job of the server's making, which the person would sign unseen."""
    from fedbrats.flare.kit.signers import find_signer

    try:
        find_signer(source, kit / "startup" / "rootCA.pem")
    except ConfigurationError as error:
        raise ConfigurationError(
            f"what the server sent as job {job_id} is not resumed, as you would sign it: {error}; submit the job anew"
        ) from None


def _check_finished_round(downloaded: Path, job_id: str) -> None:
    """Raise ConfigurationError where a job's rows say that there is nothing to go on from; no rows say nothing."""
    rows = next(iter(downloaded.rglob(ROWS_FILE)), None)
    if rows and not any(row["kind"] in ("round", "resume") for row in read_rows(rows)):
        raise ConfigurationError(f"job {job_id} finished no round, so there is nothing to go on from: submit it anew")


def _job_folder(downloaded: Path, job_id: str) -> Path:
    """The job in what the server keeps of it. Raises: FedbratsError where there is none."""
    found = sorted((downloaded / "job").glob(f"*/{META}"))
    if not found:
        raise FedbratsError(
            f"what the server sent of job {job_id} holds no job folder with a {META}; "
            f"it was removed or damaged at the server, so submit the job anew"
        )
    return found[0].parent


def provenance(meta: dict[str, Any], job_dir: Path, server_dir: Path) -> dict[str, Any]:
    """Who submitted which job when, its configuration, and which package and data each site ran it with."""
    rows_path = next(iter(server_dir.rglob(ROWS_FILE)), None)
    rows = read_rows(rows_path) if rows_path else []
    started = next((row for row in rows if row["kind"] == "job"), {})
    names = ("job_id", "name", "submitter_name", "submitter_org", "submitter_role", "submit_time_iso", "status")
    return {
        **{name: meta.get(name) for name in names},
        "deployed": meta.get("job_deploy_detail"),
        "job_sha256": job_hash(job_dir),
        "fedbrats": started.get("version"),
        "config": read_variables(job_dir),
        "sites": {
            row["site"]: {name: row.get(name) for name in SITE_FACTS}
            for row in sorted(counted_rows(rows), key=lambda row: str(row.get("site")))
            if row["kind"] == "site"
        },
    }


def job_hash(job_dir: Path) -> str:
    """SHA-256 over the names and contents of a job's files, signatures left out."""
    total = hashlib.sha256()
    for path in sorted(path for path in job_dir.rglob("*") if path.is_file() and path.name not in SIGNING_FILES):
        for part in (path.relative_to(job_dir).as_posix().encode(), path.read_bytes()):
            total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def seconds_of(duration: str | None) -> float:
    """Seconds of FLARE's `0:00:33.931212` or `2 days, 1:00:00`, a timedelta as text; none where the job never ran."""
    found = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d+):(\d+(?:\.\d+)?)", duration or "")
    if not found:
        return 0.0
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
