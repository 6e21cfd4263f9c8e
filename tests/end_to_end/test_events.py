"""A site that fires every event there is at the server, in the middle of a job, changes no bit of the result."""

import json
from pathlib import Path

import pytest
import torch

from fedbrats.admin.run.processes import find_processes
from fedbrats.admin.run.remote import submit, wait_for_end
from fedbrats.admin.run.sessions import admin_session
from fedbrats.rows import read_rows
from tests.end_to_end.consortium import LEAD, SERVER, Consortium, fedbrats
from tests.security.attacks import attack

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]
SHOUTER = """
import threading, time, uuid
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FedEventHeader
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_event_type import AppEventType
from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.message import Message

HERE = Path(__file__).parents[2]
NAMES = [value for kind in (EventType, AppEventType) for key, value in vars(kind).items() if key.isupper()]
NAMES += ["fedbrats_rows", "fed.analytix_log_stats", "analytix_log_stats"]


class Shouter(FLComponent):
    def __init__(self):
        super().__init__()
        threading.Thread(target=self._shout, daemon=True).start()

    def _shout(self):
        while True:
            time.sleep(0.2)
            for fqcn, cell in list(CoreCell.ALL_CELLS.items()):
                if "." in fqcn and (HERE / "shout").exists() and cell.agents:
                    for name in NAMES:
                        for stream in (False, True):
                            self._send(cell, fqcn, name, stream)
                    (HERE / "shouted").write_text(str(len(NAMES)))

    def _send(self, cell, fqcn, name, stream):
        event = Shareable()
        event.set_header(FedEventHeader.EVENT_TYPE, name)
        event.set_header(FedEventHeader.TIMESTAMP, time.time())
        event.set_header(FedEventHeader.EVENT_ID, uuid.uuid4().hex)
        event.set_header(FedEventHeader.ORIGIN, "x")
        event.set_peer_props({"__identity_name__": fqcn.partition(".")[0]})
        to = "server." + fqcn.partition(".")[2]
        send = cell.get_fobs_context().get("cell", cell) if stream else cell
        try:
            send.fire_and_forget(
                channel="aux_communication", topic="fed.event", targets=to, message=Message({}, event)
            )
        except Exception:
            pass
"""


@attack(
    "fire an event of FLARE's at the server: end the job, forget the others' scores, name the best model",
    who="a hospital; by the same way a person",
    happens="no event of a site's is heard; the models and the rows are the same to the bit",
    says="refused: hospital-north.JOB speaks to server.JOB (aux_communication:fed.event)",
)
def test_no_event_of_a_sites_changes_the_result(phantom_sites, tmp_path):
    federation = Consortium(tmp_path, phantom_sites, sites=2)
    loud = federation.kit(federation.sites[0])
    (loud / "local" / "custom").mkdir()
    (loud / "local" / "custom" / "shouter.py").write_text(SHOUTER)
    resources = json.loads((loud / "local" / "resources.json.default").read_text())
    resources["components"].append({"id": "shouter", "path": "shouter.Shouter", "args": {}})
    (loud / "local" / "resources.json").write_text(json.dumps(resources))
    try:
        federation.start()
        federation.wait_until_connected()
        quiet = _results(federation)
        (loud / "shout").touch()
        shouted = _results(federation)
    finally:
        federation.stop()
        assert find_processes(tmp_path) == []
    assert int((loud / "shouted").read_text()) > 50
    assert "(aux_communication:fed.event)" in federation.log(SERVER)
    for name in ("global_model.pt", "best_model.pt"):
        one, other = (torch.load(folder / name, weights_only=True)["model"] for folder in (quiet, shouted))
        assert all(torch.equal(one[key], other[key]) for key in one), name
    one, other = (_said(folder) for folder in (quiet, shouted))
    assert one == other


def _results(federation):
    with admin_session(federation.kit(LEAD)) as session:
        job_id = submit(session, federation.job(num_rounds=3, local_steps=3))
        assert wait_for_end(session, job_id) == "FINISHED:COMPLETED"
    done = fedbrats("fetch", job_id, "--kit", federation.kit(LEAD), "--json", cwd=federation.folder)
    return federation.folder / Path(json.loads(done.stdout)["results"])


def _said(folder):
    """The rows, without times, sizes and the job's id, in an order of their own."""
    rows = [row for row in read_rows(folder / "rows.jsonl") if row["kind"] in ("metrics", "weight", "refusal", "round")]
    apart = ("seconds", "ended_at", "answered_s")
    return sorted(json.dumps({key: row[key] for key in sorted(row) if key not in apart}) for row in rows)
