"""Python and the packages, against what the consortium agreed on (`local/constraints.txt`, `local/consortium.json`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
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
        yield doubtful("packages", "the kit has no consortium.json", "ask which versions are agreed on", HOSPITAL_IT)
        return
    yield judge_version(this_version(), *agreed_version(kit))
    for name in PACKAGES:
        if name in agreed:
            yield _compare(name, _installed(name), agreed[name])
    yield from judge_torch(_installed("torch"))


def judge_version(here: Version, agreed: Version | None, said: str | None) -> Finding:
    """The installed version against the agreed one: during an upgrade two of them may work together.

    Args:
        here: the installed one.
        agreed, said: what the kit says, as a version and as it stands there.
    """
    finding = _compare(PACKAGE, here.version, said)
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


def agreed_version(kit: Kit) -> tuple[Version | None, str | None]:
    """The agreed version of this package, read and as it stands in the kit."""
    try:
        consortium = _consortium(kit)
        said = consortium[PACKAGE]
    except (OSError, ValueError, LookupError, TypeError):
        return None, None
    return read_version({VERSION: said, OLDEST: consortium.get(OLDEST, said)}), str(said)


def _consortium(kit: Kit) -> dict[str, Any]:
    return json.loads((kit.local_dir / CONSORTIUM_FILE).read_text(encoding="utf-8"))


def _read_agreed(kit: Kit) -> dict[str, str] | None:
    try:
        _consortium(kit)[PACKAGE]
        lines = (kit.local_dir / "constraints.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, KeyError):
        return None
    return dict(line.split("==", 1) for line in lines if "==" in line)


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
