"""Wheels of this package with other version numbers, and the runbook's pages on installing and upgrading a kit."""

import json
import re
import shutil
import subprocess
import sys

from fedbrats.admin.kits import fingerprint, open_kit
from fedbrats.admin.wheels import read_wheel
from fedbrats.shipped import PACKAGE_DIR, shipped_dir
from tests.end_to_end import runbook

OLDEST = {"0.1.0": "0.1.0", "0.2.0": "0.1.0", "0.3.0": "0.2.0"}
SOURCES = ("app", "examples", "jobs", "poc", "provisioning", "starts")
ALONE = ["unshare", "--user", "--net", "--map-root-user"]  # a namespace without a network
QUICK_END = {"NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT": "20"}  # as tests.end_to_end.consortium.start_kit
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


def start_of_unit(kit):
    """(command, environment) of the unit of systemd that starts a kit; the kit must have a `venv`."""
    kind = "server" if open_kit(kit).kind == "server" else "site"
    text = (shipped_dir() / "provisioning" / "systemd" / f"fedbrats-{kind}@.service").read_text()
    text = text.replace("/srv/fedbrats/%i", str(kit))
    said = dict(re.findall(r"^(ExecStart|Environment)=(.*)$", text, re.MULTILINE))
    return said["ExecStart"].split(), dict(word.split("=", 1) for word in said["Environment"].split())


class Machine:
    """A kit that its IT installs, upgrades and brings back by the runbook's commands, in an environment of its own.

    Installing PyTorch anew would take minutes: the environment finds the packages of this one, fedbrats alone left out.

    Args:
        kit: its folder.
        host: the network namespace that it runs in; None for this machine's own.
        wheelhouse: without internet, the folder of packages.
    """

    def __init__(self, kit, host=None, wheelhouse=None):
        self.kit, self.wheelhouse = kit, wheelhouse
        self._inside = ["ip", "netns", "exec", host] if host else []
        self._root = fingerprint(open_kit(kit).root)

    def run(self, line, places=()):
        """Run one line; places: (what stands there, what is meant)."""
        inside, environment = self._inside, OFFLINE
        if self.wheelhouse and line.startswith("venv/bin/pip install"):
            line = runbook.inline("venv/bin/pip install --no-index").replace("/media/wheelhouse", str(self.wheelhouse))
            inside, environment = ALONE, {"PYTHONNOUSERSITE": "1"}
        for said, meant in (("AB:CD:...", self._root), *places):
            line = line.replace(said, str(meant))
        return runbook.run(line, self.kit, environment=environment | QUICK_END, inside=inside)

    def install(self, wheel):
        """The page of the hospital's IT, from the wheel in the kit to `doctor`; a server has no data of its own."""
        shutil.copy(wheel, self.kit)
        if self.wheelhouse:
            list_packages(wheel, self.kit / "local")
        make_venv, *lines = runbook.block("Hospital IT")
        self.run(make_venv)
        runbook.borrow_packages(self.kit / "venv")
        for line in lines[:-1]:
            if "fedbrats site" not in line:  # the kit names its data already
                self.run(line)

    def start(self):
        """The last line of that page."""
        self.run(runbook.block("Hospital IT")[-1])

    def unit(self):
        """The process that systemd starts from the unit of such a kit."""
        words, environment = start_of_unit(self.kit)
        with (self.kit / "console.txt").open("ab") as log:
            return subprocess.Popen(
                [*self._inside, *words],
                cwd=self.kit, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def upgrade(self, media):
        """The page on upgrading; media: the folder of what the project admin has sent."""
        for line in runbook.block("Upgrade"):
            self.run(line, [("/media/upgrade", media)])

    def go_back(self):
        """The way back."""
        for line in runbook.block("Upgrade", 1):
            self.run(line)


def list_packages(wheel, folder):
    """The list of packages of a wheelhouse, with the one that is not borrowed."""
    (folder / "requirements.txt").write_text(read_wheel(wheel).line() + "\n")


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
