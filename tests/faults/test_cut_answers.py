"""A connection that ends at any byte of an answer costs that site a moment and the others nothing."""

import json

import pytest

from fedbrats.admin.run.processes import find_processes
from fedbrats.admin.run.remote import submit, wait_for_end
from fedbrats.admin.run.sessions import admin_session
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER, read_rows
from tests.end_to_end.consortium import LEAD, SERVER, Consortium, wait_for
from tests.faults.catalogue import SURVIVED, fault
from tests.faults.cutter import Cutter

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(1800)]
CUTS = 12
# How soon the site sends again: FLARE's own are 300 and 5, which would make the test longer.
TIMEOUT_S, PAUSE_S = 3, 0.5


@fault(
    "connection cut in the middle of an answer",
    injected=f"a proxy ends a site's connection after N bytes of a round, {CUTS} times for N over a whole answer",
    detected="the site's log: its answer could not be sent, and is sent again",
    outcome=f"{SURVIVED}: the site connects and sends again, is counted with the others, and the job completes",
)
def test_a_connection_that_is_cut_at_any_byte_of_an_answer(tmp_path, phantom_sites):
    federation = Consortium(tmp_path, phantom_sites, sites=2)
    cut = federation.sites[1]
    cutter = Cutter(federation.port)
    _send_through(federation.kit(cut), cutter.port)
    try:
        federation.start()
        federation.wait_until_connected()
        job = federation.job(
            num_rounds=3 * CUTS, local_steps=5, min_clients=2, min_case_share=0.0,
            first_deadline_s=120.0, deadline_floor_s=60.0, deadline_factor=1.0,
        )  # fmt: skip
        _edit(
            job / "app" / "config" / "config_fed_client.json",
            lambda document: {**document, "task_check_interval": PAUSE_S},
        )
        with admin_session(federation.kit(LEAD)) as session:
            job_id = submit(session, job)
            path = federation.kit(SERVER) / job_id / ROWS_FOLDER / ROWS_FILE
            wait_for(lambda: _answers(path, cut))
            answer = _answers(path, cut)[0]["bytes"]["up"]
            for number in range(CUTS):
                done = len(_answers(path, cut))
                cutter.arm(2000 + answer * number // CUTS)
                wait_for(lambda: cutter.cuts > number and len(_answers(path, cut)) > done)  # noqa: B023
            assert wait_for_end(session, job_id) == "FINISHED:COMPLETED"
    finally:
        federation.stop()
        cutter.close()
        assert find_processes(tmp_path) == []
    assert cutter.cuts == CUTS
    assert "failed to send task result" in federation.job_log(cut, job_id), "no cut met an answer"
    assert "exiting job process" not in federation.log(SERVER)


def _send_through(kit, port):
    """A kit whose site finds the server behind a proxy; nobody vouches for its edited startup folder."""

    def find_proxy(document):
        document["servers"][0]["service"]["target"] = f"localhost:{port}"
        return document

    def ask_again_soon(document):
        document["client"]["communication_timeout"] = TIMEOUT_S
        return document

    _edit(kit / "startup" / "fed_client.json", find_proxy)
    (kit / "startup" / "signature.json").unlink()
    _edit(kit / "local" / "resources.json.default", ask_again_soon)


def _edit(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def _answers(path, site):
    rows = read_rows(path) if path.exists() else []
    return [row for row in rows if row["kind"] == "site" and row["accepted"] and row["site"] == site]
