"""No answer of one site ends the job of the others: one that cannot be read, or ends jobs, is a failed answer.

FLARE 2.9.0 ends the server's process of a job (`os._exit`) where an answer cannot be decoded, and the job where a site
says that it does not know the task, is of another run, or finds the job unsafe.
"""

from __future__ import annotations

import logging
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ServerCommandNames
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.fuel.f3.cellnet import cell as flare_cell
from nvflare.fuel.f3.cellnet.defs import CellChannel, MessageHeaderKey
from nvflare.fuel.f3.cellnet.utils import decode_payload
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey
from nvflare.fuel.f3.streaming.stream_types import BlobSizeError
from nvflare.private.defs import CellMessageHeaderKeys

from fedbrats.outside import show

UNREADABLE = "UNREADABLE_ANSWER"  # a return code, beside FLARE's
LONGEST_ERROR = 200
REPORT_BYTES = 16 * 2**20  # for what an answer holds beside arrays
_log = logging.getLogger(__name__)


def survive_unreadable() -> None:
    """Have this process read answers to tasks as described above; does something in the server's process of a job."""
    if getattr(flare_cell.Adapter.call, "survives", False):
        return
    call = flare_cell.Adapter.call

    def call_safely(self: Any, future: Any, *args: Any, **kwargs: Any) -> None:
        about = (future.headers.get(StreamHeaderKey.CHANNEL), future.headers.get(StreamHeaderKey.TOPIC))
        is_answer = about == (CellChannel.SERVER_COMMAND, ServerCommandNames.SUBMIT_UPDATE)
        if is_answer and flare_cell._is_server_job_cell(self.my_info):
            _take_answer(self, future, *args, **kwargs)
        else:
            call(self, future, *args, **kwargs)

    call_safely.survives = True  # type: ignore[attr-defined]
    flare_cell.Adapter.call = call_safely
    _survive_signs()


def _survive_signs() -> None:
    """Have this process live on where a site says that what the server sent it was too large.

    FLARE 2.9.0 ends the server's process of a job for it, whoever says so and of whatever message.
    """
    on_error, on_reply = flare_cell.Cell._process_stream_error, flare_cell.Adapter._handle_reply_stream_done

    def note_error(self: Any, message: Message) -> None:
        message.set_header(StreamHeaderKey.ERROR_TYPE, None)
        on_error(self, message)

    def note_reply(self: Any, reply_future: Any, transport_optional: bool = False) -> None:
        if isinstance(reply_future.exception(), BlobSizeError):
            _log.error(f"a site says that a reply was too large: {show(str(reply_future.exception()))}")
        else:
            on_reply(self, reply_future, transport_optional)

    flare_cell.Cell._process_stream_error = note_error
    flare_cell.Adapter._handle_reply_stream_done = note_reply


def limit_answers(fl_ctx: FLContext, model_bytes: int) -> None:
    """Refuse answers to tasks that announce more than an answer about a model of this size may have.

    Before any of it is kept. An answer is as large as the model, in whatever kind of number the site computes.
    """
    cell = getattr(fl_ctx.get_engine(), "get_cell", lambda: None)()
    if cell is None:
        return  # an engine without a network
    most_bytes = 2 * model_bytes + REPORT_BYTES
    for handler in cell.byte_receiver.registry.reg.values():
        blobs: Any = getattr(handler.cb, "__self__", None)
        if hasattr(blobs, "max_blob_size"):
            blobs.max_blob_size = most_bytes


def soften(answer: Shareable) -> Shareable:
    """An answer whose return code FLARE would end the job for, as one with a return code of our own.

    A code stands in lines of the log and in rows, so that it is one that may (fedbrats.outside).
    """
    from nvflare.private.fed.server.server_runner import ServerRunner

    code = show(answer.get_return_code())
    answer.set_return_code(code)
    if code in ServerRunner.ABORT_RETURN_CODES:
        answer.set_return_code(f"{code}_AT_SITE")
    return answer


def _take_answer(adapter: Any, future: Any, *args: Any, **kwargs: Any) -> None:
    """As FLARE's `Adapter.call`, for an answer to a task."""
    headers = future.headers
    request = Message(headers, None)
    try:
        request.payload = future.result()
        decode_payload(request, StreamHeaderKey.PAYLOAD_ENCODING, fobs_ctx=adapter.cell.get_fobs_context())
        if not isinstance(request.payload, Shareable):
            raise TypeError(f"it is a {type(request.payload).__name__}")
        soften(request.payload)
    except Exception as error:
        if getattr(future, "error", None) is not None and not isinstance(error, BlobSizeError):
            raise  # it did not come: the site sends it again
        request.payload = _failed_answer(adapter, request, error)
    request.set_header(MessageHeaderKey.CHANNEL, headers.get(StreamHeaderKey.CHANNEL))
    request.set_header(MessageHeaderKey.TOPIC, headers.get(StreamHeaderKey.TOPIC))
    adapter._send_response(
        adapter.cb(request, *args, **kwargs),
        headers.get(StreamHeaderKey.STREAM_REQ_ID, ""),
        request.get_header(MessageHeaderKey.REQ_ID, ""),
        request.get_header(MessageHeaderKey.CHANNEL),
        request.get_header(MessageHeaderKey.TOPIC),
        headers.get(MessageHeaderKey.ORIGIN),
        request.get_header(MessageHeaderKey.SECURE, False),
    )


def _failed_answer(adapter: Any, request: Message, error: Exception) -> Shareable:
    """An answer of this site, known by its token, to the task that it has, whatever it has sent."""
    answer = make_reply(UNREADABLE)
    agent = adapter.cb.__self__
    client = agent._get_client(request.get_header(CellMessageHeaderKeys.TOKEN))
    name = client.name if client else str(request.get_header(MessageHeaderKey.ORIGIN))
    _log.error(f"an answer of {name} cannot be read: {show(str(error), LONGEST_ERROR)}")
    peer = FLContext()
    peer.set_prop(ReservedKey.IDENTITY_NAME, name, private=False, sticky=False)
    with agent.engine.new_context() as fl_ctx:
        peer.set_prop(ReservedKey.RUN_NUM, fl_ctx.get_job_id(), private=False, sticky=False)
        task = _open_task(fl_ctx, name)
    if task is not None:
        answer.set_header(FLContextKey.TASK_NAME, task.task.name)
        answer.add_cookie(FLContextKey.TASK_ID, task.id)
    answer.set_peer_context(peer)
    return answer


def _open_task(fl_ctx: FLContext, site: str) -> Any:
    """The task that a site has last been given and has not answered; None where there is none."""
    workflow = getattr(fl_ctx.get_prop(FLContextKey.RUNNER), "current_wf", None)
    communicator = getattr(getattr(workflow, "controller", None), "communicator", None)
    given = [each for each in list(getattr(communicator, "_client_task_map", {}).values()) if each.client.name == site]
    waiting = [each for each in given if each.result_received_time is None]
    return max(waiting, key=lambda each: each.task_sent_time or 0.0, default=None)
