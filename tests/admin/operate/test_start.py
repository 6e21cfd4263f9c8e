"""A participant starts, or says why not: in a sentence, in its own log, and with a status that a supervisor knows."""

import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.stopping import running_jobs, stop_kit
from fedbrats.admin.run.processes import find_processes, participant_environment
from fedbrats.cli.main import main
from fedbrats.flare.process.statuses import TAKEN, UNUSABLE
from fedbrats.shipped import shipped_dir
from tests.end_to_end.versions import start_of_unit

SYSTEMD = shipped_dir() / "provisioning" / "systemd"
# Stands for FLARE's process: fails as if the port were taken, then is asked to stop by the console.
PYTHON = """#!/bin/sh
kit="$HOME/hospital-north"
echo x >> "$HOME/starts"
[ "$(wc -l < "$HOME/starts")" -lt 2 ] && exit 75
touch "$kit/shutdown.fl"
"""


def start(kit, *words, script="sub_start.sh", **environment):
    """Run a script of a kit; returns (status, what it said)."""
    done = subprocess.run(
        ["bash", kit / "startup" / script, *words],
        env={**participant_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def taken(server_kit):
    """The server's kit, its port taken."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        path = server_kit / "startup" / "fed_server.json"
        document = json.loads(path.read_text())
        document["servers"][0]["service"]["target"] = f"localhost:{other.getsockname()[1]}"
        path.write_text(json.dumps(document))
        yield server_kit


@pytest.mark.parametrize(("script", "words"), [("sub_start.sh", ["--once"]), ("start.sh", [])])
def test_a_taken_port_is_said_and_nothing_pretends_to_have_started(taken, script, words):
    status, said = start(taken, *words, script=script)
    assert status == 75
    assert "is taken: another program of this machine" in said
    assert "is taken" in (taken / "log.txt").read_text()


def garbage(kit):
    (kit / "local" / "fedbrats.json").write_text("{")


def storage_below_a_file(kit):
    (kit.parent / "storage").write_text("a file, and no folder")


@pytest.mark.parametrize(
    ("kit", "harm", "status", "sentence"),
    [
        ("site_kit", garbage, 78, "fedbrats.json"),
        ("server_kit", garbage, 78, "fedbrats.json"),
        ("server_kit", storage_below_a_file, 73, "cannot be written to"),
    ],
)
def test_what_is_wrong_with_a_kit_stops_its_start(request, kit, harm, status, sentence):
    kit = request.getfixturevalue(kit)
    harm(kit)
    assert start(kit, script="start.sh")[0] == status
    assert sentence in (kit / "log.txt").read_text()
    assert "Traceback" not in (kit / "log.txt").read_text()


def test_a_file_that_has_to_be_mended_ends_the_loop(site_kit):
    garbage(site_kit)
    status, said = start(site_kit)
    assert status == 78
    assert "not started again" in said
    assert not (site_kit / "daemon_pid.fl").exists()


def test_a_mount_that_is_gone_is_in_the_sites_own_log(site_kit):
    status, _ = start(site_kit, "--check")
    assert status == 0, "data may come later; the site answers what it is asked"
    assert "is not there: is its file system mounted?" in (site_kit / "log.txt").read_text()


def test_a_kit_runs_once_on_a_machine(site_kit):
    with (site_kit / "instance.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for script, words in (("sub_start.sh", ["--once"]), ("start.sh", [])):
            status, said = start(site_kit, *words, script=script)
            assert status == 75
            assert "runs this kit already" in said


def test_a_number_that_is_another_process_by_now_blocks_nothing(site_kit):
    for name in ("pid.fl", "daemon_pid.fl"):
        (site_kit / name).write_text(f"{os.getpid()}\n")
    status, said = start(site_kit, "--check")
    assert status == 0, said


def test_the_loop_tries_again_and_ends_when_it_is_asked_to(site_kit, tmp_path):
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    (site_kit / "shutdown.fl").write_text("of an earlier run")
    status, said = start(site_kit, PATH=f"{python.parent}:{os.environ['PATH']}", HOME=str(tmp_path))
    assert status == 0, said
    assert "started again in 5 s, for the process ended with status 75" in said
    assert (tmp_path / "starts").read_text().count("x") == 2
    assert not list(site_kit.glob("*.fl"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be a user without a name")
def test_a_user_without_a_name_gets_one():
    code = (
        "import os, getpass\n"
        "from fedbrats.account import name_the_account\n"
        "os.setuid(54321)\n"
        "[os.environ.pop(name, None) for name in ('LOGNAME', 'USER', 'LNAME', 'USERNAME', 'HOME')]\n"
        "assert name_the_account()\n"
        "print(getpass.getuser(), os.path.expanduser('~'))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == "user-54321"


def test_a_server_that_is_stopped_says_which_jobs_to_resume(server_kit):
    for job, status in (("a", "RUNNING"), ("b", "FINISHED:COMPLETED")):
        path = server_kit.parent / "storage" / "jobs" / job / "meta"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"status": status}))
    assert running_jobs(open_kit(server_kit)) == ("a",)
    for path in (server_kit / "local").glob("resources.json*"):
        path.write_text("{")
    assert running_jobs(open_kit(server_kit)) == ()  # it can be stopped all the same


def test_a_kit_that_cannot_be_written_to_is_stopped_all_the_same(site_kit, capsys):
    (site_kit / "pid.fl").mkdir()  # as on a read-only disk, it cannot be removed as a file
    assert main(["stop", str(site_kit)]) == 0
    assert "cannot be written to, so pid.fl stays there; nothing of the kit runs" in capsys.readouterr().out


def test_a_program_that_only_names_a_file_of_a_kit_is_no_process_of_it(tmp_path):
    kit = tmp_path / "nvflare" / "hospital-north"
    words = [sys.executable, "-c", "print(flush=True); input()", str(kit / "log.txt")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as editor:
        editor.stdout.readline()  # a process that has only just begun has no command line yet
        assert psutil.Process(editor.pid).cmdline()[-1] == words[-1]
        assert find_processes(kit) == []
        assert stop_kit(SimpleNamespace(folder=kit, name="hospital-north", kind="client")).processes == 0
        assert editor.poll() is None


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd")
@pytest.mark.parametrize("name", ["server@.service", "site@.service", "health@.timer"])
def test_systemd_takes_the_units(tmp_path, name):
    unit = tmp_path / f"fedbrats-{name.replace('@', '@NAME')}"
    shutil.copy(SYSTEMD / f"fedbrats-{name}", unit)
    if name == "health@.timer":
        text = (SYSTEMD / "fedbrats-health@.service").read_text()
        text = text.replace("/srv/fedbrats/%i/venv/bin/fedbrats", str(Path(sys.executable).parent / "fedbrats"))
        (tmp_path / "fedbrats-health@NAME.service").write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["server", "site"])
def test_the_units_know_the_statuses_and_the_signal(kind):
    text = (SYSTEMD / f"fedbrats-{kind}@.service").read_text()
    for line in ("RestartPreventExitStatus=78", "KillSignal=SIGINT", "Restart=on-failure", "ProtectSystem=strict"):
        assert line in text.splitlines()


def status_of_unit(kit):
    """The status with which the unit's own line ends, in the unit's own environment."""
    (kit / "venv").symlink_to(sys.prefix)
    words, environment = start_of_unit(kit)
    return subprocess.run(words, cwd=kit, env=environment, capture_output=True, timeout=60).returncode


def test_a_units_own_line_ends_with_the_status_that_the_unit_knows(site_kit, taken):
    assert status_of_unit(taken) == TAKEN
    (site_kit / "local" / "fedbrats.json").write_text("{")
    assert status_of_unit(site_kit) == UNUSABLE


def make_account_and_folders(root):
    """As root does once: the account, then the folders, below a root of their own; returns the account's number."""
    (root / "etc").mkdir(exist_ok=True)
    for command, name in (("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")):
        words = [command, *(["--create"] if name == "tmpfiles" else []), f"--root={root}"]
        done = subprocess.run([*words, SYSTEMD / f"fedbrats.{name}.conf"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    [line] = [line for line in (root / "etc" / "passwd").read_text().splitlines() if line.startswith("fedbrats:")]
    return int(line.split(":")[2])


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("systemd-sysusers"), reason="no systemd, or not root")
def test_the_account_and_its_folders_are_made(tmp_path):
    number = make_account_and_folders(tmp_path)
    groups = dict(line.split(":")[::2] for line in (tmp_path / "etc" / "group").read_text().splitlines())
    for name, mode in (("var/lib/fedbrats", 0o700), ("data/cache", 0o700), ("var/lib/fedbrats-metrics", 0o2750)):
        about = (tmp_path / name).stat()
        assert (about.st_uid, about.st_mode & 0o7777) == (number, mode), name
    assert about.st_gid == int(groups["fedbrats-metrics"]), "a collector reads the numbers, and nobody's kit"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("systemd-sysusers"), reason="no systemd, or not root")
def test_the_account_can_start_a_kit_that_root_has_copied(site_kit):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other accounts
        root = Path(folder)
        root.chmod(0o711)
        kit = root / "srv" / "fedbrats" / site_kit.name
        shutil.copytree(site_kit, kit)
        for path in kit.rglob("*"):
            path.chmod(path.stat().st_mode & 0o700)  # root's alone, as the archive has them
        python = kit / "venv" / "bin" / "python3"  # the real one may lie where no other account can look
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\nid -u > "$HOME/account" && cat "$HOME/startup/client.key" > /dev/null\n')
        python.chmod(0o755)
        number = make_account_and_folders(root)
        for path in (kit, *kit.rglob("*")):
            about = path.stat()
            assert (about.st_uid, about.st_mode & 0o077) == (number, 0), path
        assert (kit / "local" / "fedbrats.json").stat().st_mode & 0o777 == 0o600, "a file has not become a program"
        done = subprocess.run(
            ["bash", kit / "startup" / "sub_start.sh", "--check"],
            env={"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(kit)},
            user=number,
            group=number,
            extra_groups=[],
            timeout=60,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert int((kit / "account").read_text()) == number


def test_the_collector_is_given_a_file_outside_of_the_kit():
    unit = (SYSTEMD / "fedbrats-health@.service").read_text()
    folder = re.search(r"--textfile (/\S+)/%i\.prom", unit)[1]
    assert not folder.startswith("/srv/fedbrats"), "a kit is its account's alone"
    assert f"d {folder} 2750 fedbrats fedbrats-metrics" in (SYSTEMD / "fedbrats.tmpfiles.conf").read_text()
    assert f"-{folder}" in re.search(r"ReadWritePaths=(.*)", unit)[1].split()
