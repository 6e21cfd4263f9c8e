"""Which cell of FLARE may speak to which, and what it may say: the rules by which `CellGuard` judges messages.

FLARE calls an endpoint of its network a cell and names it by its place: `server` and `hospital-north` are the processes
of the participants, `server.JOB` and `hospital-north.JOB` those of a job, `_admin_ID` is a person's console. A message
has a channel and a topic. Everything that is not in `REQUESTS` is refused: a new channel of another FLARE is closed
until somebody opens it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fedbrats.jobs.resume import JOB_ID
from fedbrats.outside import show

SERVER_NAME, PERSON_PREFIX = "server", "_admin_"
REQUEST, REPLY, RETURN = "req", "reply", "return"  # FLARE's kinds of message; a return is a request undelivered
STREAM, REPLY_STREAM = "sm__STREAM", "return_only"  # a stream carries the requests and replies of some other channels
STREAM_DATA, STREAM_ERROR = "sm__DATA", "sm__ERROR"
STREAM_ACKNOWLEDGEMENT = "sm__ACK"
STREAM_SIGNS = (STREAM_ACKNOWLEDGEMENT, STREAM_ERROR)
ADMIN_CHANNEL = "admin"


class Kind(StrEnum):
    """What a cell is."""

    SERVER = "the server"
    SERVER_JOB = "the server's process of a job"
    SITE = "a site"
    SITE_JOB = "a site's process of a job"
    PERSON = "a person"
    STRANGER = "a stranger"


Pair = tuple[Kind, Kind]
_SERVER, _SERVER_JOB, _SITE, _SITE_JOB, _PERSON = (
    Kind.SERVER,
    Kind.SERVER_JOB,
    Kind.SITE,
    Kind.SITE_JOB,
    Kind.PERSON,
)
_LOG_IN = {"task:challenge", "task:register"}
_QUERIES = {"abort", "show_stats", "reset_errors"}  # what the console asks a job's process by way of its parent

# Who may begin a conversation with whom, on `channel:topic`. The answer goes the other way.
REQUESTS: dict[Pair, frozenset[str]] = {
    (_SITE, _SERVER): frozenset({*_LOG_IN, "task:heart_beat", "task:quit", "task:report_job_failure"}),
    (_PERSON, _SERVER): frozenset(
        {*_LOG_IN, "task:quit", "hci_channel:command"}
        # A job is uploaded as a stream of objects, and a result downloaded as a file.
        | {"aux_communication:ObjectStreamer.Request", "aux_communication:ObjectStreamer.Abort"}
        | {"download_service__:download_service__download"}
    ),
    (_SERVER, _PERSON): frozenset({"hci_channel:SESSION_EXPIRED"}),
    (_SERVER, _SITE): frozenset({"admin:admin"}),  # what it asks for stands inside: ADMIN_REQUESTS
    (_SITE_JOB, _SITE): frozenset({"admin:train.notify_job_status"}),
    (_SITE, _SITE_JOB): frozenset(f"client_command:{topic}" for topic in {*_QUERIES, "show_errors", "abort_task"}),
    (_SITE_JOB, _SERVER_JOB): frozenset(
        {"server_command:get_task", "server_command:submit_update"}
        | {f"aux_communication:{topic}" for topic in ("__sync_runner__", "__job_heartbeat__", "__task_check__")}
    ),
    (_SERVER_JOB, _SITE_JOB): frozenset({"aux_communication:__end_run__", "aux_communication:__abort_task__"}),
    (_SERVER_JOB, _SERVER): frozenset(
        f"server_parent_listener:{topic}" for topic in ("get_clients", "heartbeat", "update_run_status")
    ),
    (_SERVER, _SERVER_JOB): frozenset(
        f"server_command:{topic}"
        for topic in {*_QUERIES, "get_errors", "get_run_info", "handle_dead_job", "heartbeat", "server_state"}
    ),
}
# Cells that are connected say when they go.
GOODBYE = "cellnet.channel:bye"
NEIGHBOURS: frozenset[Pair] = frozenset(
    pair
    for one, other in (
        (_SITE, _SERVER),
        (_SITE_JOB, _SERVER),
        (_SITE_JOB, _SITE),
        (_SERVER_JOB, _SERVER),
        (_PERSON, _SERVER),
    )
    for pair in ((one, other), (other, one))
)
# Who passes on frames of streams for whom, and says so where it cannot: the process at the other end has gone.
FORWARDERS: frozenset[Pair] = frozenset({(_SITE, _SERVER_JOB), (_SERVER, _SITE_JOB)})
# What the server may ask a site's own process for. Not: its files (`sys.shell`), to delete a run, to change its
# logging, to call a component. Nothing of ours needs them.
ADMIN_REQUESTS = frozenset(
    {"train.check_status", "train.get_scopes", "train.deploy", "train.start_job", "train.abort", "train.abort_task"}
    | {"train.shutdown", "train.restart", "scheduler.check_resource", "scheduler.cancel_resource"}
    | {"sys.info", "sys.report_env", "sys.report_version", "resource_manager.report_resources"}
    | {"info.show_stats", "info.show_errors", "info.reset_errors"}
)
ADMIN_NOTICE = "train.notify_job_status"  # a site's process of a job tells the site how it is


@dataclass(frozen=True)
class Spoken:
    """What the head of a message says.

    Attributes:
        listener: the cell that judges it.
        peer: the cell at the other end of the connection, whose certificate FLARE has compared with its name.
        origin, destination: the cells that the message names.
        kind: REQUEST, REPLY or RETURN.
        channel, topic: of the message itself.
        inner_channel, inner_topic: in a frame of a stream, of what is streamed; none in an acknowledgement.
    """

    listener: str
    peer: str
    origin: str
    destination: str
    kind: str
    channel: str
    topic: str
    inner_channel: str | None = None
    inner_topic: str | None = None

    @property
    def about(self) -> str:
        """`channel:topic` of the conversation."""
        if self.channel != STREAM or not self.inner_channel:
            return f"{self.channel}:{self.topic}"
        if self.inner_channel == REPLY_STREAM:
            return str(self.inner_topic)
        return f"{self.inner_channel}:{self.inner_topic}"


def kind_of(cell: str) -> Kind:
    """What a cell is, by its name; a name with anything but a job's id below a participant's is a stranger's."""
    root, dot, job_id = cell.partition(".")
    if dot and not JOB_ID.fullmatch(job_id):
        return Kind.STRANGER
    if root == SERVER_NAME:
        return Kind.SERVER_JOB if dot else Kind.SERVER
    if root.startswith(PERSON_PREFIX):
        return Kind.STRANGER if dot else Kind.PERSON
    if not root:
        return Kind.STRANGER
    return Kind.SITE_JOB if dot else Kind.SITE


def judge(spoken: Spoken) -> str | None:
    """Why a message must not pass, as the end of a sentence that begins with its speaker; None where it may."""
    said = show(spoken.about)
    if not _are_neighbours(spoken.peer, spoken.listener):
        return f"is connected with {show(spoken.listener)} ({said})"
    if not _speaks_for_itself(spoken):
        return f"says that it is {show(spoken.origin)} ({said})"
    if not _is_on_its_way(spoken):
        return f"speaks to {show(spoken.destination)} ({said})"
    speaker, listener = kind_of(spoken.origin), kind_of(spoken.destination)
    if not _of_one_job(spoken, speaker, listener):
        return f"speaks to another job, {show(spoken.destination)} ({said})"
    if spoken.kind == RETURN:
        return None if spoken.peer == spoken.origin else f"returns a message of others ({said})"
    if not _may_say(spoken, speaker, listener):
        return f"speaks to {show(spoken.destination)} ({said})"
    return None


def judge_sign(spoken: Spoken, receiver: str | None) -> str | None:
    """As `judge`, for an acknowledgement of a stream, or a sign that it has failed, by whom the stream is for.

    FLARE 2.9.0 takes an acknowledgement from anybody who knows the stream's number, and numbers streams one after the
    other: a site could end the streams of another.

    Args:
        receiver: the cell that the listener sends the stream to; None where there is no such stream (any more).
    """
    if receiver in (None, spoken.origin) or spoken.topic == STREAM_ERROR:  # FLARE compares who says that one failed
        return None
    return f"brings an acknowledgement by {show(spoken.origin)} of a stream to {show(receiver)}"


def judge_admin(speaker: str, topic: str, headers: Mapping[str, object]) -> str | None:
    """As `judge`, for what stands inside a message on channel `admin` to a site's own process."""
    kind = kind_of(speaker)
    wanted = ADMIN_REQUESTS if kind == Kind.SERVER else {ADMIN_NOTICE} if kind == Kind.SITE_JOB else frozenset()
    if topic not in wanted:
        return f"asks for {show(topic)}"
    job_id = headers.get("job_id")
    if job_id is not None and not (isinstance(job_id, str) and JOB_ID.fullmatch(job_id)):
        return f"asks for {show(topic)} of {show(job_id)}, which is no job"
    if kind == Kind.SITE_JOB and job_id != speaker.partition(".")[2]:
        return f"tells of job {show(job_id)}"
    return None


def _root(cell: str) -> str:
    return cell.partition(".")[0]


def _are_neighbours(one: str, other: str) -> bool:
    """Whether two cells may be connected at all."""
    pair = kind_of(one), kind_of(other)
    inside = Kind.SITE_JOB in pair and Kind.SITE in pair
    return pair in NEIGHBOURS and (not inside or _root(one) == _root(other))


def _speaks_for_itself(spoken: Spoken) -> bool:
    """Whether the connection may bring a message of this origin.

    Everybody brings its own, and a participant's own process those of its jobs. The server brings those of its jobs to
    a site, and a site's own process what the server says to its job.
    """
    peer, origin = spoken.peer, spoken.origin
    if peer == origin or origin.startswith(f"{peer}."):
        return True
    if kind_of(spoken.listener) == Kind.SITE_JOB and peer == _root(spoken.listener):
        return _root(origin) == SERVER_NAME
    return kind_of(spoken.listener) == Kind.SERVER_JOB and peer == SERVER_NAME


def _is_on_its_way(spoken: Spoken) -> bool:
    """Whether it is for the listener, or for somebody that it passes messages on to."""
    listener, destination = spoken.listener, spoken.destination
    if destination == listener:
        return True
    if kind_of(listener) == Kind.SERVER:
        return _root(spoken.peer) == SERVER_NAME or _root(destination) == SERVER_NAME
    if kind_of(listener) == Kind.SITE:
        return _root(destination) == listener or (_root(spoken.peer) == listener and _root(destination) == SERVER_NAME)
    return False


def _of_one_job(spoken: Spoken, speaker: Kind, listener: Kind) -> bool:
    jobs = (Kind.SITE_JOB, Kind.SERVER_JOB)
    if speaker in jobs and listener in jobs:
        return spoken.origin.partition(".")[2] == spoken.destination.partition(".")[2]
    if {speaker, listener} in ({Kind.SITE, Kind.SITE_JOB}, {Kind.SERVER, Kind.SERVER_JOB}):
        return _root(spoken.origin) == _root(spoken.destination)
    return True


def _may_say(spoken: Spoken, speaker: Kind, listener: Kind) -> bool:
    asked, answered = REQUESTS.get((speaker, listener), frozenset()), REQUESTS.get((listener, speaker), frozenset())
    if spoken.about == GOODBYE:
        return (speaker, listener) in NEIGHBOURS and spoken.peer == spoken.origin
    if spoken.channel == STREAM:
        if spoken.topic in STREAM_SIGNS:  # an acknowledgement, or that a stream has ended early
            undelivered = spoken.topic == STREAM_ERROR and (speaker, listener) in FORWARDERS
            return bool(asked or answered) or undelivered
        if spoken.topic != STREAM_DATA or not spoken.inner_channel:
            return False
        answers = spoken.inner_channel == REPLY_STREAM
        return spoken.about in (answered if answers else asked)
    return spoken.about in (answered if spoken.kind == REPLY else asked if spoken.kind == REQUEST else ())
