"""Where a participant keeps what it writes: in its kit, and in the folders that its kit names."""

from __future__ import annotations

import json
from pathlib import Path

from fedbrats.admin.kits import Kit
from fedbrats.atomic import write_json_atomic
from fedbrats.flare.process.storage import RESOURCES, storage_of
from fedbrats.site.site_file import SITE_FILE, STATE_DIR, read_server_facts, read_site_facts

JOBS, SNAPSHOTS, STATE, PERSONAL = "jobs", "snapshots", "state", "personal"
SUBMIT_RECORDS = ("job_submit_records", "job_submit_record_index")  # FLARE's, beside its folder of jobs
FINISHED = "FINISHED"  # how FLARE's statuses of ended jobs begin
PLACES = (JOBS, SNAPSHOTS, STATE, PERSONAL, *SUBMIT_RECORDS)  # all names that `places_of` gives


def places_of(kit: Kit) -> dict[str, Path]:
    """The folders outside the kit that hold what a participant cannot make again, by their names in a backup.

    Of a server: jobs with their results, snapshots, and the state of running jobs. Of a site: personal weights and
    optimisers. A site's scans and its cache of prepared cases are not in it.

    Raises: ConfigurationError where a file of the kit cannot be read.
    """
    if kit.kind == "server":
        jobs, snapshots = storage_of(kit.local_dir)
        found = {JOBS: jobs, SNAPSHOTS: snapshots, STATE: read_server_facts(kit.local_dir).state_dir}
        found |= {name: jobs.parent / name for name in SUBMIT_RECORDS}
    elif kit.kind == "client":
        found = {PERSONAL: read_site_facts(kit.local_dir, kit.name).personal_dir}
    else:
        found = {}
    inside = kit.folder.resolve()
    return {name: path for name, path in found.items() if not path.resolve().is_relative_to(inside)}


def status_of(job: Path) -> str:
    """FLARE's status of a job by its folder at a server; empty where it cannot be read."""
    try:
        return str(json.loads((job / "meta").read_text(encoding="utf-8")).get("status"))
    except (OSError, ValueError, AttributeError):
        return ""


def move_storage(resources: Path, storage: Path) -> None:
    """Keep jobs, results and snapshots in `storage`; FLARE 2.9.0 keeps them in /tmp, which a reboot empties."""
    document = json.loads(resources.read_text(encoding="utf-8"))
    document["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"] = str(storage / SNAPSHOTS)
    for entry in document["components"]:
        if entry["id"] == "job_manager":
            entry["args"]["uri_root"] = str(storage / JOBS)
    write_json_atomic(resources, document)


def move_server(local_dir: Path, storage: Path, *, with_state: bool) -> None:
    """Let a server's kit keep its jobs below another folder; with_state: the state of jobs too, which may be inside."""
    for path in (local_dir / name for name in RESOURCES):
        if path.is_file():
            move_storage(path, storage)
    if with_state:
        path = local_dir / SITE_FILE
        document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_json_atomic(path, {**document, STATE_DIR: str(storage / STATE)})
