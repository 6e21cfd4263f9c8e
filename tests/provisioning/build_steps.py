"""Run the build steps of the Dockerfile where there is no container engine, and a command in what came of them.

This machine's own root stands in for the base image: in an overlay, so that what the steps write is gone at the end.
Needs root and Linux. An engine would also fetch the base image and make layers; that is not run here.

example:
  sudo python -m tests.provisioning.build_steps --build-arg BASE=x@sha256:$(printf 0%.0s {1..64}) -- fedbrats job list
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from fedbrats.shipped import shipped_dir

DOCKERFILE = shipped_dir() / "provisioning" / "Dockerfile"
MOUNT = re.compile(r"--mount=type=bind,source=(\S+),target=(\S+)\s+")
WHEELHOUSE = "build/wheelhouse"
KNOWN = ("ARG", "FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "VOLUME", "CMD")
# A base image has nobody but the system's own users.
LAYERS = """
mount -t tmpfs tmpfs {out} && mkdir {out}/upper {out}/work {out}/root
mount -t overlay overlay -o lowerdir=/,upperdir={out}/upper,workdir={out}/work {out}/root
for folder in proc dev sys; do mount --rbind /$folder {out}/root/$folder; done
awk -F: '$3 < 1000' /etc/passwd > {out}/root/etc/passwd
awk -F: '$3 < 1000' /etc/group > {out}/root/etc/group
"""


@dataclass
class Image:
    """What the steps so far have said; script: the same as lines of a shell.

    arguments: of the build. mounts: folders that stand for those of the context.
    """

    context: Path
    root: str
    arguments: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, Path] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0"
    environment: dict[str, str] = field(default_factory=dict)
    script: list[str] = field(default_factory=list)

    def step(self, name: str, value: str) -> None:
        """Take one instruction of the Dockerfile."""
        if name == "WORKDIR":
            self.workdir = value
            self.script.append(f"mkdir -p {self.root}{value}")
        elif name == "COPY":
            *sources, target = value.split()
            to = f"{self.root}{os.path.join(self.workdir, target)}"
            self.script += [
                f"cp -rT {self.context / each} {to}{'/' + each if target == './' else ''}" for each in sources
            ]
        elif name == "RUN" and (mount := MOUNT.match(value)):
            source, target = mount.groups()
            self.script += [f"mkdir -p {self.root}{target}", f"mount --bind {self.mounts[source]} {self.root}{target}"]
            self.run(value[mount.end() :])
            self.script.append(f"umount {self.root}{target}")
        elif name == "RUN":
            self.run(value)
        elif name == "ARG":
            self.environment |= {value: self.arguments.get(value, "")}
        elif name == "USER":
            self.user = value
        elif name == "ENV":
            self.environment |= dict(word.split("=", 1) for word in shlex.split(value))
        elif name not in KNOWN:
            raise SystemExit(f"the Dockerfile has {name}, which this script does not know; teach it, or remove it")

    def run(self, command: str) -> None:
        """Run a command in the image as its user."""
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environment.items())
        inside = shlex.quote(f"cd {self.workdir} && {command}")
        self.script.append(f"chroot --userspec={self.user}:{self.user} {self.root} env {settings} bash -c {inside}")


def read_steps(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile: (name, the rest of the line)."""
    text = dockerfile.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, value.strip()) for name, _, value in (line.partition(" ") for line in lines)]


def main() -> int:
    """Build, then run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as of docker build")
    parser.add_argument("--wheelhouse", type=Path, default=shipped_dir() / WHEELHOUSE, help="the folder of packages")
    parser.add_argument("command", nargs="*", help="to run as the image's user")
    args = parser.parse_args()
    if os.geteuid() or not shutil.which("unshare"):
        raise SystemExit("the steps need root and the command unshare (package util-linux)")
    with tempfile.TemporaryDirectory(prefix="image-") as out:
        arguments = dict(each.split("=", 1) for each in args.build_arg)
        image = Image(shipped_dir(), f"{out}/root", arguments, {WHEELHOUSE: args.wheelhouse.resolve()})
        image.script += ["set -e", LAYERS.format(out=out)]
        # In the base image everybody may run Python; here it may lie in a home folder.
        passable = {
            str(folder) for name in (sys.executable, os.path.realpath(sys.executable)) for folder in Path(name).parents
        }
        if "/tmp" not in passable:  # a base image's is empty
            image.script.append(f"mount -t tmpfs tmpfs {image.root}/tmp")
        image.script += [f"chmod o+x {image.root}{folder}" for folder in sorted(passable)]
        # A base image has no such package, and pip leaves one of the same version as it is.
        image.script += [f"rm -rf {image.root}{folder}/fedbrats-*.dist-info" for folder in sys.path if folder]
        for name, value in read_steps(DOCKERFILE):
            image.script.append(f"echo {shlex.quote(f'{name} {value}')} >&2")
            image.step(name, value)
        if args.command:
            image.run(shlex.join(args.command))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["unshare", "--mount", "bash", "-c", "\n".join(image.script)], env={**os.environ, "PATH": path}
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
