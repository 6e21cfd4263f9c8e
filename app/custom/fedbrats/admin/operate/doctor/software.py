"""Python and the packages, against what the consortium agreed on (`local/constraints.txt`, `local/consortium.json`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import (
    HOSPITAL_IT,
    OK,
    Finding,
    doubtful,
    failed,
    good,
)
from fedbrats.jobs.version_rule import OLDEST, VERSION, Version, read_version, this_version, why_apart
from fedbrats.site.register import CONSORTIUM_FILE

OLDEST_PYTHON = (3, 11)
SLOW_TORCH = "2.9."  # pytorch issues 166122 and 166643, mended in 2.10
PACKAGE = "fedbrats"
PACKAGES = ("nvflare", "monai", "torch", "numpy", "nibabel")


def check(kit: Kit) -> Iterator[Finding]:
    """Findings about Python, fedbrats and the packages that the numbers depend on."""
    ours = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST_PYTHON:
        yield good("Python", ours)
    else:
        yield failed("Python", ours, "install Python 3.11 or later", HOSPITAL_IT)
    agreed = _read_agreed(kit)
    if agreed is None:
        found = "the kit does not say which versions were agreed on"
        yield doubtful("packages", found, "ask which, and for the kit anew", HOSPITAL_IT)
        return
    consortium, versions = agreed
    yield _judge_version(this_version(), consortium)
    for name in PACKAGES:
        if name in versions:
            yield _compare(name, _installed(name), versions[name])
    yield from judge_torch(_installed("torch"))


def _judge_version(here: Version, consortium: Mapping[str, Any]) -> Finding:
    """The installed version against the agreed one: during an upgrade two of them may work together."""
    said = consortium[PACKAGE]
    finding = _compare(PACKAGE, here.version, str(said))
    agreed = read_version({VERSION: said, OLDEST: consortium.get(OLDEST, said)})
    if finding.state == OK or agreed is None:
        return finding
    if why := why_apart(here, agreed):
        return failed(PACKAGE, f"{finding.found}: {why}", finding.remedy, HOSPITAL_IT)
    return doubtful(PACKAGE, f"{finding.found}; both work in one job", finding.remedy, HOSPITAL_IT)


def judge_torch(found: str | None) -> Iterator[Finding]:
    """A finding where this version of PyTorch is known to be slow, whatever the consortium agreed on."""
    if found and found.startswith(SLOW_TORCH):
        yield doubtful(
            "torch on a GPU",
            f"{found} computes 3D convolutions in mixed precision four times slower than others, in more memory",
            "agree on PyTorch 2.10 or later",
            HOSPITAL_IT,
        )


def _read_agreed(kit: Kit) -> tuple[dict[str, Any], dict[str, str]] | None:
    """What a kit says of its consortium, and the versions of packages agreed on; None where it does not say both."""
    try:
        consortium = json.loads((kit.local_dir / CONSORTIUM_FILE).read_text(encoding="utf-8"))
        lines = (kit.local_dir / "constraints.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    if not isinstance(consortium, dict) or PACKAGE not in consortium:
        return None
    return consortium, dict(line.split("==", 1) for line in lines if "==" in line)


def _installed(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]  # 2.13.0+cpu is 2.13.0
    except PackageNotFoundError:
        return None


def _compare(name: str, found: str | None, agreed: str | None) -> Finding:
    if found == agreed:
        return good(name, str(found))
    what = f"fedbrats-{agreed}-*.whl" if name == PACKAGE else f"{name}=={agreed}"
    remedy = f"pip install -c local/constraints.txt {what}"
    return failed(name, f"{found or 'not installed'}, agreed on {agreed}", remedy, HOSPITAL_IT)
