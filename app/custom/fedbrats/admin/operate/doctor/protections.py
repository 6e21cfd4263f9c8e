"""What protects a participant from the others, and from its own machine's users: is all of it in the kit?"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from typing import Any

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import HOSPITAL_IT, PROJECT_ADMIN, Finding, doubtful, failed, good
from fedbrats.admin.operate.doctor.kit_rules import read_local
from fedbrats.admin.provision.start_script import MARK, MORE_NAMES, SCRIPT
from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.policy import APP_VALIDATOR, SUBMITTER_COMPONENT
from fedbrats.privacy.secure.keys import read_identity
from fedbrats.site.register import CONSORTIUM_FILE
from fedbrats.site.site_file import REGISTER, SITE_FILE, read_server_facts, read_site_facts

LIMITS = ("max_hours", "cache_gb", "max_evaluations")  # of a site's file; without one of them a job may take any amount
ANOTHERS = stat.S_IRWXG | stat.S_IRWXO


def check(kit: Kit) -> Iterator[Finding]:
    """Findings about a server's or a site's kit, and about who on this machine can read what it writes."""
    yield from check_built(kit)
    if kit.kind == "client":
        yield _check_limits(kit)
        yield _check_pads(kit)
    else:
        yield _check_register(kit)
    yield _check_readers(kit)


def check_built(kit: Kit) -> Iterator[Finding]:
    """What must be in every kit of a server or a site that is built, beside the rules in `kit_rules`."""
    resources = read_local(kit.local_dir, "resources.json")
    components = [entry.get("path") for entry in resources.get("components", ())]
    renew = f"`fedbrats provision renew {kit.name}`: this kit is of an earlier version"
    yield _check_signatures(resources, components, renew)
    yield from _check_environment(kit, renew)


def check_usages(kit: Kit) -> Iterator[Finding]:
    """Whether the certificate says what its key is for."""
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound

    try:
        kit.certificate.extensions.get_extension_for_class(ExtendedKeyUsage)
    except ExtensionNotFound:
        remedy = f"`fedbrats provision renew {kit.name}`, and hand the new kit over"
        found = "says no use, so that it counts for every one: the kit is of an earlier version"
        yield doubtful("certificate use", found, remedy, PROJECT_ADMIN)
    else:
        yield good("certificate use", "a person's" if kit.kind == "admin" else "a server's or a site's")


def _check_signatures(resources: dict[str, Any], components: list[Any], renew: str) -> Finding:
    validator = (resources.get("app_validator") or {}).get("path")
    if validator == APP_VALIDATOR["path"] and SUBMITTER_COMPONENT["path"] in components:
        return good("signatures", "a job runs that a lead or project admin signed, and no other")
    remedy = f'{renew}; or add {json.dumps(SUBMITTER_COMPONENT)} and "app_validator": {json.dumps(APP_VALIDATOR)}'
    return failed("signatures", "a job runs whoever of the consortium signed it", remedy, PROJECT_ADMIN)


def _check_environment(kit: Kit, renew: str) -> Iterator[Finding]:
    script = kit.startup_dir / SCRIPT
    if not script.is_file():  # a container's form of a kit has another start
        return
    more = kit.local_dir / MORE_NAMES
    if MARK not in script.read_text(errors="replace"):
        yield failed("environment", "the processes see all of their caller's", renew, PROJECT_ADMIN)
    elif more.is_file() and (names := more.read_text(errors="replace").split()):
        remedy = "is none of them a secret, which code of the processes could read?"
        yield doubtful("environment", f"emptied but for {', '.join(names)}", remedy, HOSPITAL_IT)
    else:
        yield good("environment", "emptied at the start")


def _check_limits(kit: Kit) -> Finding:
    facts = read_site_facts(kit.local_dir, kit.name)
    if missing := [name for name in LIMITS if getattr(facts, name) is None]:
        remedy = f"set {', '.join(missing)} in local/fedbrats.json (documentation, Deployment: Times)"
        return doubtful("limits", f"a job may take any amount: no {', '.join(missing)}", remedy, HOSPITAL_IT)
    return good("limits", ", ".join(f"{name} {getattr(facts, name):g}" for name in LIMITS))


def _check_pads(kit: Kit) -> Finding:
    """Whether the hospital demands that its updates are covered, and whether its kit can do so."""
    if not read_site_facts(kit.local_dir, kit.name).require_pads:
        return good("pads", "not demanded (require_pads): a job may send this site's updates open to the server")
    try:
        read_identity(kit.startup_dir, kit.name)
    except ConfigurationError as error:
        remedy = f"`fedbrats provision renew {kit.name}`; until then this site takes no part in any training"
        return failed("pads", str(error), remedy, PROJECT_ADMIN)
    return good("pads", "demanded (require_pads): a job without secure=pads gets no update of this site")


def _check_register(kit: Kit) -> Finding:
    """Whether the server knows how many cases each site may claim."""
    remedy = f"{REGISTER} for every site in project.yml; `fedbrats provision build`, and copy local/{SITE_FILE}"
    register = read_server_facts(kit.local_dir).registered_cases
    if register is None:
        found = "none: a site's weight is what it says of itself"
        return doubtful("register", found, remedy, PROJECT_ADMIN)
    sites = read_local(kit.local_dir, CONSORTIUM_FILE).get("sites") or ()
    if missing := sorted(set(sites) - set(register)):
        return failed("register", f"lacks {', '.join(missing)}, whose updates are refused", remedy, PROJECT_ADMIN)
    return good("register", f"{sum(register.values())} training cases of {len(register)} sites")


def _check_readers(kit: Kit) -> Finding:
    """Who else on this machine can read prepared cases, personal weights and logs."""
    folders = [kit.folder]
    if kit.kind == "client":
        facts = read_site_facts(kit.local_dir, kit.name)
        folders += [facts.cache_dir, facts.personal_dir]
    found = [folder for folder in folders if folder.is_dir() and folder.stat().st_mode & ANOTHERS]
    if found:
        remedy = f"chmod 700 {' '.join(str(folder.resolve()) for folder in found)}"
        return doubtful("other users", "can open folders of this participant", remedy, HOSPITAL_IT)
    return good("other users", "of this machine cannot open its folders")
