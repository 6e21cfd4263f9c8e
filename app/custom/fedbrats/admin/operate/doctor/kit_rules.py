"""The rules in a kit's `local` folder, against those that provisioning writes."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import (
    HOSPITAL_IT,
    PROJECT_ADMIN,
    Finding,
    doubtful,
    failed,
    good,
)
from fedbrats.errors import ConfigurationError
from fedbrats.extensions.kit_file import read_extensions, server_classes
from fedbrats.extensions.loading import require_sound
from fedbrats.extensions.packages import Package
from fedbrats.flare.kit.policy import (
    COMM_CONFIG,
    COMM_CONFIG_FILE,
    GUARD_COMPONENT,
    PRIVACY,
    RULES_COMPONENT,
    SERVER_CLASSES,
    SITE_CLASSES,
)
from fedbrats.flare.kit.versions import find_missing, say_missing

CODE_RIGHTS = ("byoc", "server-predeployed-flwr")


def check(kit: Kit) -> Iterator[Finding]:
    """Findings about the allow-list, who may bring code, and what filters every result."""
    resources = read_local(kit.local_dir, "resources.json")
    yield from _check_version([resources, *_read_privacy(kit)])
    packages = yield from _check_extensions(kit)
    yield from _check_resources(resources, packages)
    yield from _check_messages(kit, resources)
    yield _check_authorization(read_local(kit.local_dir, "authorization.json"))
    if kit.kind == "client":
        yield _check_privacy(kit.local_dir)


def _check_version(documents: list[dict[str, Any]]) -> Iterator[Finding]:
    """A failure where the kit names classes that this version does not have; nothing where it does not."""
    if missing := find_missing(documents):
        remedy = "have the kit built again with this version; keep fedbrats.json, which is the hospital's"
        yield failed("kit version", say_missing(missing), remedy, PROJECT_ADMIN)


def _read_privacy(kit: Kit) -> list[dict[str, Any]]:
    """The kit's privacy.json, where it is a hospital's and can be read; `_check_privacy` says where it cannot."""
    try:
        return [read_local(kit.local_dir, "privacy.json")] if kit.kind == "client" else []
    except ConfigurationError:
        return []


def _check_extensions(kit: Kit) -> Generator[Finding, None, list[Package]]:
    """A finding for each package beside fedbrats that the kit lists; returns them."""
    try:
        packages = read_extensions(kit.local_dir)
    except ConfigurationError as error:
        yield failed("extensions", str(error), "take local/extensions.json from the kit again", HOSPITAL_IT)
        return []
    for package in packages:
        try:
            require_sound(package)
        except ConfigurationError as error:
            remedy = "install the package that the consortium has agreed on"
            yield failed("extensions", str(error), remedy, HOSPITAL_IT)
        else:
            yield good("extensions", f"{package.module} {package.version}, as the kit lists it")
    return packages


def _check_resources(resources: dict[str, Any], packages: Sequence[Package]) -> Iterator[Finding]:
    allowed = set(resources.get("class_allow_list", ()))
    wanted = set(SITE_CLASSES if "client" in resources else SERVER_CLASSES)
    wanted |= set() if "client" in resources else set(server_classes(packages))
    more, fewer = sorted(allowed - wanted), sorted(wanted - allowed)
    if resources.get("class_list_enforcement_mode") != "enforce":
        found, remedy = "not enforced", 'set class_list_enforcement_mode to "enforce" in resources.json'
        yield failed("allow-list", found, remedy, HOSPITAL_IT)
    elif more:
        yield doubtful("allow-list", f"also allows {', '.join(more)}", "is that meant?", HOSPITAL_IT)
    elif fewer:
        yield doubtful("allow-list", f"lacks {', '.join(fewer)}", "jobs that need them will fail here", HOSPITAL_IT)
    else:
        yield good("allow-list", f"enforced, {len(allowed)} classes")
    if RULES_COMPONENT["path"] in [entry.get("path") for entry in resources.get("components", ())]:
        yield good("paths", "no argument of a job may name one")
    else:
        remedy = f"add {json.dumps(RULES_COMPONENT)} to components in resources.json"
        yield failed("paths", "a job may name a path on this machine", remedy, HOSPITAL_IT)


def _check_messages(kit: Kit, resources: dict[str, Any]) -> Iterator[Finding]:
    """Findings about who is heard by this participant's processes, and who gets into their ports."""
    if GUARD_COMPONENT["path"] in [entry.get("path") for entry in resources.get("components", ())]:
        yield good("messages", "this participant hears only what it should")
    else:
        remedy = f"put {json.dumps(GUARD_COMPONENT)} first in components in resources.json"
        yield failed("messages", "whoever is in the consortium commands this participant", remedy, HOSPITAL_IT)
    try:
        internal = read_local(kit.local_dir, COMM_CONFIG_FILE).get("internal")
    except ConfigurationError:
        internal = None
    if _asks_for_certificates(internal):
        yield good("internal ports", "ask for a certificate")
    else:
        remedy = f"write {json.dumps(COMM_CONFIG)} to local/{COMM_CONFIG_FILE}"
        yield failed("internal ports", "every user of this machine can be this participant", remedy, HOSPITAL_IT)


def _asks_for_certificates(internal: Any) -> bool:
    """Whether ports for job processes use mutual TLS; FLARE keeps it in a kit for containers, with `tcp` (2.9.0)."""
    resources = internal.get("resources") if isinstance(internal, dict) else None
    wanted = COMM_CONFIG["internal"]["resources"]["connection_security"]
    return isinstance(resources, dict) and resources.get("connection_security") == wanted


def _check_authorization(document: dict[str, Any]) -> Finding:
    bringers = [
        role
        for role, rights in document.get("permissions", {}).items()
        if rights == "any" or (isinstance(rights, dict) and any(rights.get(r, "none") != "none" for r in CODE_RIGHTS))
    ]
    if bringers:
        remedy = "set byoc to none for every role in authorization.json"
        return failed("code in jobs", f"{', '.join(bringers)} may bring code", remedy, HOSPITAL_IT)
    return good("code in jobs", "refused, whoever submits")


def _check_privacy(local_dir: Path) -> Finding:
    try:
        document = json.loads((local_dir / "privacy.json").read_text(encoding="utf-8"))
        scopes = {scope["name"]: scope.get("task_result_filters", []) for scope in document["scopes"]}
        filters = [entry.get("path") for entry in scopes[document["default_scope"]]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "take privacy.json from the kit again"
        return failed("privacy", f"no scope for every job: {error!r}", remedy, HOSPITAL_IT)
    gate = PRIVACY["scopes"][0]["task_result_filters"][0]["path"]  # type: ignore[index]
    open_scopes = [name for name, entries in scopes.items() if gate not in [entry.get("path") for entry in entries]]
    if open_scopes:
        remedy = f"put {gate} first in it"
        return failed("privacy", f"the scope {', '.join(open_scopes)} lacks the site's gate", remedy, HOSPITAL_IT)
    return good("privacy", f"{len(filters)} filters that no job can leave out")


def read_local(local_dir: Path, name: str) -> dict[str, Any]:
    """The hospital's own file, else the one of the kit, as FLARE chooses."""
    path = next((path for path in (local_dir / name, local_dir / f"{name}.default") if path.exists()), None)
    if path is None:
        raise ConfigurationError(f"{local_dir} has neither {name} nor {name}.default")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
