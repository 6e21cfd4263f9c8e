"""A project.yml judged whole before a key is made: every sentence with its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fedbrats.admin.provision.names import check_participant, check_project_name
from fedbrats.admin.provision.unknown import FACTS, check_server_facts, size_of, unknown_names
from fedbrats.errors import ConfigurationError
from fedbrats.outside import show
from fedbrats.site.site_file import REGISTER, check_register, parse_site_facts

ROLES = ("project_admin", "org_admin", "lead", "member")
CERTIFICATE_DAYS = 360  # of a participant, by FLARE 2.9.0's CertBuilder
ROOT_DAYS = 360  # where the project does not say root_valid_days
OURS = "fedbrats.admin.provision.builders.FedbratsBuilder"
SIGNER = "fedbrats.admin.provision.builders.StartupSigner"
STATIC = "nvflare.lighter.impl.static_file.StaticFileBuilder"
CERTIFICATES = ("fedbrats.admin.provision.certificates.UsageCertBuilder", "nvflare.lighter.impl.cert.CertBuilder")
PORTS = range(1, 65536)
DAYS = range(1, 36501)
MOST_NODES = 100_000  # of a project with its aliases written out; a hospital has 20
Said = tuple[int, str]  # a line, from 1, and what is wrong there


def check_project(path: Path) -> None:
    """Raise ConfigurationError with every sentence where a project cannot be provisioned, or should not."""
    said = sorted(set(judge_project(path)))
    if said:
        raise ConfigurationError("\n".join(f"{path}, line {line}: {sentence}" for line, sentence in said))


def doubts_of(project: Mapping[str, Any]) -> Iterator[str]:
    """What a project may do, and a consortium should know."""
    sites = [entry for entry in project["participants"] if entry.get("type") == "client"]
    if all(entry.get(REGISTER) is None for entry in sites):
        yield (
            f"no hospital has {REGISTER}, so the server will have no register of cases: each hospital's weight is what "
            f"it says of itself. Write the agreed number of training cases into every participant of type client"
        )
    for entry in sites:
        if entry.get(FACTS) is None:
            yield (
                f"{entry.get('name')} has no {FACTS}, so its kit will not say where its data are: the hospital writes "
                "that with `fedbrats site KIT --data FOLDER`"
            )


def judge_project(path: Path) -> Iterator[Said]:
    """Everything that is wrong with a project, by line."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text)
        if size_of(root) > MOST_NODES:
            raise ConfigurationError(f"{path} has more than {MOST_NODES} entries, its aliases (*name) written out")
        project = yaml.safe_load(text)
    except OSError as error:
        raise ConfigurationError(f"cannot read the project {path}: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        yield (mark.line + 1 if mark else 1, f"this is no YAML: {getattr(error, 'problem', None) or error}")
        return
    except ValueError as error:  # of YAML's own conversions: a date in month 13, a number of 5,000 digits
        raise ConfigurationError(f"{path} has a date or a number that cannot be: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply for a project") from None
    if not isinstance(project, dict) or not isinstance(project.get("participants"), list) or "name" not in project:
        raise ConfigurationError(f"{path} is no FLARE project: it needs a name, participants and builders")
    yield from unknown_names(root)
    lines = _lines_of(root)
    if not {"name:", "participants"} <= lines.keys():
        raise ConfigurationError(f"{path} takes its name or its participants from a merge (<<); write them out")
    entries = [
        (line, entry if isinstance(entry, dict) else {})
        for line, entry in zip(lines["participants"], project["participants"], strict=True)
    ]
    try:
        check_project_name(project["name"])
    except ConfigurationError as error:
        yield lines["name:"][0], str(error)
    listed = project["builders"] if isinstance(project.get("builders"), list) else []
    builders = [entry for entry in listed if isinstance(entry, dict)]
    if len(builders) < len(listed):
        yield lines["builders:"][0], f"{len(listed) - len(builders)} of the builders have no path; each needs one"
    yield from _participants(entries)
    yield from _company(entries, lines["participants:"][0])
    yield from _register(entries)
    yield from _builders(builders, lines["builders:"][0])


def _lines_of(root: Any) -> dict[str, list[int]]:
    """Of each section that is a list: the line of every item; of `NAME:`, that of the section."""
    found: dict[str, list[int]] = {"builders:": [1]}
    for key, value in root.value:
        found[f"{key.value}:"] = [key.start_mark.line + 1]
        if isinstance(value, yaml.SequenceNode):
            found[key.value] = [item.start_mark.line + 1 for item in value.value]
    return found


def _participants(entries: list[tuple[int, dict[str, Any]]]) -> Iterator[Said]:
    names = Counter(str(entry.get("name")) for _, entry in entries)
    for line, entry in entries:
        try:
            check_participant(entry)
        except ConfigurationError as error:
            yield line, str(error)
        name, kind = str(entry.get("name")), entry.get("type")
        if names[name] > 1:
            yield line, f"{names[name]} participants have the name {name}; each needs its own"
        if kind == "admin" and entry.get("role") not in ROLES:
            yield line, f"{name} has the role {entry.get('role')!r}, expected one of {', '.join(ROLES)}"
        if kind == "server":
            yield from _ports(line, entry)
            try:
                check_server_facts(entry.get(FACTS), name)
            except ConfigurationError as error:
                yield line, str(error)
        if kind == "client" and entry.get(FACTS) is not None:
            try:
                parse_site_facts(entry[FACTS], name, base=Path(), source=FACTS)
            except ConfigurationError as error:
                yield line, str(error)


def _ports(line: int, entry: Mapping[str, Any]) -> Iterator[Said]:
    port = entry.get("fed_learn_port", 8002)
    other = entry.get("admin_port", port)
    for name, value in (("fed_learn_port", port), ("admin_port", other)):
        if type(value) is not int or value not in PORTS:
            yield line, f"{name} is {value!r}, expected a number from 1 to 65535"
    if port != other:
        yield line, f"admin_port {other} differs from fed_learn_port {port}: FLARE 2.9.0 serves both on one port"


def _company(entries: list[tuple[int, dict[str, Any]]], line: int) -> Iterator[Said]:
    """Who has to be there."""
    kinds = Counter(str(entry.get("type")) for _, entry in entries)
    if kinds["server"] != 1:
        yield line, f"there are {kinds['server']} participants of type server, expected one"
    if not kinds["client"]:
        yield line, "there is no participant of type client: a consortium has hospitals"
    if not any(entry.get("type") == "admin" and entry.get("role") == ROLES[0] for _, entry in entries):
        yield line, "nobody has the role project_admin: nobody could shut anybody out, or stop a job of somebody else"


def _register(entries: list[tuple[int, dict[str, Any]]]) -> Iterator[Said]:
    sites = [(line, entry) for line, entry in entries if entry.get("type") == "client"]
    if all(entry.get(REGISTER) is None for _, entry in sites):
        return
    for line, entry in sites:
        try:
            check_register({str(entry.get("name")): entry.get(REGISTER)}, REGISTER)
        except ConfigurationError as error:
            yield line, str(error)


def _builders(builders: list[dict[str, Any]], line: int) -> Iterator[Said]:
    paths = [str(entry.get("path")) for entry in builders]
    arguments = {
        str(entry.get("path")): args if isinstance(args := entry.get("args"), dict) else {} for entry in builders
    }
    for needed in (STATIC, OURS, SIGNER):
        if needed not in paths:
            yield line, f"the builder {needed} is missing; take the builders of provisioning/project.yml"
    if STATIC in paths and arguments[STATIC].get("require_signed_jobs") is not True:
        yield line, "StaticFileBuilder needs require_signed_jobs: true; without it a job runs whoever changed it"
    certificates = next((path for path in CERTIFICATES if path in paths), None)
    if certificates is None:
        yield line, f"the builder {CERTIFICATES[0]} is missing; take the builders of provisioning/project.yml"
        return
    days = arguments.get(OURS, {}).get("study_days")
    root_days = arguments[certificates].get("root_valid_days", ROOT_DAYS)
    for name, value in (("study_days", days), ("root_valid_days", root_days)):
        if value is not None and (type(value) is not int or value not in DAYS):
            yield line, f"{name} is {show(value)}, expected a whole number of days from 1 to {DAYS[-1]}"
            return
    for what, valid in (("a participant's certificate", CERTIFICATE_DAYS), ("the root", root_days)):
        if days is not None and valid is not None and days > valid:
            advice = "set root_valid_days" if what == "the root" else "plan renewals, and set study_days to the first"
            yield line, f"the study lasts {days} days (study_days), and {what} {valid}; {advice}"
