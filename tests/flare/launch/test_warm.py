"""A job process that is forked begins as one that FLARE starts, and its launcher hears how it ended."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from nvflare.apis.job_launcher_spec import JobReturnCode

from fedbrats.flare.launch.address import ROOM, Request, connect
from fedbrats.flare.launch.launcher import ask

# Stands for FLARE's main functions: says how it began, and ends as its first argument says.
STAND_IN = """
import argparse, json, os, sys, threading, time
def parse_arguments():
    parser = argparse.ArgumentParser()
    for name in ("--workspace", "--job_id", "--how"):
        parser.add_argument(name)
    return parser.parse_args()
def main(args):
    about = {"environment": dict(os.environ), "folder": os.getcwd(), "parent": os.getppid(), "session": os.getsid(0),
             "pid": os.getpid(), "mask": os.umask(0), "threads": len(os.listdir("/proc/self/task")),
             "path": sys.path, "files": len(os.listdir("/proc/self/fd"))}
    print(json.dumps(about), flush=True)
    if args.how == "sleep":
        time.sleep(60)
    if args.how == "leave":
        sys.exit(3)
"""
WARM = """
import sys
from fedbrats.flare.launch import warm
warm.MAINS = warm.MODULES = ("stand_in", "numpy")
sys.exit(warm.main())
"""


@pytest.fixture
def warm(tmp_path):
    """A warm process with the stand-in, in a folder whose path is too long for a socket."""
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    folder.mkdir(parents=True)
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", WARM, str(folder), ROOM], env=environment)
    while not (folder / "warm.sock").exists():
        assert process.poll() is None
        time.sleep(0.01)
    yield folder, process
    process.kill()
    process.wait()


def fork(folder, tmp_path, how, main="stand_in"):
    """A forked process and where its output goes."""
    command = [sys.executable, "-m", main, "--workspace", str(tmp_path), "--job_id", "a-job", "--how", how]
    request = Request(
        command=command, environment={"ONLY": "this"}, search_path=["/new"], folder="/", parent=os.getpid()
    )
    connection = until(lambda: connect(folder))
    standard_output = os.dup(1)
    out = tmp_path / "out.txt"
    with out.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        try:
            handle = ask(connection, request)
        finally:
            os.dup2(standard_output, 1)
            os.close(standard_output)
    return handle, out


def until(condition):
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_forked_process_begins_like_one_of_its_own(warm, tmp_path):
    handle, out = fork(warm[0], tmp_path, "return")
    handle.wait()
    assert handle.poll() == JobReturnCode.SUCCESS
    about = json.loads(out.read_text())
    assert about["environment"] == {"ONLY": "this"}
    assert about["folder"] == "/"
    assert about["parent"] == os.getpid()
    assert about["session"] == about["pid"] == handle.pid
    assert about["mask"] == 0o077
    assert about["threads"] == 1
    assert about["path"][-1] == "/new"
    assert about["files"] <= 4  # the three streams, and the folder that is read


def test_a_launcher_is_told_how_a_process_ended(warm, tmp_path):
    until(lambda: connect(warm[0]))
    files = len(os.listdir("/proc/self/fd"))
    handle, _ = fork(warm[0], tmp_path, "leave")
    handle.wait()
    assert handle.poll() == JobReturnCode.EXECUTION_ERROR
    del handle
    assert len(os.listdir("/proc/self/fd")) == files  # a participant starts jobs for months


def test_a_process_can_be_found_and_killed_by_its_command_line(warm, tmp_path):
    handle, out = fork(warm[0], tmp_path, "sleep")
    until(lambda: out.read_text())
    assert handle.poll() == JobReturnCode.UNKNOWN
    words = psutil.Process(handle.pid).cmdline()
    assert words[:5] == [sys.executable, "-m", "stand_in", "--workspace", str(tmp_path)]
    handle.terminate()
    handle.wait()
    assert handle.poll() == JobReturnCode.EXECUTION_ERROR
    handle.terminate()  # it has ended: nobody is killed


def test_jobs_outlive_the_warm_process_and_their_end_is_seen(warm, tmp_path):
    folder, process = warm
    handle, out = fork(folder, tmp_path, "sleep")
    until(lambda: out.read_text())
    process.kill()
    process.wait()
    assert connect(folder) is None
    assert handle.poll() == JobReturnCode.UNKNOWN
    handle.terminate()
    handle.wait()
    assert handle.poll() == JobReturnCode.EXECUTION_ERROR


@pytest.mark.parametrize("main", ["os", "stand_in.more"])
def test_nothing_but_a_main_of_jobs_is_run(warm, tmp_path, main):
    handle, _ = fork(warm[0], tmp_path, "return", main)
    handle.wait()
    assert handle.poll() == JobReturnCode.EXECUTION_ERROR
    assert fork(warm[0], tmp_path, "return")[0]


def test_a_request_that_is_none_is_refused_and_the_next_is_served(warm, tmp_path):
    connection = until(lambda: connect(warm[0]))
    connection.send(b"{}")
    assert connection.recv(100) == b""
    given_up = until(lambda: connect(warm[0]))
    given_up.close()
    handle, _ = fork(warm[0], tmp_path, "return")
    handle.wait()
    assert handle.poll() == JobReturnCode.SUCCESS


def test_the_socket_is_for_this_user_alone(warm):
    assert (warm[0] / "warm.sock").stat().st_mode & 0o777 == 0o600


def test_nobody_listens_where_there_is_no_socket(tmp_path):
    assert connect(tmp_path) is None
    Path(tmp_path / "warm.sock").touch()
    assert connect(tmp_path) is None


def test_who_does_not_answer_is_given_up(tmp_path):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    request = Request(command=["python", "-m", "x"], environment={}, search_path=[], folder="/", parent=1)
    assert ask(ours, request) is None
