"""The folders of a job that runs in one process, as FLARE lays them out for a server and its sites."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from nvflare.apis.fl_constant import SiteType, WorkspaceConstants
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.workspace import Workspace

from fedbrats.atomic import write_json_atomic
from fedbrats.errors import ConfigurationError

LOCAL = WorkspaceConstants.SITE_FOLDER_NAME


def lay_out(job_dir: Path, root: Path, sites: Sequence[str], job_id: str) -> dict[str, Workspace]:
    """The workspaces of the server and of the sites under `root`, by name, with the job deployed in each.

    Every one has a copy of the folder `local` of `root`. The sites share the application by links, for no site writes
    into it; the server has a copy, which its models are written into.

    Raises: ConfigurationError where the job has not one application for everybody.
    """
    meta = json.loads((job_dir / "meta.json").read_text(encoding="utf-8"))
    apps = list(meta[JobMetaKey.DEPLOY_MAP.value])
    if len(apps) != 1:
        raise ConfigurationError(f"{job_dir} has {len(apps)} applications: in one process every site runs the same")
    meta |= {JobMetaKey.JOB_ID.value: job_id, JobMetaKey.JOB_CLIENTS.value: [{"name": name} for name in sites]}
    app = (job_dir / apps[0]).resolve()
    workspaces = {}
    for name in (SiteType.SERVER, *sites):
        kit = root / name
        (kit / WorkspaceConstants.STARTUP_FOLDER_NAME).mkdir(parents=True)
        shutil.copytree(root / LOCAL, kit / LOCAL)
        workspace = Workspace(str(kit), site_name=name)
        deployed = Path(workspace.get_app_dir(job_id))
        deployed.parent.mkdir(parents=True)
        if name == SiteType.SERVER:
            shutil.copytree(app, deployed)
        else:
            deployed.symlink_to(app, target_is_directory=True)
        write_json_atomic(Path(workspace.get_job_meta_path(job_id)), meta)
        workspaces[name] = workspace
    return workspaces
