"""Several at once: two jobs on one federation, two federations on one machine, and a port that somebody else has."""

import json
import socket

import pytest

from fedbrats.admin.run.poc import SERVER
from fedbrats.admin.run.processes import find_processes
from fedbrats.errors import FedbratsError
from tests.faults.catalogue import ENDED, SURVIVED, fault
from tests.faults.federation import Federation, running, same

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def two(tmp_path_factory, phantom_sites):
    """Two federations of two sites that run at the same time: the jobs' ids, and their models."""
    folder = tmp_path_factory.mktemp("concurrency")
    with running(folder / "one", phantom_sites) as one, running(folder / "other", phantom_sites) as other:
        started = [(each, each.submit(num_rounds=2)) for each in (one, one, other)]
        ended = [each.wait_for_end(job_id) for each, job_id in started]
        for each, job_id in started:
            each.collect(job_id)
        yield ended, [each.model(job_id) for each, job_id in started]


@fault(
    "two jobs at once on one federation",
    injected="the same job submitted twice before the first has begun",
    detected="nothing to detect",
    outcome=f"{SURVIVED}: both complete, with the same global model bit for bit",
)
def test_two_jobs_at_once_come_to_the_same_bits(two):
    ended, models = two
    assert ended[:2] == ["FINISHED:COMPLETED"] * 2
    assert same(models[0], models[1])


@fault(
    "two federations on one machine",
    injected="two POCs of the same sites up at once, each with a job",
    detected="nothing to detect: each has ports of its own",
    outcome=f"{SURVIVED}: both complete, with the same global model bit for bit",
)
def test_two_federations_on_one_machine_do_not_meet(two):
    ended, models = two
    assert ended[2] == "FINISHED:COMPLETED"
    assert same(models[0], models[2])


@fault(
    "server port taken",
    injected="another process listens on the server's port when the federation starts",
    detected="the server's process ends, or never listens; whoever starts it is told and pointed to its log",
    outcome=f"{ENDED}: everything that was started is stopped",
)
def test_a_port_that_somebody_else_has(tmp_path, phantom_sites, monkeypatch):
    monkeypatch.setattr("fedbrats.admin.run.poc.START_TIMEOUT_S", 45)
    federation = Federation(tmp_path, phantom_sites)
    settings = json.loads((federation.poc.kits / SERVER / "startup" / "fed_server.json").read_text())
    port = int(settings["servers"][0]["service"]["target"].rpartition(":")[2])
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", port))
        taken.listen()
        with pytest.raises(FedbratsError, match="server"):
            federation.start()
    assert find_processes(federation.poc.workspace) == []
