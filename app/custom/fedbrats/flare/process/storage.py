"""Where a server's kit says that jobs and snapshots are kept."""

from __future__ import annotations

import json
from pathlib import Path

from fedbrats.errors import ConfigurationError

RESOURCES = ("resources.json", "resources.json.default")  # FLARE reads the first that is there


def storage_of(local_dir: Path) -> tuple[Path, Path]:
    """The folder of a server's jobs, and that of its snapshots. Raises: ConfigurationError."""
    path = next((path for name in RESOURCES if (path := local_dir / name).is_file()), None)
    if path is None:
        raise ConfigurationError(f"{local_dir} has no {RESOURCES[1]}; take `local` from the kit again")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        manager = {entry["id"]: entry for entry in document["components"]}["job_manager"]
        snapshots = document["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"]
        return Path(manager["args"]["uri_root"]), Path(snapshots)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} does not say where the server keeps its jobs: {error!r}") from None
