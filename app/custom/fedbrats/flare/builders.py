"""Provisioning: what fedbrats adds to FLARE's startup kits, in production and in POC alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nvflare.lighter.constants import ProvFileName
from nvflare.lighter.entity import Participant, Project
from nvflare.lighter.spec import Builder, ProvisionContext

from fedbrats.atomic import write_json_atomic
from fedbrats.flare.jobs import build_job, list_jobs
from fedbrats.flare.policy import ALLOWED_CLASSES
from fedbrats.flare.site import REGISTER, SITE_FILE, parse_site_facts, write_site_facts

SUBMITTERS = ("project_admin", "lead")


class FedbratsBuilder(Builder):
    """Writes, for every participant, what fedbrats needs; stands after StaticFileBuilder in project.yml.

    - server and sites: the class allow-list, enforced; no streaming of logs;
    - sites: `local/fedbrats.json` from the participant's property `fedbrats`;
    - server: the register of cases, from the sites' property `registered_cases`;
    - people who may submit: the built jobs in their kit's `transfer` folder.

    Args:
        jobs: names of the jobs to build; None builds all.
        settings: variables to change in those jobs that have them, as with --set.
    """

    def __init__(self, jobs: Sequence[str] | None = None, settings: dict[str, Any] | None = None):
        super().__init__()
        self._jobs = jobs
        self._settings = settings or {}

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        """Add fedbrats' files to the kits under construction."""
        for participant in (project.get_server(), *project.get_clients()):
            restrict_resources(Path(ctx.get_local_dir(participant)) / ProvFileName.RESOURCES_JSON_DEFAULT)
        for site in project.get_clients():
            self._write_site(site, Path(ctx.get_local_dir(site)))
        register = {site.name: site.get_prop(REGISTER) for site in project.get_clients()}
        if all(register.values()):
            local_dir = Path(ctx.get_local_dir(project.get_server()))
            write_json_atomic(local_dir / SITE_FILE, {REGISTER: register})
        for person in project.get_admins():
            if person.get_prop("role") in SUBMITTERS:
                for name in self._jobs if self._jobs is not None else [job.name for job in list_jobs()]:
                    build_job(name, Path(ctx.get_transfer_dir(person)), self._settings)

    @staticmethod
    def _write_site(site: Participant, local_dir: Path) -> None:
        facts = site.get_prop("fedbrats")
        if facts is not None:
            parse_site_facts(facts, site.name, base=local_dir.parent, source=f"project.yml, participant {site.name}")
            write_site_facts(local_dir, facts)


def restrict_resources(resources: Path) -> None:
    """Make a kit's resources accept the components of our jobs and no others, and keep a site's logs at the site.

    FLARE 2.9.0 adds a component to every job that streams the site's error log to the server.
    """
    document = json.loads(resources.read_text(encoding="utf-8"))
    document["class_list_enforcement_mode"] = "enforce"
    document["class_allow_list"] = list(ALLOWED_CLASSES)
    document["allow_log_streaming"] = False
    document["components"] = [entry for entry in document["components"] if entry["id"] != "site_log_streamer"]
    write_json_atomic(resources, document)
