"""Wheels of this package with other version numbers, and the runbook's pages on installing and upgrading a kit."""

import json
import re
import shutil
import subprocess
import sys

from fedbrats.admin.kits import fingerprint, open_kit
from fedbrats.shipped import PACKAGE_DIR, shipped_dir
from tests.end_to_end import runbook

OLDEST = {"0.1.0": "0.1.0", "0.2.0": "0.1.0", "0.3.0": "0.2.0"}
SOURCES = ("app", "examples", "jobs", "poc", "provisioning", "starts")
OFFLINE = {"PIP_NO_INDEX": "1", "PYTHONNOUSERSITE": "1"}


def wheel_with_version(folder, version):
    """Build the wheel in a copy with another version number, as the project admin does."""
    copy = folder / "source" / version
    for name in SOURCES:
        shutil.copytree(shipped_dir() / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (
        path for path in shipped_dir().iterdir() if path.is_file() and path.suffix in ("", ".md", ".toml", ".txt")
    ):
        shutil.copy(path, copy)
    init = copy / PACKAGE_DIR.relative_to(shipped_dir()) / "__init__.py"
    text = re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', init.read_text())
    init.write_text(re.sub(r'__oldest__ = "\S*"', f'__oldest__ = "{OLDEST[version]}"', text))
    wheel = runbook.wheel_of(copy, folder / "dist" / version)
    assert wheel.name.startswith(f"fedbrats-{version}-")
    return wheel


def build_version(folder, version):
    """The folder into which the wheel with this version number was installed."""
    return install(wheel_with_version(folder, version), folder / "installed" / version)


def install(wheel, target):
    """Install a wheel alone into a folder; returns the folder."""
    words = ["--no-deps", "--no-index", "--quiet", "--target", target, wheel]
    subprocess.run([sys.executable, "-m", "pip", "install", *map(str, words)], check=True)
    return target


class Machine:
    """A kit that its IT installs, upgrades and brings back by the runbook's commands, in an environment of its own.

    Installing PyTorch anew would take minutes: the environment finds the packages of this one, fedbrats alone left out.
    """

    def __init__(self, kit):
        self.kit = kit
        self._root = fingerprint(open_kit(kit).root)

    def run(self, line, places=()):
        """Run one line; places: (what stands there, what is meant)."""
        for said, meant in (("AB:CD:...", self._root), *places):
            line = line.replace(said, str(meant))
        return runbook.run(line, self.kit, environment=OFFLINE)

    def install(self, wheel):
        """The page of the hospital's IT, from the wheel in the kit to `doctor`; a server has no data of its own."""
        shutil.copy(wheel, self.kit)
        make_venv, *lines = runbook.block("Hospital IT")
        self.run(make_venv)
        runbook.borrow_packages(self.kit / "venv")
        for line in lines[:-1]:
            if "fedbrats site" not in line:  # the kit names its data already
                self.run(line)

    def start(self):
        """The last line of that page."""
        self.run(runbook.block("Hospital IT")[-1])

    def upgrade(self, media):
        """The page on upgrading; media: the folder of what the project admin has sent."""
        for line in runbook.block("Upgrade"):
            self.run(line, [("/media/upgrade", media)])

    def go_back(self):
        """The way back."""
        for line in runbook.block("Upgrade", 1):
            self.run(line)


def send_upgrade(desk, environment, media, wheel):
    """What the project admin sends to whom, after the build that the runbook has: a folder each, by name.

    Args:
        desk: the consortium.
        environment: of the new version.
        media: where the folders go.
        wheel: of the new version.
    """
    words = [*runbook.inline("fedbrats provision build").split()[1:], "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "fedbrats.cli.main", *words],
        cwd=desk.folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    changes = json.loads(done.stdout)["changes"]
    for name, change in changes.items():
        for path in change["files"]:
            place = media / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(desk.folder / change["folder"] / path, place)
        shutil.copy(wheel, media / name)
    return {name: media / name for name in changes}
