"""Who may say what to whom: every speaker, listener and conversation of FLARE's cells, and some that it has not."""

import itertools
import uuid
from types import SimpleNamespace

import pytest
from nvflare.fuel.f3.cellnet.defs import MessagePropKey
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming.byte_receiver import RxTask
from nvflare.fuel.f3.streaming.byte_streamer import ByteStreamer
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey

from fedbrats.flare.kit.cell_guard import OpenStreams, of_another_stream
from fedbrats.flare.kit.cell_rules import (
    ADMIN_REQUESTS,
    GOODBYE,
    NEIGHBOURS,
    REPLY,
    REPLY_STREAM,
    REQUEST,
    REQUESTS,
    RETURN,
    STREAM,
    STREAM_ACKNOWLEDGEMENT,
    STREAM_DATA,
    STREAM_ERROR,
    STREAM_SIGNS,
    Kind,
    Spoken,
    judge,
    judge_admin,
    judge_sign,
    kind_of,
)
from tests.security.attacks import attack

JOB, OTHER_JOB = (str(uuid.UUID(int=number, version=4)) for number in (1, 2))
PERSON = f"_admin_{uuid.UUID(int=3, version=4)}"
CELLS = {
    "server": Kind.SERVER,
    f"server.{JOB}": Kind.SERVER_JOB,
    f"server.{OTHER_JOB}": Kind.SERVER_JOB,
    "north": Kind.SITE,
    f"north.{JOB}": Kind.SITE_JOB,
    f"north.{OTHER_JOB}": Kind.SITE_JOB,
    "east": Kind.SITE,
    f"east.{JOB}": Kind.SITE_JOB,
    PERSON: Kind.PERSON,
    "north.local": Kind.STRANGER,
    f"north.{JOB}.0": Kind.STRANGER,
    f"{PERSON}.x": Kind.STRANGER,
    "": Kind.STRANGER,
}
# Of cells of FLARE 2.9.0; tests/end_to_end/test_messages.py reads those of a federation that runs.
FOREIGN = ("_net_manager:stop", "_net_manager:process_info", "cellnet.channel:bulk", "credential_manager:key_exchange")
FOREIGN += ("admin:sys.shell", "admin:train.delete_run", "aux_communication:fed.event", "aux_communication:*")
FOREIGN += (
    "server_parent_listener:update_run_status",
    "client_command:configure_job_log",
    "new.channel:of a new FLARE",
)
TOPICS = sorted({*FOREIGN, GOODBYE, *itertools.chain.from_iterable(REQUESTS.values())})


def parent(cell):
    return cell.partition(".")[0]


def on_the_way(origin, destination):
    """The connections that a message between two participants takes: (peer, listener)."""
    steps = []
    if parent(origin) == parent(destination):
        return [(origin, destination)]
    if "server" not in (origin, parent(origin)):
        steps.append((origin, "server"))
        if destination != "server":
            steps.append(("server", destination))
    elif origin != "server":
        steps += [(origin, "server"), ("server", destination)]
    else:
        steps.append(("server", destination))
    return steps


def say(origin, destination, about, kind=REQUEST, *, streamed=False, peer=None, listener=None):
    channel, _, topic = about.partition(":")
    inner = (channel, topic) if streamed else (None, None)
    if streamed:
        channel, topic = STREAM, STREAM_DATA
    return Spoken(listener or destination, peer or origin, origin, destination, kind, channel, topic, *inner)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell[:12])
def test_a_cell_is_known_by_its_name(cell):
    assert kind_of(cell) is CELLS[cell]


@pytest.mark.parametrize("streamed", [False, True])
def test_only_what_is_on_the_list_is_heard(streamed):
    """The whole table of speakers, listeners and conversations, each at every hop that it would take."""
    heard = set()
    for origin, destination, about in itertools.product(CELLS, CELLS, TOPICS):
        if origin == destination:
            continue
        verdicts = [
            judge(say(origin, destination, about, streamed=streamed, peer=peer, listener=listener))
            for peer, listener in on_the_way(origin, destination)
        ]
        if not any(verdicts):
            heard.add((origin, destination, about))
    expected = set()
    for (speaker, listener), topics in REQUESTS.items():
        for origin, destination in itertools.product(CELLS, CELLS):
            if origin == destination or (CELLS[origin], CELLS[destination]) != (speaker, listener):
                continue
            jobs = {cell.partition(".")[2] for cell in (origin, destination)} - {""}
            family = parent(origin) == parent(destination)
            if len(jobs) < 2 and (family or {speaker, listener} != {Kind.SITE, Kind.SITE_JOB}):
                expected |= {(origin, destination, about) for about in topics}
    for origin, destination in itertools.product(CELLS, CELLS):
        if origin != destination and (CELLS[origin], CELLS[destination]) in NEIGHBOURS:
            related = parent(origin) == parent(destination)
            if len(on_the_way(origin, destination)) == 1 and (related or "server" in (origin, destination)):
                expected.add((origin, destination, GOODBYE))
    assert heard == expected


@attack(
    "command another hospital: read its files, delete its folders, stop it",
    who="a hospital, or a person of any role",
    happens="refused by the server, and by the hospital if the server let it pass",
    says="refused: hospital-east speaks to hospital-north (admin:sys.shell)",
)
@pytest.mark.parametrize("about", TOPICS)
def test_no_site_and_no_person_is_heard_by_another_site(about):
    for origin, destination, kind in itertools.product(
        ("east", f"east.{JOB}", PERSON), ("north", f"north.{JOB}"), (REQUEST, REPLY, RETURN)
    ):
        for peer, listener in ((origin, "server"), ("server", destination), (origin, destination)):
            assert judge(say(origin, destination, about, kind, peer=peer, listener=listener))


@attack(
    "say that a message comes from the server, or from another hospital",
    who="a hospital, or a person of any role",
    happens="refused by the server: a connection speaks in the name of its certificate",
    says="refused: statistician@university.example says that it is server (admin:admin)",
)
@pytest.mark.parametrize("claimed", ["server", f"server.{JOB}", "north", f"north.{JOB}", ""])
def test_a_connection_speaks_in_its_own_name(claimed):
    for peer in ("east", f"east.{JOB}", PERSON):
        for listener, about in (("server", "task:heart_beat"), (f"server.{JOB}", "server_command:get_task")):
            why = judge(say(claimed, listener, about, peer=peer, listener="server"))
            assert why
            assert "says that it is" in why


def test_a_job_speaks_to_its_own_job():
    assert (
        judge(say(f"east.{JOB}", f"server.{JOB}", "server_command:get_task", streamed=True, listener="server")) is None
    )
    why = judge(say(f"east.{JOB}", f"server.{OTHER_JOB}", "server_command:get_task", streamed=True, listener="server"))
    assert why
    assert why.startswith("speaks to another job")


def test_an_answer_goes_where_the_question_came_from():
    asked = "server_command:get_task"
    reply = f"{REPLY_STREAM}:{asked}"
    server, site = f"server.{JOB}", f"east.{JOB}"
    assert judge(say(server, site, reply, streamed=True, peer="server")) is None
    assert judge(say(site, server, reply, streamed=True, listener="server"))
    assert judge(say("server", "east", "task:heart_beat", REPLY)) is None
    assert judge(say("east", "server", "task:heart_beat", REPLY))
    assert judge(say("east", "server", "admin:admin", REPLY)) is None


def test_signs_of_a_stream_pass_where_streams_do():
    for topic in STREAM_SIGNS:
        assert judge(say(f"east.{JOB}", f"server.{JOB}", f"{STREAM}:{topic}", listener="server")) is None
        assert judge(say(f"east.{JOB}", "north", f"{STREAM}:{topic}", listener="server"))
    assert judge(say(f"east.{JOB}", f"server.{JOB}", f"{STREAM}:{STREAM_DATA}", listener="server"))
    assert judge(say(f"east.{JOB}", f"server.{JOB}", f"{STREAM}:of a new FLARE", listener="server"))


def test_who_passes_a_stream_on_says_that_it_cannot():
    for origin, destination in (("east", f"server.{JOB}"), ("server", f"east.{JOB}")):
        listener = "server" if origin == "east" else destination
        assert judge(say(origin, destination, f"{STREAM}:sm__ERROR", listener=listener)) is None
        assert judge(say(origin, destination, f"{STREAM}:sm__ACK", listener=listener))


@attack(
    "end or confuse a download of another hospital, by acknowledging it: streams are numbered one after the other",
    who="a hospital",
    happens="refused by who sends the stream: it is acknowledged by whom it is for",
    says="refused: server brings an acknowledgement by hospital-east.JOB of a stream to hospital-north.JOB",
)
def test_a_stream_is_acknowledged_by_whom_it_is_for():
    east, north, server = f"east.{JOB}", f"north.{JOB}", f"server.{JOB}"
    said = say(east, server, f"{STREAM}:{STREAM_ACKNOWLEDGEMENT}", listener=server, peer="server")
    assert judge(said) is None
    assert judge_sign(said, north) == f"brings an acknowledgement by {east} of a stream to {north}"
    assert judge_sign(said, east) is None
    assert judge_sign(said, None) is None, "the last ones come when the stream is over"
    forwarder = say("server", server, f"{STREAM}:{STREAM_ERROR}")
    assert judge_sign(forwarder, north) is None, "who passes a stream on says that it cannot"


def test_the_guard_knows_whose_streams_these_are(monkeypatch):
    east, north, server = f"east.{JOB}", f"north.{JOB}", f"server.{JOB}"
    monkeypatch.setattr(ByteStreamer, "tx_task_map", {7: SimpleNamespace(target=north)})
    said = say(east, server, f"{STREAM}:{STREAM_ACKNOWLEDGEMENT}")
    assert of_another_stream(Message({StreamHeaderKey.STREAM_ID: 7}), said)
    assert of_another_stream(Message({StreamHeaderKey.STREAM_ID: 8}), said) is None
    passed_on = say(east, server, f"{STREAM}:{STREAM_ACKNOWLEDGEMENT}", listener="server")
    assert of_another_stream(Message({StreamHeaderKey.STREAM_ID: 7}), passed_on) is None, "of another process"


@attack(
    "begin streams and end none, each of which takes one of the server's 128 threads for five minutes",
    who="a hospital, or a person of any role",
    happens="refused beyond 32 at a time, whatever names its processes take; the others are heard",
    says="begins a stream while 32 others of it are unfinished (server_command:get_task)",
)
def test_a_speaker_keeps_no_more_than_its_share_of_the_streams_open(monkeypatch):
    tasks = {}
    monkeypatch.setattr(RxTask, "rx_task_map", tasks)
    guard = OpenStreams(most=3)

    def begin(origin, number, name=None):
        """Why a stream must not begin; one that may does."""
        about, listener = ("hci_channel:command", "server") if name else ("server_command:get_task", f"server.{JOB}")
        message = Message({StreamHeaderKey.STREAM_ID: number})
        message.set_prop(MessagePropKey.COMMON_NAME, name)
        why = guard.judge(message, say(origin, listener, about, streamed=True))
        if why is None:
            tasks.setdefault((origin, number), SimpleNamespace(origin=origin, completed=False, failed=False))
        return why

    jobs = [f"east.{uuid.UUID(int=number, version=4)}" for number in range(20)]
    refused = [begin(origin, number) for number, origin in enumerate(jobs)]
    assert refused[:3] == [None] * 3
    assert all(why and why.startswith("begins a stream while 3 others") for why in refused[3:])
    assert begin(jobs[0], 0) is None, "the next part of one that was begun"
    assert begin(f"north.{JOB}", 99) is None
    assert all(begin("server", 100 + number) is None for number in range(9)), "the server is no attacker of itself"
    consoles = [f"_admin_{uuid.UUID(int=number, version=4)}" for number in range(9)]
    assert [begin(each, 200, name="lead@x") is None for each in consoles] == [True] * 3 + [False] * 6
    assert begin(PERSON, 300, name="other@x") is None
    tasks[jobs[0], 0].completed = tasks[jobs[1], 1].failed = True
    assert [begin(jobs[19], 400 + number) is None for number in range(3)] == [True, True, False]


@attack(
    "read a hospital's files, delete its runs, change its logging, call its components",
    who="the server's operator",
    happens="refused by the hospital",
    says="refused: server asks for sys.shell",
)
def test_the_server_may_ask_a_site_for_what_is_needed():
    for topic in ADMIN_REQUESTS:
        assert judge_admin("server", topic, {"job_id": JOB}) is None
        for other in ("east", f"east.{JOB}", f"server.{JOB}", PERSON):
            assert judge_admin(other, topic, {"job_id": JOB})
    for topic in (
        "sys.shell",
        "train.delete_run",
        "train.configure_job_log",
        "sys.configure_site_log",
        "comp_caller.call",
    ):
        assert judge_admin("server", topic, {"job_id": JOB}) == f"asks for {topic}"


@attack(
    "name a folder of a hospital's kit as a job: `personal`, `local`, `../x`",
    who="the server's operator",
    happens="refused by the hospital",
    says="refused: server asks for train.deploy of personal, which is no job",
)
@pytest.mark.parametrize("job_id", ["personal", "local", "../x", "", 7, f"{JOB}/..", f"{JOB}\n"])
def test_a_jobs_id_is_a_jobs_id(job_id):
    why = judge_admin("server", "train.deploy", {"job_id": job_id})
    assert why
    assert why.endswith("which is no job")


def test_a_process_of_a_job_tells_of_its_own_job():
    assert judge_admin(f"north.{JOB}", "train.notify_job_status", {"job_id": JOB}) is None
    assert judge_admin(f"north.{JOB}", "train.notify_job_status", {"job_id": OTHER_JOB})
    assert judge_admin(f"north.{JOB}", "train.notify_job_status", {})
    assert judge_admin(f"north.{JOB}", "train.shutdown", {"job_id": JOB})
