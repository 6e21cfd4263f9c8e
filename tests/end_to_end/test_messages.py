"""FLARE's network as it runs, from a consortium's own kits: who is heard by whom, and who gets into which port.

The channels and topics are read from the registries of the cells that run, so that a new FLARE adds rows by itself.
"""

import itertools
import json
import re
import socket
import ssl
import uuid
from pathlib import Path

import psutil
import pytest
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.cellnet.net_agent import NetAgent  # noqa: F401 (registers FLARE's drivers)
from nvflare.fuel.f3.cellnet.registry import Registry
from nvflare.fuel.f3.message import Message

from fedbrats.admin.provision.consortium import build_kits
from fedbrats.admin.run.processes import find_processes
from fedbrats.admin.run.remote import submit
from fedbrats.admin.run.sessions import admin_session, job_status
from fedbrats.flare.kit.cell_rules import REQUESTS, Kind, kind_of
from tests.end_to_end.consortium import LEAD, MEMBER, SERVER, Consortium, wait_for
from tests.security.attacks import attack

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]
CENSUS = """
import threading
from pathlib import Path

from nvflare.apis.fl_component import FLComponent
from nvflare.fuel.f3.cellnet.core_cell import CoreCell

FOLDER = Path(__file__).parents[2] / "census"


class Census(FLComponent):
    def __init__(self):
        super().__init__()
        FOLDER.mkdir(exist_ok=True)
        self._stopped = threading.Event()
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self):
        while not self._stopped.wait(0.5):
            for name, cell in list(CoreCell.ALL_CELLS.items()):
                unfinished = FOLDER / f"{name}.unfinished"  # nobody may read half of it
                unfinished.write_text("\\n".join(list(cell.req_reg.reg)))
                unfinished.replace(FOLDER / f"{name}.txt")
"""


@pytest.fixture(scope="module")
def federation(phantom_sites, tmp_path_factory):
    """Two hospitals and a server that run a job; each process writes down what its cell listens to."""
    folder = tmp_path_factory.mktemp("messages")
    consortium = Consortium(folder, phantom_sites, sites=2)
    for name in (SERVER, *consortium.sites):
        local = consortium.kit(name) / "local"
        (local / "custom").mkdir()
        (local / "custom" / "census.py").write_text(CENSUS)
        resources = json.loads((local / "resources.json.default").read_text())
        resources["components"].append({"id": "census", "path": "census.Census", "args": {}})
        (local / "resources.json").write_text(json.dumps(resources))
    try:
        consortium.start()
        consortium.wait_until_connected()
        with admin_session(consortium.kit(LEAD)) as session:
            consortium.job_id = submit(session, consortium.job(num_rounds=500, first_deadline_s=120.0))
            wait_for(lambda: job_status(session, consortium.job_id) == "RUNNING")
            cells = [f"{name}.{consortium.job_id}" for name in ("server", *consortium.sites)]
            wait_for(
                lambda: all("client_command" in (t := census(consortium, c)) or "server_command" in t for c in cells)
            )
            yield consortium
            session.abort_job(consortium.job_id)
    finally:
        consortium.stop()
        assert find_processes(folder) == []


def census(consortium, cell):
    """What a cell listens to, as one text; nothing where it does not run."""
    found = list(consortium.kits.glob(f"*/census/{cell}.txt"))
    return found[0].read_text() if found else ""


def conversations(consortium, cell):
    """The channels and topics that a cell listens to; of a channel that takes every topic, those that are known."""
    known = {about for topics in REQUESTS.values() for about in topics}
    known |= {"admin:sys.shell", "admin:train.delete_run", "aux_communication:fed.event", "hci_channel:x"}
    known |= {"server_parent_listener:x", "server_command:abort", "client_command:configure_job_log"}
    for line in census(consortium, cell).splitlines():
        channel, _, topic = line.partition(":")
        if not channel.startswith("sm__"):
            yield from sorted(k for k in known if k.startswith(f"{channel}:")) if topic == "*" else [line]


@pytest.fixture(scope="module")
def speakers(federation):
    """A process of hospital-north beside its own, and the statistician, who may only look."""
    north = federation.kit(federation.sites[0]) / "startup"
    credentials = {
        "client_cert": str(north / "client.crt"), "client_key": str(north / "client.key"),
        "ca_cert": str(north / "rootCA.pem"), "connection_security": "mtls",
    }  # fmt: skip
    name = f"{federation.sites[0]}.{uuid.uuid4()}"
    cell = Cell(
        fqcn=name, root_url=f"grpc://localhost:{federation.port}", secure=True, credentials=credentials,
        create_internal_listener=False,
    )  # fmt: skip
    cell.start()
    with admin_session(federation.kit(MEMBER)) as session:
        person = session.api.get_cell()
        person.core_cell.in_filter_reg = Registry()

        def sender(core):
            return lambda channel, topic, to, message: core.fire_and_forget(channel, topic, to, message)

        wait_for(lambda: "server" in cell.core_cell.agents)
        yield {name: sender(cell.core_cell), person.get_fqcn(): sender(person.core_cell)}
        cell.core_cell.stop()


@attack(
    "send anything to anybody, on every channel and topic that FLARE's cells listen to",
    who="a hospital, or a person of any role",
    happens="only what is on the list is heard; all else is refused with a line that names the speaker",
    says="refused: statistician@university.example speaks to hospital-south (admin:sys.shell)",
)
def test_only_what_is_on_the_list_is_heard(federation, speakers):
    """The table of speakers, listeners, and every channel and topic of the registries at run time."""
    listeners = [
        "server",
        f"server.{federation.job_id}",
        *federation.sites[1:],
        f"{federation.sites[1]}.{federation.job_id}",
    ]
    tried = 0
    wanted = set()
    for (speaker, send), listener in itertools.product(speakers.items(), listeners):
        abouts = list(conversations(federation, listener))
        assert len(abouts) > 20, f"{listener} has no registry"
        for about in abouts:
            if about in REQUESTS.get((kind_of(speaker), kind_of(listener)), ()) or about.endswith(":bye"):
                continue
            channel, _, topic = about.partition(":")
            send(channel, topic, listener, Message({}, {"from": "an attacker"}))
            who = MEMBER if kind_of(speaker) is Kind.PERSON else speaker
            wanted.add((who, listener, about))
            tried += 1
    assert tried > 150
    audit = federation.kit(SERVER) / "audit.log"
    wait_for(lambda: told(audit, federation.job_id) >= wanted, timeout_s=60)
    for site in federation.sites:
        assert "an attacker" not in federation.job_log(site, federation.job_id)


def told(audit, job_id):
    """(speaker, listener, channel:topic) of each refusal in an audit log."""
    line = re.compile(r'"who": "(\S+)", "action": "refused", "message": "speaks to (?:another job, )?(\S+) \((\S+)\)')
    return set(line.findall(audit.read_text())) if audit.exists() else set()


@attack(
    "connect to a port that FLARE opens on the machine, without a certificate or with one of another root",
    who="any user of a hospital's machine, of the server's, or of a workstation with `fedbrats poc`",
    happens="the TLS handshake fails, at every listening socket of every process",
)
def test_no_port_takes_a_stranger(federation, tmp_path):
    foreign = build_kits(federation.project, tmp_path / "other-root") / federation.sites[0] / "startup"
    own = {name: federation.kit(name) / "startup" / "client" for name in federation.sites}
    server = federation.kit(SERVER) / "startup" / "server"
    ports = list(listening(federation.folder))
    assert len(ports) >= 4, "the server's port, and one of each participant for its jobs"
    for port, owner in ports:
        ours = [own[owner]] if owner in own else [server, *own.values()]
        entries = [gets_in(port, (each.with_suffix(".crt"), each.with_suffix(".key"))) for each in ours]
        assert any(entries), f"a certificate of ours opens {owner}'s port {port}"
        assert not gets_in(port, None), (port, owner)
        assert not gets_in(port, (foreign / "client.crt", foreign / "client.key")), (port, owner)


def listening(folder):
    """Every listening TCP port of the federation's processes, and whose it is."""
    for process in find_processes(folder):
        words = process.cmdline()
        kits = [Path(word).name for flag, word in itertools.pairwise(words) if flag == "-m" and "/" in word]
        for connection in process.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN:
                yield connection.laddr.port, kits[0]


def gets_in(port, certificate):
    """Whether a TLS connection stays open with this certificate, or with none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(*map(str, certificate))
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as secured:
            secured.settimeout(2)
            try:
                return bool(secured.recv(1))
            except TimeoutError:
                return True
    except (ssl.SSLError, ConnectionError):
        return False
