"""Whether the installed packages are as they came: their files against the checksums of their wheels."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import HOSPITAL_IT, PROJECT_ADMIN, Finding, doubtful, failed, good
from fedbrats.admin.wheels import REQUIREMENTS, altered_files, installed_checksum, read_requirements

PACKAGES = ("fedbrats", "nvflare", "monai")  # whose text decides what leaves a hospital; small enough to be read


def check(kit: Kit) -> Iterator[Finding]:
    """A finding for each package, and one for all packages that the kit lists with checksums."""
    if (kit.local_dir / REQUIREMENTS).is_file():
        yield judge_listed(kit.local_dir / REQUIREMENTS)
    for name in PACKAGES:
        try:
            yield judge(distribution(name))
        except PackageNotFoundError:  # `software` says so
            continue


def judge_listed(path: Path, find: Callable[[str], Distribution] = distribution) -> Finding:
    """Compare what is installed with the list of `fedbrats provision wheelhouse`, every file of it.

    Args:
        path: the list.
        find: the installed package of a name.

    Raises: ConfigurationError where the list cannot be read.
    """
    listed = read_requirements(path)
    wrong = []
    for each in listed:
        try:
            package = find(each.name)
        except PackageNotFoundError:
            wrong.append(f"{each.name} is not installed")
            continue
        if package.version != each.version:
            wrong.append(f"{each.name} is {package.version}, listed is {each.version}")
        elif installed_checksum(package) != each.files:
            wrong.append(f"{each.name} was not installed from the listed wheel")
        elif altered := next(altered_files(package), None):
            wrong.append(f"{each.name}: {altered} was altered")
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        remedy = f"do not start; install again by local/{REQUIREMENTS}, and find out who changed it"
        return failed("installed packages", f"{wrong[0]}{more}", remedy, HOSPITAL_IT)
    return good("installed packages", f"{len(listed)} are those of local/{REQUIREMENTS}, file by file")


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
