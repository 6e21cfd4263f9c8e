"""Every process of a kit hears only what it should: FLARE's messages pass `cell_rules.judge`, or are refused aloud.

FLARE 2.9.0 passes on whatever a participant sends to whom: a hospital, or a person who may only look, could read the
files of every other hospital, delete its folders and stop it (docs/reference/security.md).
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from nvflare.apis.fl_component import FLComponent
from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, MessagePropKey, ReturnCode
from nvflare.fuel.f3.cellnet.registry import Callback, Registry
from nvflare.fuel.f3.cellnet.utils import make_reply
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming.byte_receiver import RxTask
from nvflare.fuel.f3.streaming.byte_streamer import ByteStreamer
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey
from nvflare.fuel.sec.audit import AuditService

from fedbrats.flare import archives, audit_trail, deployed_once, log_lines, uploads
from fedbrats.flare.kit import arrays
from fedbrats.flare.kit.cell_rules import (
    ADMIN_CHANNEL,
    STREAM,
    STREAM_DATA,
    STREAM_SIGNS,
    Kind,
    Spoken,
    judge,
    judge_admin,
    judge_sign,
    kind_of,
)
from fedbrats.flare.process import early_questions, version_report
from fedbrats.flare.server import answers
from fedbrats.outside import show

QUIET_S = 60.0  # the same refusal again is counted, and told once in so many seconds
MOST_REFUSALS = 500  # different ones that are kept apart
MOST_BYTES = 16 * 2**20  # of one message of a site or a person, streams in frames of a MiB
MOST_STREAMS = 32  # of one participant or person, begun and not ended: two or three, and those that a cut line left
MOST_CONSOLES = 10_000
_UNSAID = "other refusals"


class CellGuard(FLComponent):
    """Judges every message that reaches a cell of this process, in `resources.json` of every kit.

    FLARE builds a kit's components before it opens a connection, in a participant's own process and in those of jobs,
    so that no message comes before the guard. A refused message is dropped: its sender hears nothing and waits. One
    line that names the speaker goes to the log and to `audit.log` of the participant.
    """

    def __init__(self) -> None:
        super().__init__()
        self._refusals = Refusals()
        self._streams = OpenStreams()
        _guard_every_cell(self)
        log_lines.keep_whole()
        audit_trail.write_json_lines()
        version_report.tell_package()
        early_questions.answer_early_questions()
        arrays.keep_inside_messages()
        answers.survive_unreadable()
        archives.judge_archives()
        uploads.bound_uploads()
        deployed_once.deploy_once()

    def judge(self, message: Message, cell: CoreCell) -> Message | None:
        """What FLARE's filters return: None lets the message pass, a reply stops it; so does an exception."""
        spoken = _spoken(message, cell)
        why = judge(spoken) or _too_large(message, spoken) or of_another_stream(message, spoken)
        why = why or self._streams.judge(message, spoken)
        return self._refuse(message, spoken, why) if why else None

    def judge_admin(self, message: Message, cell: CoreCell) -> Message | None:
        """As `judge`, for a request that is decoded: on channel `admin`, what it asks for stands inside."""
        if message.get_header(MessageHeaderKey.CHANNEL) != ADMIN_CHANNEL:
            return None
        spoken, asked = _spoken(message, cell), message.payload
        why = judge_admin(spoken.origin, getattr(asked, "topic", ""), getattr(asked, "headers", {}))
        return self._refuse(message, spoken, why) if why else None

    def _refuse(self, message: Message, spoken: Spoken, why: str) -> Message:
        name = message.get_prop(MessagePropKey.COMMON_NAME)
        who = show(name) if kind_of(spoken.peer) == Kind.PERSON and name else show(spoken.peer)
        if times := self._refusals.count(f"{who} {why}"):
            again = f", {times} times" if times > 1 else ""
            self.logger.warning(f"refused: {who} {why}{again}")
            AuditService.add_event(user=who, action="refused", msg=f"{why}{again}")
        return make_reply(ReturnCode.UNAUTHENTICATED, error="refused")


class Refusals:
    """How often the same was refused: told at the first time, and then with its number once in `quiet_s`."""

    def __init__(self, quiet_s: float = QUIET_S, most: int = MOST_REFUSALS) -> None:
        self._quiet_s, self._most = quiet_s, most
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[float, int]] = {}

    def count(self, what: str) -> int:
        """Count one; returns how many there were since it was last told, 0 where it is not to be told now."""
        with self._lock:
            if what not in self._counts and len(self._counts) >= self._most:
                what = _UNSAID
            told, times = self._counts.get(what, (-math.inf, 0))
            now, times = time.monotonic(), times + 1
            due = now - told >= self._quiet_s
            self._counts[what] = (now, 0) if due else (told, times)
            return times if due else 0


class OpenStreams:
    """How many streams of one speaker this process is reading at once.

    FLARE 2.9.0 reads each in a thread of one pool (128) that all streams share, and waits five minutes for its next
    part: who began enough of them and ended none stopped the server for everybody.
    """

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._people: dict[str, str] = {}  # the name in the certificate, by console

    def judge(self, message: Message, spoken: Spoken) -> str | None:
        """Why a new stream must not begin; None for every other message."""
        kind = kind_of(spoken.origin)
        if spoken.channel != STREAM or spoken.topic != STREAM_DATA or spoken.destination != spoken.listener:
            return None
        if kind in (Kind.SERVER, Kind.SERVER_JOB):
            return None
        if kind == Kind.PERSON and len(self._people) < MOST_CONSOLES:
            self._people[spoken.origin] = str(message.get_prop(MessagePropKey.COMMON_NAME))
        with RxTask.map_lock:
            if (spoken.origin, message.get_header(StreamHeaderKey.STREAM_ID)) in RxTask.rx_task_map:
                return None
            being_read = [task for task in RxTask.rx_task_map.values() if not (task.completed or task.failed)]
        owner = self._owner(spoken.origin)
        if sum(self._owner(task.origin) == owner for task in being_read) < self._most:
            return None
        return f"begins a stream while {self._most} others of it are unfinished ({show(spoken.about)})"

    def _owner(self, origin: str) -> str:
        return self._people.get(origin) or origin.partition(".")[0]


class _GuardedRegistry(Registry):
    """A registry of FLARE's filters whose first filter is ours, whoever registers others and for which channel."""

    def __init__(self, before: Registry, first: Callback) -> None:
        super().__init__()
        self.reg = before.reg
        self._first = first

    def find(self, channel: str, topic: str) -> Any:
        """Ours, then those that FLARE would have found."""
        return [self._first, *(super().find(channel, topic) or [])]


def _guard_every_cell(guard: CellGuard) -> None:
    """Set the guard before the filters of every cell of this process, those to come too."""
    CoreCell._fedbrats_guard = guard
    if not getattr(CoreCell.__init__, "guarded", False):
        build = CoreCell.__init__

        def build_guarded(cell: CoreCell, *args: Any, **kwargs: Any) -> None:
            build(cell, *args, **kwargs)
            _set_before(cell, CoreCell._fedbrats_guard)

        build_guarded.guarded = True  # type: ignore[attr-defined]
        CoreCell.__init__ = build_guarded
    for cell in list(CoreCell.ALL_CELLS.values()):
        _set_before(cell, guard)


def _set_before(cell: CoreCell, guard: CellGuard) -> None:
    for name, judge_it in (("in_filter_reg", guard.judge), ("in_req_filter_reg", guard.judge_admin)):
        before = getattr(cell, name)
        setattr(cell, name, _GuardedRegistry(before, Callback(judge_it, (cell,), {})))


def _spoken(message: Message, cell: CoreCell) -> Spoken:
    endpoint = message.get_prop(MessagePropKey.ENDPOINT)

    def head(key: str) -> Any:
        return message.get_header(key)

    def text(key: str) -> str:
        said = head(key)
        return said if isinstance(said, str) else repr(said)

    inner_channel, inner_topic = head(StreamHeaderKey.CHANNEL), head(StreamHeaderKey.TOPIC)
    return Spoken(
        listener=cell.my_info.fqcn,
        peer=endpoint.name if endpoint else "",
        origin=text(MessageHeaderKey.ORIGIN),
        destination=text(MessageHeaderKey.DESTINATION),
        kind=text(MessageHeaderKey.MSG_TYPE),
        channel=text(MessageHeaderKey.CHANNEL),
        topic=text(MessageHeaderKey.TOPIC),
        inner_channel=None if inner_channel is None else str(inner_channel),
        inner_topic=None if inner_topic is None else str(inner_topic),
    )


def of_another_stream(message: Message, spoken: Spoken) -> str | None:
    """Why an acknowledgement that has arrived is none of its sender's; None for every other message."""
    if spoken.channel != STREAM or spoken.topic not in STREAM_SIGNS or spoken.destination != spoken.listener:
        return None
    with ByteStreamer.map_lock:
        task = ByteStreamer.tx_task_map.get(message.get_header(StreamHeaderKey.STREAM_ID))
    return judge_sign(spoken, task.target if task else None)


def _too_large(message: Message, spoken: Spoken) -> str | None:
    """Why a message of a site or a person is too large to be looked at; what is streamed has bounds of its own."""
    size = len(message.payload) if message.payload else 0
    if kind_of(spoken.origin) in (Kind.SERVER, Kind.SERVER_JOB) or size <= MOST_BYTES:
        return None
    return f"sends {size} bytes at once, more than {MOST_BYTES} ({show(spoken.about)})"
