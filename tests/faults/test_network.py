"""What the network does to a federation: a cable out for a minute."""

import json
import time

import pytest

from fedbrats.admin.run.processes import find_processes
from fedbrats.admin.run.remote import ENDED
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER, read_rows
from tests.end_to_end.consortium import ADMIN, LEAD, SERVER, Consortium, start_kit, wait_for
from tests.end_to_end.network import inside, joined_hosts, plug_in, unplug
from tests.faults.catalogue import SURVIVED, fault

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(1800)]
CUT_S = 60
ASKS_AGAIN_S = 30  # of the site's `communication_timeout`; FLARE's own is 300, which would make the test longer
ROUNDS = 10


@fault(
    "network cut of one site for 60 s",
    injected="the cable of a site's own host is out for a minute in the middle of a job (network namespaces)",
    detected="`participation` row `waiting` where the site missed its deadline",
    outcome=f"{SURVIVED}: rounds go on; the site asks again when its `communication_timeout` is over (300 s unless its "
    "own `resources.json` says less) and is counted again without anybody's doing; the job ends completed",
)
def test_a_cable_that_is_out_for_a_minute(tmp_path, phantom_sites):
    with joined_hosts(3) as hosts:
        server_host, *site_hosts = hosts
        federation = Consortium(tmp_path, phantom_sites, server_host=hosts[server_host], sites=2)
        cut, people = federation.sites[1], site_hosts[0]
        resources = federation.kit(cut) / "local" / "resources.json.default"
        document = json.loads(resources.read_text())
        document["client"]["communication_timeout"] = ASKS_AGAIN_S
        resources.write_text(json.dumps(document))
        try:
            start_kit(federation.kit(SERVER), inside=server_host)
            for site, host in zip(federation.sites, site_hosts, strict=True):
                start_kit(federation.kit(site), inside=host)
            wait_for(lambda: _connected(people, federation) == set(federation.sites), timeout_s=120)
            job = federation.job(
                num_rounds=ROUNDS, local_steps=30, min_clients=1, min_case_share=0.0,
                first_deadline_s=300, deadline_floor_s=20, deadline_factor=1.0,
            )  # fmt: skip
            done = inside(people, "submit", job, "--kit", federation.kit(LEAD), "--json")
            assert done.returncode == 0, done.stderr
            job_id = json.loads(done.stdout)["job_id"]
            rows = federation.kit(SERVER) / job_id / "fedbrats" / "rows.jsonl"
            assert rows.name == ROWS_FILE
            assert rows.parent.name == ROWS_FOLDER
            wait_for(lambda: rows.exists() and _counted(rows, cut), timeout_s=300)
            unplug(hosts, site_hosts[1])
            time.sleep(CUT_S)
            before = len(_counted(rows, cut))
            plug_in(hosts, site_hosts[1])
            found = {}

            def ended():
                if rows.exists():
                    found["rows"] = read_rows(rows)
                shown = json.loads(inside(people, "status", "--kit", federation.kit(ADMIN), "--json").stdout or "{}")
                found["status"] = next((j["status"] for j in shown.get("jobs", ()) if j["job_id"] == job_id), "")
                return found["status"].startswith(ENDED)

            wait_for(ended, timeout_s=900)
            assert found["status"] == "FINISHED:COMPLETED"
            again = [row["round"] for row in found["rows"] if row["kind"] == "site" and row["site"] == cut]
            assert len(again) > before
            assert len(again) < ROUNDS
        finally:
            federation.stop()
            assert find_processes(tmp_path) == []


def _connected(people, federation):
    done = inside(people, "status", "--kit", federation.kit(ADMIN), "--json")
    return set(json.loads(done.stdout).get("sites", ())) if done.returncode == 0 else set()


def _counted(rows, site):
    return [row for row in read_rows(rows) if row["kind"] == "site" and row["site"] == site and row["accepted"]]
