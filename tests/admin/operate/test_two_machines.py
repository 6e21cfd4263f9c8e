"""One kit on two machines is found by its heartbeats, and told to the server, to status and to both sites."""

import json
import os
from types import SimpleNamespace

import pytest
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.cellnet.utils import make_reply
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.sfm.sfm_conn import SfmConnection
from nvflare.fuel.f3.sfm.sfm_endpoint import SfmEndpoint
from nvflare.private.admin_defs import Message
from nvflare.private.defs import CellChannelTopic, CellMessageHeaderKeys
from nvflare.private.fed.client.fed_client import FederatedClient
from nvflare.private.fed.client.scheduler_cmds import ReportVersionProcessor
from nvflare.private.fed.server.client_manager import ClientManager

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.doctor import starting
from fedbrats.flare.process import heartbeats
from fedbrats.flare.process.connections import PROCESS, host_of, name_this_process, note_connections
from fedbrats.flare.process.heartbeats import SitesFile, judge_heartbeat, tell_sites
from fedbrats.flare.process.told import AGAIN_S, TWO_MACHINES, ToldByServer, hear_heartbeats, hear_questions
from fedbrats.flare.process.two_machines import (
    MOST_ADDRESSES,
    MOST_CONNECTIONS,
    MOST_LOGINS,
    TURNS_S,
    WINDOW_S,
    TwoMachines,
)
from fedbrats.flare.process.version_report import of_server
from fedbrats.flare.process.who_is_there import TWO_MACHINES_FILE, read_two_machines


def test_two_that_beat_at_once_are_found_and_a_restart_is_not():
    machines = TwoMachines()
    machines.log_in("a", "first", "10.0.0.1", 0.0)
    machines.beat("a", "first", "first", 0.0)
    machines.log_in("a", "second", "10.0.0.2", 1.0)
    machines.beat("a", "first", "second", 1.0)
    machines.beat("a", "second", "second", 2.0)
    assert machines.now(3.0) == {}, "one heartbeat may have been on its way"
    machines.beat("a", "first", "second", 11.0)
    assert machines.now(12.0) == {"a": ["10.0.0.1", "10.0.0.2"]}
    assert machines.now(12.0 + WINDOW_S) == {}, "one of them has ended"
    machines.beat("a", "second", "second", 60.0)
    assert machines.now(61.0) == {}


def test_two_that_log_in_again_and_again_are_found_and_restarts_by_hand_are_not():
    machines = TwoMachines()
    for number in range(MOST_LOGINS):
        machines.log_in("a", f"t{number}", f"10.0.0.{number % 2}", 10.0 * number)
        machines.beat("a", f"t{number}", f"t{number}", 10.0 * number)
    assert machines.now(31.0) == {}
    machines.log_in("a", "last", "10.0.0.0", 40.0)
    machines.beat("a", "last", "last", 40.0)
    assert list(machines.now(41.0)) == ["a"]
    machines.beat("a", "last", "last", 900.0)
    assert machines.now(901.0) == {}


def test_where_the_one_that_is_listened_to_has_died_the_other_is_no_second():
    machines = TwoMachines()
    machines.beat("a", "second", "second", 0.0)
    for second in range(50, 90, 10):
        machines.beat("a", "first", "second", float(second))
    assert machines.now(90.0) == {}


def connect(machines, processes, every_s=8.0):
    for number, process in enumerate(processes):
        machines.connect("a", process, f"10.0.0.{process}", every_s * number)
    return every_s * (len(processes) - 1)


def test_two_processes_that_take_the_connection_from_each_other_are_found():
    machines = TwoMachines()
    now = connect(machines, "121")
    assert machines.now(now) == {}, "once may be a machine that slept"
    now = connect(machines, "1212")
    assert machines.now(now) == {"a": ["10.0.0.1", "10.0.0.2"]}
    assert machines.now(now + TURNS_S) == {}, "one of them has ended"


def test_of_two_that_take_turns_both_addresses_are_told_though_one_login_counts():
    machines = TwoMachines()
    for second, process in enumerate("12"):
        machines.log_in("a", f"token {process}", f"10.0.0.{process}", float(second))
    assert machines.now(connect(machines, "1212")) == {"a": ["10.0.0.1", "10.0.0.2"]}


@pytest.mark.parametrize("processes", ["1" * 50, "123456789", "1122", "1", "11211"])
def test_a_line_that_breaks_again_and_again_and_restarts_are_no_second_machine(processes):
    machines = TwoMachines()
    assert machines.now(connect(machines, processes, every_s=1.0)) == {}


def test_slow_turns_are_none():
    machines = TwoMachines()
    assert machines.now(connect(machines, "12" * 20, every_s=TURNS_S / 2)) == {}


def test_no_number_of_connections_takes_memory():
    machines = TwoMachines()
    connect(machines, "12" * 500, every_s=0.01)
    assert len(machines._sites["a"].connections) == MOST_CONNECTIONS


class Line(SfmConnection):
    """A connection that keeps what it would send."""

    def __init__(self, endpoint):
        super().__init__(SimpleNamespace(name="x", close=lambda: None), endpoint)
        self.sent = {}

    def send_dict(self, frame_type, stream_id, data):
        self.sent = data


def test_a_process_says_its_name_and_the_server_counts_sites_and_nobody_else(monkeypatch):
    machines = TwoMachines()
    note_connections(machines)
    handshakes = []
    for _ in range(2):  # two processes
        with monkeypatch.context() as process:
            process.setattr(SfmConnection, "send_handshake", SfmConnection.send_handshake)
            name_this_process()
            line = Line(Endpoint("a"))
            line.send_handshake(4)
            handshakes.append(line.sent)
    assert handshakes[0][PROCESS] != handshakes[1][PROCESS]
    job = "a.18f294b6-815c-47c5-b35f-0d74ab09547e"
    for name in ("a", job, "_admin_18f294b6-815c-47c5-b35f-0d74ab09547e"):
        kept = SfmEndpoint(Endpoint(name))
        for handshake in handshakes * 2:
            kept.endpoint = Endpoint(name, handshake, {"peer_addr": "ipv4:10.0.0.1:4711"})
            kept.add_connection(Line(kept.endpoint))
        assert len(kept.connections) == 1, "as FLARE has it"
    assert machines.now(heartbeats.time.monotonic()) == {"a": ["10.0.0.1"]}


@pytest.mark.parametrize("address", ["10.0.0.1:4711", "ipv4:10.0.0.1:4711", "10.0.0.1"])
def test_the_host_of_an_address(address):
    assert host_of(address) == "10.0.0.1"


def test_after_a_restart_of_the_server_addresses_are_not_known():
    machines = TwoMachines()
    for second in (0.0, 10.0):
        machines.beat("a", "first", "first", second)
        machines.beat("a", "second", "first", second + 1)
    assert machines.now(12.0) == {"a": []}
    assert heartbeats.where([]) == "unknown addresses"


def test_no_number_of_logins_takes_memory():
    machines = TwoMachines()
    for number in range(100):
        machines.log_in("a", f"t{number}", "10.0.0.1", 0.0)
        machines.beat("a", f"u{number}", "valid", 0.0)
    assert len(machines._sites["a"].addresses) == MOST_ADDRESSES
    assert len(machines._sites["a"].lost) == MOST_ADDRESSES


def heartbeat(token):
    message = make_reply("ok")
    message.set_header(MessageHeaderKey.ORIGIN, "a")
    message.set_header(CellMessageHeaderKeys.TOKEN, token)
    return message


@pytest.fixture
def manager():
    found = ClientManager("project")
    client = SimpleNamespace(name="a", token="second", last_connect_time=5.0)
    found.clients, found.name_to_clients, found.disabled_clients = {"second": client}, {"a": client}, {"b", "c@d.e"}
    return found


def test_both_are_told_and_the_server_says_it_to_people(manager, monkeypatch, caplog):
    machines = TwoMachines()
    monkeypatch.setattr(heartbeats, "MACHINES", machines)
    for second in (0.0, 10.0):
        judge_heartbeat(heartbeat("first"), manager, second, machines)
        told = judge_heartbeat(heartbeat("second"), manager, second + 1, machines)
    assert told == "unknown addresses"
    assert judge_heartbeat(heartbeat("first"), manager, 12.0, machines)
    monkeypatch.setattr(heartbeats, "time", SimpleNamespace(monotonic=lambda: 13.0))  # in this module alone
    engine = SimpleNamespace(server=SimpleNamespace(client_manager=manager))
    assert of_server(engine) == {"revoked": ["b", "c@d.e"], "two_machines": {"a": []}}
    assert of_server(None) == {}
    asked = []
    engine.get_clients = lambda: [*manager.clients.values(), SimpleNamespace(name="b", token="other")]
    tell_sites(engine, asked.append)
    ((token, question),) = asked[0].items()
    assert (token, question.get_header(TWO_MACHINES)) == ("second", "unknown addresses")
    manager.clients = {}
    assert heartbeats.who_is_there(engine)["sites"] == {"a": {"seen": None, "two_machines": []}}
    log = SitesFile()
    sites = heartbeats.who_is_there(engine)["sites"]
    for now in (13.0, 14.0, 14.0 + AGAIN_S):
        log.tell(sites, now)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the kit of a runs on two machines (unknown addresses)"
    ] * 2, "told again after a while only"


def test_a_disk_that_is_full_is_said_once(caplog):
    kept = SitesFile()
    for _ in range(2):
        kept._written = -heartbeats.WRITE_S
        kept.keep(None, {})
    assert len([each for each in caplog.records if "cannot be written" in each.getMessage()]) == 1


def test_a_heartbeat_of_somebody_unknown_is_not_kept(manager):
    machines = TwoMachines()
    manager.name_to_clients = {}
    assert judge_heartbeat(heartbeat("x"), manager, 0.0, machines) == ""
    assert machines._sites == {}


def test_a_site_says_it_in_its_log_and_to_the_doctor(site_kit, monkeypatch, caplog):
    answer = make_reply("ok")
    told = ToldByServer(site_kit)
    client = SimpleNamespace(
        communicator=SimpleNamespace(cell=SimpleNamespace(send_request=lambda **_: answer, other=7))
    )
    monkeypatch.setattr(FederatedClient, "start_heartbeat", lambda client, interval: f"every {interval}")
    hear_heartbeats(told)
    assert FederatedClient.start_heartbeat(client, 10) == "every 10"
    cell = client.communicator.cell
    answer.set_header(TWO_MACHINES, "10.0.0.1 and 10.0.0.2")
    assert cell.send_request(topic=CellChannelTopic.HEART_BEAT) is answer
    told.take("10.0.0.1 and 10.0.0.2\x1b", 1e9)
    assert len(caplog.records) == 2
    assert "stop the other one" in caplog.text
    found = [each for each in starting.check(open_kit(site_kit)) if each.check == "machines"]
    assert [(each.state, "10.0.0.1 and 10.0.0.2" in each.found) for each in found] == [("failed", True)]
    told.take(None, 1e9)
    assert not (site_kit / TWO_MACHINES_FILE).exists()
    assert cell.other == 7


def test_a_site_hears_it_in_a_question_of_the_server(site_kit, monkeypatch):
    monkeypatch.setattr(ReportVersionProcessor, "process", lambda self, req, app_ctx: "answer")
    hear_questions(ToldByServer(site_kit))
    question = Message(topic="sys.report_version", body="")
    for said, kept in ((None, None), ("10.0.0.1", "10.0.0.1")):
        if said:
            question.set_header(TWO_MACHINES, said)
        assert ReportVersionProcessor().process(question, None) == "answer"
        assert read_two_machines(site_kit) == kept


@pytest.mark.parametrize("content", ["", "[]", '{"machines": 5}', "{}"])
def test_a_damaged_note_says_nothing_or_what_it_has(tmp_path, content):
    (tmp_path / TWO_MACHINES_FILE).write_text(content)
    assert read_two_machines(tmp_path) in (None, "5")
    (tmp_path / TWO_MACHINES_FILE).write_text(json.dumps({"machines": "x"}))
    assert read_two_machines(tmp_path) == "x"
    os.utime(tmp_path / TWO_MACHINES_FILE, (0, 0))
    assert read_two_machines(tmp_path) is None
