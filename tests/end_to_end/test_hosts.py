"""Several hosts on one machine: the server and two hospitals in network namespaces of their own, joined by one bridge.

Nothing else joins them, so that whatever needs a second port or another's loopback fails here.
"""

import json
import subprocess

import pytest

from fedbrats.admin.run.processes import find_processes
from tests.end_to_end.consortium import ADMIN, LEAD, SERVER, Consortium, start_kit, wait_for
from tests.end_to_end.network import inside, joined_hosts

pytestmark = pytest.mark.end_to_end
LISTENING = "0A"  # as /proc/net/tcp writes it


@pytest.fixture(scope="module")
def hosts():
    with joined_hosts(3) as hosts:
        yield hosts


def test_two_hospitals_on_their_own_hosts_train_through_one_port(hosts, tmp_path, phantom_sites):
    server_host, *site_hosts = hosts
    federation = Consortium(tmp_path, phantom_sites, server_host=hosts[server_host], sites=2)
    try:
        start_kit(federation.kit(SERVER), inside=server_host)
        for site, host in zip(federation.sites, site_hosts, strict=True):
            start_kit(federation.kit(site), inside=host)
        people = site_hosts[0]
        shown = {}

        def all_here():
            done = inside(people, "status", "--kit", federation.kit(ADMIN), "--json")
            shown.update(json.loads(done.stdout) if done.returncode == 0 else {})
            return set(shown.get("sites", ())) == set(federation.sites)

        wait_for(all_here, timeout_s=120)
        done = inside(people, "submit", federation.job(num_rounds=1), "--kit", federation.kit(LEAD), "--wait", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"] == "FINISHED:COMPLETED"
        assert _open_ports(server_host) == {federation.port}
        assert all(_open_ports(host) == set() for host in site_hosts)
    finally:
        federation.stop()
        assert find_processes(tmp_path) == []


def _open_ports(host):
    """TCP ports of a host that another host could reach."""
    done = subprocess.run(
        ["ip", "netns", "exec", host, "cat", "/proc/net/tcp", "/proc/net/tcp6"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines() if ":" in line.split()[1]]
    listening = [row[1].split(":") for row in rows if row[3] == LISTENING]
    return {int(port, 16) for address, port in listening if not _is_loopback(address)}


def _is_loopback(address):
    """127.0.0.1 and ::1, also mapped, as /proc/net/tcp writes them."""
    return address in ("0100007F", "0" * 24 + "01000000", "0000000000000000FFFF00000100007F")
