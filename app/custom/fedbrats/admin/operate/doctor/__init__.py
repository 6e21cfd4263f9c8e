"""Judge a startup kit and the machine that it is on, before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor import (
    credentials,
    files,
    kit_rules,
    machine,
    network,
    protections,
    site_data,
    software,
    starting,
)
from fedbrats.admin.operate.doctor.finding import HOSPITAL_IT, Finding, failed
from fedbrats.errors import FedbratsError

__all__ = ["Finding", "examine"]


def examine(kit: Kit, *, root: str | None = None, all_cases: bool = False, offline: bool = False) -> Iterator[Finding]:
    """Every finding about a kit, in the order in which one would mend them.

    root: the fingerprint that the project admin read out. all_cases: read every case and not the first few.
    offline: leave the server alone.
    """
    checks: list[Callable[[Kit], Iterator[Finding]]] = [
        software.check,
        files.check,
        partial(credentials.check, root=root),
    ]
    checks.append(protections.check_usages)
    if kit.kind != "server" and not offline:
        checks.append(network.check)
    if kit.kind != "admin":
        checks += [starting.check, kit_rules.check, protections.check, machine.check]
    if kit.kind == "client":
        checks.append(partial(site_data.check, all_cases=all_cases))
    said: set[str] = set()
    for check in checks:
        try:
            for finding in check(kit):
                said.add(finding.found)
                yield finding
        except FedbratsError as error:
            if str(error) not in said:  # one file may keep several checks from looking
                said.add(str(error))
                yield failed("kit", str(error), "mend the file that it names", HOSPITAL_IT)
