"""A folder with every package that a server, a site or a person installs: for machines without internet."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedbrats.admin.provision.lean import make_lean
from fedbrats.admin.wheels import REQUIREMENTS, Listed, read_wheel
from fedbrats.atomic import new_folder, write_text_atomic
from fedbrats.errors import ConfigurationError
from fedbrats.shipped import shipped_dir

WHEELS, SUMS, SBOM = "wheels", "SHA256SUMS", "sbom.cdx.json"
CONSTRAINTS = "constraints.txt"
MOST_SAID = 5  # lines of pip, where it fails


@dataclass(frozen=True)
class Wheelhouse:
    """What was written. size: bytes of the wheels. sha256: of requirements.txt. sbom: whether there is one."""

    folder: Path
    packages: int
    size: int
    sha256: str
    sbom: bool


def build_wheelhouse(
    folder: Path,
    wheel: Path,
    *,
    torch_index: str | None = None,
    lean: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Wheelhouse:
    """Fetch every package that `wheel` needs here, in the versions of constraints.txt, and write their checksums.

    They are for this machine's system and version of Python. The folder gets `wheels/`, `requirements.txt`
    (fedbrats.admin.wheels), `sbom.cdx.json` where cyclonedx-bom is installed, and SHA256SUMS.

    Args:
        folder: is made; it may not hold anything yet.
        wheel: the package itself.
        torch_index: the index that PyTorch itself is taken from; what it needs comes from pip's own.
        lean: take out of the wheels what no server and no site reads (fedbrats.admin.provision.lean).
        say: is told what pip does.

    Raises: ConfigurationError where the folder is in use, the wheel is none, or pip cannot fetch a package.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} holds something; name a new folder")
    read_wheel(wheel)
    constraints = ["--constraint", str(shipped_dir() / CONSTRAINTS)]
    with new_folder(folder) as new:
        wheels = new / WHEELS
        wheels.mkdir()
        if torch_index:
            words = ["--wheel-dir", str(wheels), *constraints, "--no-deps", "--index-url", torch_index, "torch"]
            _pip(words, say, _without_indexes())
            (build,) = wheels.glob("torch-*.whl")
            pinned = new / "torch.txt"  # or pip's own index would offer another build of the same version
            pinned.write_text(f"torch=={build.name.split('-')[1]}\n", encoding="utf-8")
            constraints = ["--constraint", str(_without_torch(new)), "--constraint", str(pinned)]
        _pip(["--wheel-dir", str(wheels), "--find-links", str(wheels), *constraints, str(wheel)], say)
        for path in new.glob("*.txt"):
            path.unlink()
        if lean:
            saved = sum(make_lean(path) for path in sorted(wheels.glob("*.whl")))
            say(f"left out {saved / 1e6:.0f} MB that no server and no site reads")
        return _write_lists(new, folder)


def _write_lists(new: Path, folder: Path) -> Wheelhouse:
    found = sorted((new / WHEELS).glob("*.whl"))
    listed = [read_wheel(path) for path in found]
    text = requirements_text(listed)
    write_text_atomic(new / REQUIREMENTS, text)
    sbom = _write_sbom(new)
    files = [path for path in sorted(new.rglob("*")) if path.is_file()]
    sums = "".join(f"{_sha256(path)}  {path.relative_to(new).as_posix()}\n" for path in files)
    write_text_atomic(new / SUMS, sums)
    size = sum(path.stat().st_size for path in found)
    return Wheelhouse(folder, len(found), size, hashlib.sha256(text.encode()).hexdigest(), sbom)


def requirements_text(listed: Sequence[Listed]) -> str:
    """The text of requirements.txt."""
    system = f"Python {sys.version_info.major}.{sys.version_info.minor}, {sys.platform}"
    head = f"# {system}: pip install --no-index --find-links {WHEELS} --require-hashes -r {REQUIREMENTS}\n"
    return head + "".join(f"{each.line()}\n" for each in listed)


def _without_torch(folder: Path) -> Path:
    lines = (shipped_dir() / CONSTRAINTS).read_text(encoding="utf-8").splitlines()
    path = folder / CONSTRAINTS
    path.write_text("".join(f"{line}\n" for line in lines if not line.startswith("torch==")), encoding="utf-8")
    return path


def _without_indexes() -> dict[str, str]:
    """An environment in which pip knows no index but the one that it is told."""
    left_out = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX")
    return {
        **{name: value for name, value in os.environ.items() if name not in left_out},
        "PIP_CONFIG_FILE": os.devnull,
    }


def _pip(words: Sequence[str], say: Callable[[str], None], environment: Mapping[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "--progress-bar", "off", *words]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            said.append(line.strip())
            if line.startswith(("Collecting", "Processing", "Building")):
                say(line.strip())
    if pip.returncode:
        first = next((number for number, line in enumerate(said) if line.startswith("ERROR")), -MOST_SAID)
        what = "; ".join(line for line in said[first:][:MOST_SAID] if line)
        raise ConfigurationError(f"pip cannot fetch the packages: {what}")


def _write_sbom(folder: Path) -> bool:
    """Have CycloneDX's own tool write what it makes of the list; False where it is not installed."""
    if importlib.util.find_spec("cyclonedx_py") is None:
        return False
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", REQUIREMENTS, "--output-file", SBOM]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ConfigurationError(f"cyclonedx-py cannot write {SBOM}: {done.stderr.strip()[-300:]}")
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
