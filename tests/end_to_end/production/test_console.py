"""FLARE's own admin console, by a terminal, in a kit of the consortium."""

import json
import os
import sys
import time
from pathlib import Path

import pexpect
import pytest

from fedbrats.admin.run.processes import find_processes
from tests.end_to_end.consortium import ADMIN, CENTRAL, SERVER, SETTINGS, fedbrats, start_kit, wait_for

pytestmark = pytest.mark.end_to_end


def test_the_console_from_login_to_shutdown(consortium):
    kit = consortium.kit(ADMIN)
    fedbrats("job", "build", "fedavg", "--out", kit / "transfer", *SETTINGS, "--set", "num_rounds=500", cwd=kit)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb"}
    terminal = pexpect.spawn(
        "bash", [str(kit / "startup" / "fl_admin.sh")], env=environment, timeout=180, encoding="utf-8",
        dimensions=(50, 220),
    )  # fmt: skip
    try:
        terminal.expect("User Name:")
        terminal.sendline(ADMIN)
        terminal.expect("> ")
        terminal.sendline("check_status server")
        terminal.expect(r"Registered clients: (\d+)")
        ours = json.loads(fedbrats("status", "--kit", kit, "--json", cwd=kit).stdout)
        assert int(terminal.match.group(1)) == len(ours["sites"])
        terminal.expect("> ")
        assert [site for site in ours["sites"] if site not in terminal.before] == []
        terminal.sendline("submit_job fedavg")
        terminal.expect(r"[Ss]ubmitted job: ([0-9a-f-]{36})")
        job_id = terminal.match.group(1)
        _until(terminal, f"list_jobs {job_id}", "RUNNING")
        wait_for(lambda: (consortium.kit(SERVER) / job_id / "log.txt").exists())
        terminal.sendline(f"abort_job {job_id}")
        terminal.expect("Are you sure")
        terminal.sendline("y")
        _until(terminal, f"list_jobs {job_id}", "FINISHED:ABORTED")
        terminal.sendline(f"download_job {job_id}")
        wait_for(lambda: list((kit / "transfer" / job_id).rglob("log.txt")))
        terminal.sendline(f"shutdown client {CENTRAL}")
        terminal.expect("Confirm with User Name")
        terminal.sendline(ADMIN)
        terminal.expect("> ")
        terminal.sendline("bye")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)
    wait_for(lambda: not find_processes(consortium.kit(CENTRAL)))
    wait_for(lambda: CENTRAL not in consortium.connected())
    start_kit(consortium.kit(CENTRAL))
    consortium.wait_until_connected()


def _until(terminal, command, expected, timeout_s=180):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        terminal.sendline(command)
        if terminal.expect([expected, pexpect.TIMEOUT], timeout=3) == 0:
            return
    pytest.fail(f"{command} never showed {expected}")
