"""Several hosts on one machine: network namespaces joined by one bridge, and nothing else."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

FEDBRATS = str(Path(sys.executable).parent / "fedbrats")
PREFIX = f"fb{os.getpid() % 10000}"  # two runs on one machine must not meet


def ip(*words):
    """Run the ip command."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def why_no_hosts():
    """Why this machine gives no namespaces; None where it does."""
    if os.geteuid() or not shutil.which("ip"):
        return "network namespaces need root and the ip command"
    name = f"{PREFIX}-try"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "this machine gives no network namespaces"
    ip("netns", "del", name)
    return None


@contextmanager
def joined_hosts(count, with_this=False):
    """So many namespaces: name -> address. The first holds the bridge. Skips where the machine gives none.

    with_this: this machine's own namespace reaches them too.
    """
    if why := why_no_hosts():
        pytest.skip(why)
    names = [f"{PREFIX}-{i}" for i in range(count)]
    try:
        ip("netns", "add", names[0])
        ip("-n", names[0], "link", "add", "bridge", "type", "bridge")
        ip("-n", names[0], "addr", "add", "10.77.0.1/24", "dev", "bridge")
        ip("-n", names[0], "link", "set", "bridge", "up")
        for i, name in enumerate(names[1:], 2):
            ip("netns", "add", name)
            ip("-n", names[0], "link", "add", f"port{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", names[0], "link", "set", f"port{i}", "master", "bridge", "up")
            ip("-n", name, "addr", "add", f"10.77.0.{i}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        for name in names:
            ip("-n", name, "link", "set", "lo", "up")
        if with_this:
            ip("-n", names[0], "link", "add", "desk", "type", "veth", "peer", "name", PREFIX, "netns", str(os.getpid()))
            ip("-n", names[0], "link", "set", "desk", "master", "bridge", "up")
            ip("addr", "add", "10.77.0.254/24", "dev", PREFIX)
            ip("link", "set", PREFIX, "up")
        yield {name: f"10.77.0.{i}" for i, name in enumerate(names, 1)}
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def unplug(hosts, name):
    """Take a host's cable out: nothing leaves it and nothing reaches it. Its connections are not told."""
    _cable(hosts, name, "down")


def plug_in(hosts, name):
    """Put the cable back."""
    _cable(hosts, name, "up")


def _cable(hosts, name, state):
    names = list(hosts)
    ip("-n", names[0], "link", "set", f"port{names.index(name) + 1}", state)


def inside(host, *words):
    """Run a fedbrats command on a host."""
    command = ["ip", "netns", "exec", host, FEDBRATS, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)
