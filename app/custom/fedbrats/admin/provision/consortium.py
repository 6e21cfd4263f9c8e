"""Provisioning a consortium: from project.yml to one startup kit a participant, and what changes it later.

The state beside the kits holds every certificate, and the root's private key where it does not lie apart
(fedbrats.admin.provision.root_key): it makes later kits belong to the same consortium, and whoever has it can join as
anybody. The folder is readable by its owner alone.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fedbrats.admin.kits import fingerprint, open_kit
from fedbrats.admin.provision.names import check_participant, check_project_name
from fedbrats.admin.provision.root_key import STATE_FILE, Root, is_locked, open_root, read_state, state_dir
from fedbrats.admin.run.sessions import quiet
from fedbrats.atomic import PRIVATE_FILE, PRIVATE_FOLDER, write_json_atomic, write_text_atomic
from fedbrats.errors import ConfigurationError

if TYPE_CHECKING:
    from nvflare.lighter.entity import Project

BUILD_PREFIX = "prod_"  # FLARE's, before the number of a build
PARTICIPANTS = "participants"
_RAISED = re.compile(
    r"Exception (?:\[Errno \d+\] )?(.*) raised during provision\.\s+Incomplete prod_n folder removed\.", re.DOTALL
)
logger = logging.getLogger(__name__)


def read_project(path: Path) -> dict[str, Any]:
    """Read a project.yml. Raises: ConfigurationError where it is none."""
    try:
        project = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"cannot read the project {path}: {error}") from None
    if not isinstance(project, dict) or not isinstance(project.get(PARTICIPANTS), list) or "name" not in project:
        raise ConfigurationError(f"{path} is no FLARE project: it needs a name, participants and builders")
    check_project_name(project["name"])
    return project


def build_kits(project: dict[str, Any], out_dir: Path, *, poc: bool = False, root: Root | None = None) -> Path:
    """Build a kit for every participant and return the folder that holds them, `out_dir/NAME/prod_NN`.

    Participants known from an earlier build in the same folder keep their certificates.

    Args:
        project: of project.yml.
        out_dir: folder of the builds.
        poc: whether the kits are for a federation on one workstation.
        root: with its private key, needed where that lies apart.

    Raises: ConfigurationError for a participant whose names FLARE cannot carry, where the root's key is not there, or
        with what FLARE says of the project.
    """
    from nvflare.lighter.constants import CtxKey, ProvisionMode
    from nvflare.lighter.prov_utils import prepare_builders
    from nvflare.lighter.provisioner import Provisioner

    for entry in project[PARTICIPANTS]:
        check_participant(entry if isinstance(entry, dict) else {})
    project = copy.deepcopy(project)  # FLARE 2.9.0 writes into it
    out_dir.mkdir(parents=True, exist_ok=True)
    out_dir.chmod(PRIVATE_FOLDER)
    locked = is_locked(project, out_dir)
    if locked and root is None:
        root = open_root(project, out_dir)
    mode = ProvisionMode.POC if poc else ProvisionMode.NORMAL
    # FLARE 2.9.0 prints a traceback for whatever a builder refuses; its text is in the context as well.
    with quiet(), open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        try:
            provisioner = Provisioner(str(out_dir), prepare_builders(project))
            ctx = provisioner.provision(_prepared(project, root if locked else None), mode=mode, logger=logger)
        except (ValueError, RuntimeError, TypeError) as error:
            raise ConfigurationError(f"the project {project['name']} cannot be provisioned: {error}") from error
    _protect(state_dir(project, out_dir))
    if ctx.get(CtxKey.BUILD_ERROR):
        raise ConfigurationError(f"the project {project['name']} cannot be provisioned: {_reasons(ctx.get_errors())}")
    kits = Path(ctx[CtxKey.CURRENT_PROD_DIR])
    _require_protections(kits, project["name"])
    return kits


def _prepared(project: dict[str, Any], root: Root | None) -> Project:
    """FLARE's project; root: one whose key FLARE does not find beside the certificates, and never writes there."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from nvflare.lighter.provision import prepare_project

    prepared = prepare_project(project)
    if root is not None:
        prepared.root_private_key = root.key
        prepared.serialized_root_cert = root.certificate.public_bytes(Encoding.PEM)
    return prepared


def _reasons(errors: Iterable[str]) -> str:
    """What FLARE 2.9.0 says of a failed build, without its words around a reason and the number of a system's error."""
    return "; ".join(_RAISED.sub(r"\1", error).strip() for error in errors)


def _require_protections(kits: Path, project: str) -> None:
    """Remove what was built, and raise ConfigurationError, where a kit lacks what protects its participant."""
    from fedbrats.admin.operate.doctor import kit_rules, protections
    from fedbrats.admin.operate.doctor.finding import FAILED

    for kit in (open_kit(path) for path in sorted(kits.iterdir()) if (path / "startup").is_dir()):
        checks = () if kit.kind == "admin" else (kit_rules.check, protections.check_built)
        if lacking := [finding for check in checks for finding in check(kit) if finding.state == FAILED]:
            shutil.rmtree(kits)
            raise ConfigurationError(
                f"the project {project} cannot be provisioned: the kit of {kit.name} would lack "
                f"{', '.join(finding.check for finding in lacking)}; take the builders of provisioning/project.yml"
            )


@contextlib.contextmanager
def participant_added(path: Path, entry: Mapping[str, Any]) -> Iterator[None]:
    """A project.yml with one more participant, which stays where the block, its first build, does not fail.

    An entry that no build accepts would hinder every later one, and the corrected one by its name.
    Raises: as `add_participant`.
    """
    before = add_participant(path, entry)
    try:
        yield
    except BaseException:  # a person's Ctrl-C too
        write_text_atomic(path, before)
        raise


def add_participant(path: Path, entry: Mapping[str, Any]) -> str:
    """Append a participant to a project.yml, whose comments stay as they are; returns the text it had before.

    Raises: ConfigurationError where one of that name is there, or `participants` is not the file's last section.
    """
    before = read_project(path)
    if entry["name"] in [known["name"] for known in before[PARTICIPANTS]]:
        raise ConfigurationError(f"{path} already has a participant named {entry['name']}")
    item = yaml.safe_dump([dict(entry)], sort_keys=False)
    old = path.read_text(encoding="utf-8")
    text = old.rstrip("\n") + "\n" + "".join(f"  {line}\n" for line in item.splitlines())
    try:
        after = yaml.safe_load(text)
    except yaml.YAMLError:
        after = None
    if after != {**before, PARTICIPANTS: [*before[PARTICIPANTS], dict(entry)]}:
        raise ConfigurationError(f"{path}: {PARTICIPANTS} must be the last section, its items indented by two spaces")
    write_text_atomic(path, text)
    return old


def forget_certificates(project: Mapping[str, Any], out_dir: Path, names: Collection[str]) -> None:
    """Let the next build make new keys and certificates for these participants; the root stays.

    The old certificates stay valid until they expire, or are revoked (fedbrats.admin.provision.revoking).

    Raises: ConfigurationError for a participant that has none.
    """
    path = state_dir(project, out_dir) / STATE_FILE
    state = read_state(path)
    unknown = sorted(set(names) - set(state))
    if unknown:
        raise ConfigurationError(f"{', '.join(unknown)} never had a certificate; see `fedbrats provision show`")
    write_json_atomic(path, {name: entry for name, entry in state.items() if name not in names}, mode=PRIVATE_FILE)


def retire_root(project: Mapping[str, Any], out_dir: Path) -> Path:
    """Put the root and every certificate aside, so that the next build makes all of them anew; returns where.

    Raises: ConfigurationError where there is no root yet.
    """
    state = state_dir(project, out_dir)
    read_state(state / STATE_FILE)
    retired = state.with_name(f"state-retired-{time.strftime('%Y%m%d-%H%M%S')}")
    state.rename(retired)
    return retired


def export_authority(project: Mapping[str, Any], out_dir: Path, folder: Path, root: Root | None = None) -> None:
    """Write the root as `nvflare cert approve` takes it, for participants that make their own keys.

    `folder` gets rootCA.pem, rootCA.key, ca.json and project_profile.yaml; like the state, it belongs to nobody else.
    FLARE 2.9.0 takes a key without a passphrase only.

    Raises: ConfigurationError where there is no root yet, or the project has no server.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    root = root or open_root(project, out_dir)
    server = next((entry for entry in project[PARTICIPANTS] if entry.get("type") == "server"), None)
    if server is None:
        raise ConfigurationError(f"the project {project['name']} has no participant of type server")
    port = server.get("fed_learn_port", 8002)
    profile = {
        "name": project["name"],
        "scheme": "grpc",
        "connection_security": "mtls",
        "server": {"host": server["name"], "fed_learn_port": port, "admin_port": server.get("admin_port", port)},
    }
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(PRIVATE_FOLDER)
    write_text_atomic(folder / "rootCA.key", root.key_pem().decode(), mode=PRIVATE_FILE)
    write_text_atomic(folder / "rootCA.pem", root.certificate.public_bytes(Encoding.PEM).decode())
    write_text_atomic(folder / "project_profile.yaml", yaml.safe_dump(profile, sort_keys=False))
    about = {
        "project": project["name"],
        "created_at": f"{root.certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "provision_version": "00",
        "rootCA_fingerprint": f"SHA256:{fingerprint(root.certificate)}",
    }
    write_json_atomic(folder / "ca.json", about)


def _protect(state: Path) -> None:
    """Keep what FLARE 2.9.0 wrote with the mode of the umask from everybody but its owner."""
    if state.is_dir():
        state.chmod(PRIVATE_FOLDER)
        for path in state.rglob("*"):
            path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)
