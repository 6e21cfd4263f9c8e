"""Whether the installed packages are as they came: their files against the checksums of their wheels."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import HOSPITAL_IT, PROJECT_ADMIN, Finding, doubtful, failed, good

PACKAGES = ("fedbrats", "nvflare", "monai")  # whose text decides what leaves a hospital; small enough to be read


def check(_kit: Kit) -> Iterator[Finding]:
    """A finding for each package."""
    for name in PACKAGES:
        try:
            yield judge(distribution(name))
        except PackageNotFoundError:  # `software` says so
            continue


def judge(package: Distribution) -> Finding:
    """Compare a package's files with its RECORD, and look for Python files that are not in it."""
    name = package.metadata["Name"]
    check_name = f"{name} files"
    listed = [file for file in package.files or () if file.hash and file.suffix == ".py"]
    root = {Path(str(file.locate())).parent for file in listed if str(file) == f"{name}/__init__.py"}
    if not root:
        remedy = "usual where the package is developed; a hospital installs the wheel that it was given"
        return doubtful(check_name, "not installed from a wheel, so nothing to compare with", remedy, PROJECT_ADMIN)
    altered = [str(file) for file in listed if file.hash and _differs(Path(str(file.locate())), file.hash.value)]
    known = {Path(str(file.locate())).resolve() for file in listed}
    added = [str(path) for path in sorted(root.pop().rglob("*.py")) if path.resolve() not in known]
    if altered or added:
        what = [
            f"{word} {files[0]} ({len(files)})" for word, files in (("altered", altered), ("added", added)) if files
        ]
        remedy = f"do not start; install {name} again from the wheel, and find out who changed it"
        return failed(check_name, " and ".join(what), remedy, HOSPITAL_IT)
    return good(check_name, f"{len(listed)} are as in its wheel")


def _differs(path: Path, expected: str) -> bool:
    """Whether a file is missing, or another than what RECORD says: SHA-256 in base64 for URLs, without padding."""
    try:
        found = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return True
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() != expected
