"""Where a participant keeps what it writes: in its kit, and in the folders that its kit names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedbrats.admin.kits import Kit
from fedbrats.atomic import write_json_atomic
from fedbrats.errors import ConfigurationError
from fedbrats.site.site_file import SITE_FILE, STATE_DIR, read_site_facts, read_state_dir

RESOURCES = ("resources.json", "resources.json.default")  # FLARE reads the first that is there
JOBS, SNAPSHOTS, STATE, PERSONAL = "jobs", "snapshots", "state", "personal"
SUBMIT_RECORDS = ("job_submit_records", "job_submit_record_index")  # FLARE's, beside its folder of jobs


def places_of(kit: Kit) -> dict[str, Path]:
    """The folders outside the kit that hold what a participant cannot make again, by their names in a backup.

    Of a server: jobs with their results, snapshots, and the state of running jobs. Of a site: personal weights and
    optimisers. A site's scans and its cache of prepared cases are not in it.

    Raises: ConfigurationError where a file of the kit cannot be read.
    """
    if kit.kind == "server":
        jobs, snapshots = storage_of(kit)
        found = {JOBS: jobs, SNAPSHOTS: snapshots, STATE: read_state_dir(kit.local_dir)}
        found |= {name: jobs.parent / name for name in SUBMIT_RECORDS}
    elif kit.kind == "client":
        found = {PERSONAL: read_site_facts(kit.local_dir, kit.name).personal_dir}
    else:
        found = {}
    inside = kit.folder.resolve()
    return {name: path for name, path in found.items() if not path.resolve().is_relative_to(inside)}


def storage_of(kit: Kit) -> tuple[Path, Path]:
    """Where a server keeps its jobs, and its snapshots. Raises: ConfigurationError."""
    path = next((path for name in RESOURCES if (path := kit.local_dir / name).is_file()), None)
    if path is None:
        raise ConfigurationError(f"{kit.local_dir} has no {RESOURCES[1]}; take `local` from the kit again")
    try:
        return _storage_in(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise ConfigurationError(f"{path} does not say where the server keeps its jobs: {error!r}") from None


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


def _storage_in(document: dict[str, Any]) -> tuple[Path, Path]:
    manager = next(iter(entry for entry in document["components"] if entry["id"] == "job_manager"))
    snapshots = document["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"]
    return Path(manager["args"]["uri_root"]), Path(snapshots)
