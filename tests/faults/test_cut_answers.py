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
ASKS_AGAIN_S = 10  # of the site's `communication_timeout`; FLARE's own is 300, which would make the test longer


@fault(
    "connection cut in the middle of an answer",
    injected=f"a proxy ends a site's connection after N bytes of a round, {CUTS} times for N over a whole answer",
    detected="the site's log: its answer could not be sent, and is sent again",
    outcome=f"{SURVIVED}: the site connects and sends again, is counted with the others, and the job completes",
)
def test_a_connection_that_is_cut_at_any_byte_of_an_answer(tmp_path, phantom_sites):
    federation = Consortium(tmp_path, phantom_sites, sites=2)
    whole, cut = federation.sites
    cutter = Cutter(federation.port)
    _send_through(federation.kit(cut), cutter.port)
    try:
        federation.start()
        federation.wait_until_connected()
        job = federation.job(
            num_rounds=3 * CUTS, local_steps=5, min_clients=2, min_case_share=0.0,
            first_deadline_s=120.0, deadline_floor_s=60.0, deadline_factor=1.0,
        )  # fmt: skip
        with admin_session(federation.kit(LEAD)) as session:
            job_id = submit(session, job)
            path = federation.kit(SERVER) / job_id / ROWS_FOLDER / ROWS_FILE
            wait_for(lambda: _rounds_of(path, cut))
            answer = next(row["bytes"]["up"] for row in _answers(path) if row["site"] == cut)
            for number in range(CUTS):
                done = len(_answers(path, of=whole))
                cutter.arm(2000 + answer * number // CUTS)
                wait_for(lambda: cutter.cuts > number and len(_answers(path, of=whole)) > done, timeout_s=300)  # noqa: B023
            assert wait_for_end(session, job_id) == "FINISHED:COMPLETED"
    finally:
        federation.stop()
        cutter.close()
        assert find_processes(tmp_path) == []
    assert cutter.cuts >= CUTS
    assert "exiting job process" not in federation.log(SERVER)


def _send_through(kit, port):
    """A kit whose site finds the server behind a proxy; nobody vouches for its edited startup folder."""
    path = kit / "startup" / "fed_client.json"
    document = json.loads(path.read_text())
    document["servers"][0]["service"]["target"] = f"localhost:{port}"
    path.write_text(json.dumps(document))
    (kit / "startup" / "signature.json").unlink()
    resources = kit / "local" / "resources.json.default"
    document = json.loads(resources.read_text())
    document["client"]["communication_timeout"] = ASKS_AGAIN_S
    resources.write_text(json.dumps(document))


def _answers(path, of=None):
    rows = read_rows(path) if path.exists() else []
    return [row for row in rows if row["kind"] == "site" and row["accepted"] and row["site"] in (of, of or row["site"])]


def _rounds_of(path, site):
    return [row["round"] for row in _answers(path, of=site)]
