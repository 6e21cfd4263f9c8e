"""What a participant's processes begin with: next to nothing of their caller's environment, and files of their own."""

import os
import pty
import shutil
import subprocess
import sys

import pytest

from fedbrats.admin.provision.start_script import CONSOLE_MIB, write_scripts
from fedbrats.admin.run.processes import participant_environment, stop
from fedbrats.errors import ConfigurationError
from tests.end_to_end.consortium import wait_for
from tests.security.attacks import attack

SERVER, SITE = "fl.brain-consortium.example", "hospital-north"
PYTHON = """#!/bin/sh
umask > "$HOME/umask.txt"
exec env > "$HOME/environment.txt"
"""


@pytest.fixture(params=[SERVER, SITE])
def start(request, kits, tmp_path):
    """Run a kit's start script with another `python3`, and return the environment that it gets."""
    kit = shutil.copytree(kits / request.param, tmp_path / "kit")
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)

    def start(**environment):
        environment = {"PATH": f"{python.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), **environment}
        script = kit / "startup" / "sub_start.sh"
        subprocess.run(["bash", script, "--once"], env=environment, check=True, capture_output=True, umask=0o022)
        return dict(line.split("=", 1) for line in (tmp_path / "environment.txt").read_text().splitlines())

    start.kit, start.umask = kit, tmp_path / "umask.txt"
    return start


@attack(
    "read a token of the service in the environment of a participant's processes; have them load a module of one's own",
    who="a lead; a user of the machine",
    happens="the environment is emptied at the start, and the folder of the start is not searched",
)
def test_no_secret_and_no_search_path_of_the_caller_goes_in(start):
    secrets = {"SECRET_TOKEN": "x", "AWS_SECRET_ACCESS_KEY": "x", "MLFLOW_TRACKING_TOKEN": "x", "https_proxy": "x"}
    paths = {"PYTHONPATH": "/tmp", "LD_PRELOAD": "", "PYTHONSTARTUP": "/tmp/x", "BASH_ENV": "/tmp/x"}
    found = start(**secrets, **paths, CUDA_VISIBLE_DEVICES="1", LANG="C.UTF-8")
    assert not {*secrets, *paths} & set(found)
    assert (found["CUDA_VISIBLE_DEVICES"], found["LANG"], found["PYTHONSAFEPATH"]) == ("1", "C.UTF-8", "1")


def test_the_hospital_lets_more_variables_in(start):
    # A file that was made on Windows has two signs at the end of each line.
    (start.kit / "local" / "environment").write_bytes(b"https_proxy\r\nA B=$(false)\r\nSECRET_TOKEN")
    found = start(https_proxy="http://proxy:3128", SECRET_TOKEN="a b'\"$x", OTHER="x")
    assert (found["https_proxy"], found["SECRET_TOKEN"]) == ("http://proxy:3128", "a b'\"$x")
    assert "OTHER" not in found


def test_what_it_writes_is_its_own(start):
    start()
    assert start.umask.read_text().strip() == "0077"


def start_in_terminal(start):
    """Run `start.sh` in a terminal until the kit's `python3` has made its file, stop it: what the terminal showed."""
    ours, terminal = pty.openpty()
    python = start.umask.parent / "bin"
    environment = {"PATH": f"{python}:{os.environ['PATH']}", "HOME": str(python)}
    words = ["bash", start.kit / "startup" / "start.sh"]
    try:
        subprocess.run(words, env=environment, check=True, stdin=terminal, stdout=terminal, stderr=terminal)
        wait_for(start.umask.exists)
    finally:
        stop(start.kit)
        os.close(terminal)
    with open(ours, "rb", buffering=0) as shown:
        return shown.read(10_000).decode()


@pytest.mark.parametrize("writable", [True, False])
def test_what_is_left_behind_prints_nothing_into_the_terminal(start, writable):
    python = start.umask.parent / "bin" / "python3"
    python.write_text(f'#!/bin/sh\ncase "$*" in *--check*) exit 0 ;; esac\necho "said later"\ntouch {start.umask}\n')
    console = start.kit / "console.txt"
    if not writable:
        console.mkdir()  # the tests' account may be one for which every file can be written
    shown = start_in_terminal(start)
    assert f"`fedbrats stop {start.kit}` ends it" in shown
    assert "said later" not in shown
    assert ("cannot be written, so what is printed is lost" in shown) is not writable
    assert "line " not in shown, "bash's own words of it"
    if writable:
        assert "said later" in console.read_text()
        assert console.stat().st_mode & 0o777 == 0o600


def test_a_long_console_is_put_aside(start):
    python, console, shutdown = (
        start.umask.parent / "bin" / "python3",
        start.kit / "console.txt",
        start.kit / "shutdown.fl",
    )
    long = f"head -c {CONSOLE_MIB + 1}M /dev/zero; touch {start.kit}/restart.fl"
    short = f"echo 'said later'; touch {start.umask} {shutdown}"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *--check*) exit 0 ;; esac\nif [ -e {start.umask}.long ]; then {short}\n'
        f"else touch {start.umask}.long; {long}; fi\n"
    )
    console.write_text("of an earlier start")
    start_in_terminal(start)
    assert console.read_text().startswith("said later"), "written from its beginning on"
    aside = console.with_name("console.txt.1")
    assert aside.stat().st_size > CONSOLE_MIB * 2**20
    assert aside.stat().st_mode & 0o777 == 0o600
    assert b"of an earlier start" not in aside.read_bytes()


def test_poc_starts_with_as_little(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONPATH", "/tmp")
    assert not {"SECRET_TOKEN", "PYTHONPATH"} & set(participant_environment())
    assert participant_environment()["PATH"].startswith(os.path.dirname(sys.executable))


def test_another_start_script_than_flares_is_refused(tmp_path):
    (tmp_path / "sub_start.sh").write_text("#!/usr/bin/env bash\nexec python3\n")
    with pytest.raises(ConfigurationError, match="not the start script of the FLARE that fedbrats knows"):
        write_scripts(tmp_path)
