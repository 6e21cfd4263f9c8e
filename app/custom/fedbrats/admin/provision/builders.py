"""Provisioning: what fedbrats adds to FLARE's startup kits, in production and in POC alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.lighter.constants import CtxKey, ParticipantType, ProvFileName, ProvisionMode
from nvflare.lighter.entity import Participant, Project
from nvflare.lighter.spec import Builder, ProvisionContext
from nvflare.lighter.utils import sign_folders

import fedbrats
from fedbrats.admin.kits import fingerprint, read_certificate
from fedbrats.admin.operate.places import STATE, move_storage
from fedbrats.admin.provision.start_script import write_scripts
from fedbrats.admin.provision.unknown import FACTS, STORAGE, check_server_facts
from fedbrats.atomic import write_json_atomic, write_text_atomic
from fedbrats.errors import ConfigurationError
from fedbrats.extensions.kit_file import server_classes, write_extensions
from fedbrats.extensions.packages import Package, find_listed
from fedbrats.flare.kit.policy import (
    APP_VALIDATOR,
    AUTHORIZATION,
    COMM_CONFIG,
    COMM_CONFIG_FILE,
    GUARD_COMPONENT,
    HOUSEKEEPING_COMPONENT,
    PRIVACY,
    REJOIN_COMPONENT,
    RULES_COMPONENT,
    SERVER_CLASSES,
    SITE_CLASSES,
    SUBMITTER_COMPONENT,
)
from fedbrats.flare.kit.signers import SUBMITTERS
from fedbrats.jobs.build import (
    build_job,
    find_job,
    job_variables,
    list_jobs,
)
from fedbrats.shipped import shipped_dir
from fedbrats.site.register import CONSORTIUM_FILE, REGISTERED
from fedbrats.site.site_file import (
    MLFLOW,
    REGISTER,
    SITE_FILE,
    STATE_DIR,
    check_register,
    parse_site_facts,
    write_site_facts,
)

CONSTRAINTS_FILE = "constraints.txt"
README_FILE = "README.md"
SITE_LOG_STREAMER = "site_log_streamer"
START_TIMEOUT_S = 300.0
ENGINE_CHECK_S = 0.5  # how long a job's server takes at most to see that the job is done; FLARE's default is 3 s
REQUESTS_LOGGER = "nvflare.fuel.hci.server.authz"


# What a job may take of a hospital, and how many evaluations are told a day, where project.yml says nothing else.
SITE_LIMITS = {"max_hours": 720, "cache_gb": 100, "max_evaluations": 1000}


class FedbratsBuilder(Builder):
    """Writes, for every participant, what fedbrats needs; stands after StaticFileBuilder in project.yml.

    - server and sites: who may say what to whom; mutual TLS on internal ports; the class list, enforced; the rules
      that a job is signed by who may submit, and names no path; a start with an emptied environment; no streaming of
      logs, and none that grows for ever; no code with a job, whoever submits it; the consortium's versions;
    - sites: `local/fedbrats.json` from the participant's property `fedbrats`; a privacy scope that no job can leave;
    - server: the register of cases, from the sites' property `registered_cases`; its storage, from `storage_dir`; where
      training curves go besides TensorBoard, from `mlflow_uri`; the component that gives running jobs to sites that
      come back; a log of who asks for what;
    - people who may submit: the built jobs in their kit's `transfer` folder;
    - everybody: a README for the person who receives the kit.

    Args:
        jobs: names of the jobs to build; None builds all.
        settings: variables to change in those jobs that have them, as with --set; one that no job has is refused.
        study_days: how long the study lasts; `fedbrats doctor` holds the certificates against it.
        extensions: packages beside fedbrats whose classes jobs may name, a line each, as `fedbrats job extension`
            prints it; they are installed where this runs, and at every participant.
    """

    def __init__(
        self,
        jobs: Sequence[str] | None = None,
        settings: dict[str, Any] | None = None,
        study_days: int | None = None,
        extensions: Sequence[str] = (),
    ):
        super().__init__()
        self._jobs = jobs
        self._settings = settings or {}
        self._study_days = study_days
        self._extensions = [find_listed(line) for line in extensions]

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        """Add fedbrats' files to the kits under construction."""
        every = [job.name for job in list_jobs() if not job.needs_models]
        jobs = share_settings(self._jobs if self._jobs is not None else every, self._settings)
        server = project.get_server()
        for participant in (server, *project.get_clients()):
            local_dir = Path(ctx.get_local_dir(participant))
            restrict_resources(local_dir / ProvFileName.RESOURCES_JSON_DEFAULT)
            allow_extensions(local_dir, self._extensions)
            quieten_console(local_dir / ProvFileName.LOG_CONFIG_DEFAULT)
            write_scripts(Path(ctx.get_kit_dir(participant)))
            write_json_atomic(local_dir / ProvFileName.AUTHORIZATION_JSON_DEFAULT, AUTHORIZATION)
            write_json_atomic(local_dir / COMM_CONFIG_FILE, COMM_CONFIG)
            (local_dir / ProvFileName.PRIVACY_JSON_SAMPLE).unlink(missing_ok=True)
        for site in project.get_clients():
            limits = {} if ctx.get_provision_mode() == ProvisionMode.POC else SITE_LIMITS
            self._write_site(site, Path(ctx.get_local_dir(site)), limits)
        add_component(Path(ctx.get_local_dir(server)) / ProvFileName.RESOURCES_JSON_DEFAULT, REJOIN_COMPONENT)
        self._write_server(project, server, Path(ctx.get_local_dir(server)))
        end_jobs_soon(Path(ctx.get_kit_dir(server)) / ProvFileName.FED_SERVER_JSON)
        for person in project.get_admins():
            if person.get_prop("role") in SUBMITTERS:
                for name, settings in jobs.items():
                    build_job(name, Path(ctx.get_transfer_dir(person)), settings)

    def finalize(self, project: Project, ctx: ProvisionContext) -> None:
        """Write what speaks of the root certificate, which exists only now."""
        # Where a hospital packages a kit around its own key, its participant alone has a root here.
        participants = [p for p in project.get_all_participants() if _root_path(p, ctx).is_file()]
        root = fingerprint(read_certificate(_root_path(participants[0], ctx)))
        server = project.get_server()
        address = f"{server.get_default_host()}:{ctx[CtxKey.FED_LEARN_PORT]}"
        consortium = {
            "name": project.name,
            "fedbrats": fedbrats.__version__,
            "oldest": fedbrats.__oldest__,
            "study_days": self._study_days,
            "root_fingerprint": root,
            "sites": [site.name for site in project.get_clients()],
        }
        for participant in participants:
            folder = Path(ctx.get_ws_dir(participant))
            folder.chmod(0o700)
            cases = participant.get_prop(REGISTER)
            own = consortium if cases is None else {**consortium, REGISTERED: cases}
            if participant.type == ParticipantType.CLIENT:  # the kits of the others stay as they are when one comes
                own = {name: value for name, value in own.items() if name != "sites"}
            write_json_atomic(folder / "local" / CONSORTIUM_FILE, own)
            constraints = shipped_dir() / CONSTRAINTS_FILE
            if constraints.is_file():
                shutil.copyfile(constraints, folder / "local" / CONSTRAINTS_FILE)
            words = {
                "name": participant.name,
                "organisation": participant.org,
                "role": participant.get_prop("role", ""),
                "project": project.name,
                "server": address,
                "version": fedbrats.__version__,
            }
            write_text_atomic(folder / README_FILE, Template(_read_template(participant.type)).substitute(words))
            (folder / ProvFileName.README_TXT).unlink(missing_ok=True)

    @staticmethod
    def _write_site(site: Participant, local_dir: Path, limits: Mapping[str, Any]) -> None:
        write_json_atomic(local_dir / "privacy.json", PRIVACY)
        facts = site.get_prop(FACTS)
        if facts is not None:
            parse_site_facts(facts, site.name, base=local_dir.parent, source=f"project.yml, participant {site.name}")
            write_site_facts(local_dir, {**facts, **{name: facts.get(name, limits[name]) for name in limits}})

    @staticmethod
    def _write_server(project: Project, server: Participant, local_dir: Path) -> None:
        register = _register_of(project)
        facts = check_server_facts(server.get_prop(FACTS), server.name)
        storage = facts.get(STORAGE)
        document: dict[str, Any] = {REGISTER: register} if register else {}
        if facts.get(MLFLOW):
            document[MLFLOW] = facts[MLFLOW]
        if storage is not None:
            document[STATE_DIR] = str(Path(storage) / STATE)
        if document:
            write_json_atomic(local_dir / SITE_FILE, document)
        if storage is not None:
            move_storage(local_dir / ProvFileName.RESOURCES_JSON_DEFAULT, Path(storage))
        log_requests(local_dir / ProvFileName.LOG_CONFIG_DEFAULT)


class StartupSigner(Builder):
    """Signs every kit's `startup` folder with the root's key; stands after CertBuilder in project.yml.

    A server or site then refuses to start from an altered one. FLARE 2.9.0 signs kits with homomorphic encryption or
    confidential computing only. `local`, which belongs to the hospital, stays unsigned.
    """

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        """Write `startup/signature.json`."""
        for participant in project.get_all_participants():
            sign_folders(
                ctx.get_kit_dir(participant), ctx[CtxKey.ROOT_PRI_KEY], signature_file=ProvFileName.SIGNATURE_JSON
            )


def share_settings(names: Sequence[str], settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each job: those that it has, for jobs do not all have the same variables.

    Raises: ConfigurationError for a setting that no job has, or that a job cannot be run with.
    """
    if not settings:
        return {name: {} for name in names}
    from fedbrats.jobs.plan import check_settings  # brings PyTorch, which few who provision wait for

    variables = {name: job_variables(find_job(name)) for name in names}
    known = {variable for own in variables.values() for variable in own}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise ConfigurationError(
            f"project.yml, settings of FedbratsBuilder: no job has a variable {', '.join(unknown)}; there are: "
            f"{', '.join(sorted(known))}"
        )
    shared = {name: {key: settings[key] for key in settings if key in own} for name, own in variables.items()}
    for name, own_settings in shared.items():
        try:
            check_settings(name, own_settings)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"project.yml, settings of FedbratsBuilder, job {name}: {error}; `jobs` there says which jobs to build"
            ) from None
    return shared


def restrict_resources(resources: Path) -> None:
    """Make a kit's resources accept the components of our jobs and no others, and keep a site's logs at the site.

    FLARE 2.9.0 adds a component to every job that streams the site's error log to the server. It gives a site 30 s to
    load what it needs; a busy machine needs longer, and the site then waits for ever without a word.
    """
    document = _read(resources)
    document["class_list_enforcement_mode"] = "enforce"
    document["class_allow_list"] = list(SITE_CLASSES if "client" in document else SERVER_CLASSES)
    document["allow_log_streaming"] = False
    kept = [entry for entry in document["components"] if entry["id"] != SITE_LOG_STREAMER]
    document["components"] = [GUARD_COMPONENT, HOUSEKEEPING_COMPONENT, *kept, SUBMITTER_COMPONENT, RULES_COMPONENT]
    document["app_validator"] = APP_VALIDATOR
    if "client" in document:
        document["client"]["engine_create_timeout"] = START_TIMEOUT_S
    write_json_atomic(resources, document)


def allow_extensions(local_dir: Path, packages: Sequence[Package]) -> None:
    """Let jobs name the classes of these packages at a kit: FLARE builds those of the server, we those of both."""
    write_extensions(local_dir, packages)
    for name in (ProvFileName.RESOURCES_JSON_DEFAULT, WorkspaceConstants.RESOURCES_CONFIG):
        document = _read(local_dir / name) if (local_dir / name).is_file() else {}
        if "class_allow_list" in document and "client" not in document:
            listed = document["class_allow_list"]
            document["class_allow_list"] = [*listed, *(path for path in server_classes(packages) if path not in listed)]
            write_json_atomic(local_dir / name, document)


def end_jobs_soon(startup: Path) -> None:
    """Have the server's process of a job look often whether the job is done."""
    document = _read(startup)
    for server in document["servers"]:
        server["check_engine_frequency"] = ENGINE_CHECK_S
    write_json_atomic(startup, document)


def quieten_console(log_config: Path) -> None:
    """Leave only warnings and errors on the console: FLARE rotates its log files, but nobody rotates a console."""
    document = _read(log_config)
    document["handlers"]["consoleHandler"]["level"] = "WARNING"
    write_json_atomic(log_config, document)


def add_component(resources: Path, component: dict[str, Any]) -> None:
    """Let a kit's own process have one more component."""
    document = _read(resources)
    document["components"].insert(-1, component)  # the rule that judges components stays the last
    write_json_atomic(resources, document)


def log_requests(log_config: Path) -> None:
    """Have the server log who asked for what; the audit trail of FLARE 2.9.0 leaves out what was refused."""
    document = _read(log_config)
    document["loggers"][REQUESTS_LOGGER] = {"level": "DEBUG"}
    write_json_atomic(log_config, document)


def _register_of(project: Project) -> dict[str, int]:
    """The cases that each site registered; empty where no site did. One site without would leave all without a limit.

    Raises: ConfigurationError that names the site.
    """
    register = {site.name: site.get_prop(REGISTER) for site in project.get_clients()}
    if all(cases is None for cases in register.values()):
        return {}
    check_register(register, f"project.yml, {REGISTER} (of every participant of type client, or of none)")
    return register


def _root_path(participant: Participant, ctx: ProvisionContext) -> Path:
    return Path(ctx.get_kit_dir(participant)) / "rootCA.pem"


def _read_template(kind: str) -> str:
    name = {ParticipantType.SERVER: "server", ParticipantType.CLIENT: "site"}.get(kind, "person")
    return (shipped_dir() / "provisioning" / "readme" / f"{name}.md").read_text(encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
