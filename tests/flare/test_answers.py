"""Whatever bytes a site sends for an answer, the server's process of the job takes an answer of that site, or none."""

import logging
import os
import random
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest
from nvflare.apis.client import Client
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContextManager
from nvflare.apis.shareable import Shareable
from nvflare.fuel.f3.cellnet import cell as flare_cell
from nvflare.fuel.f3.cellnet.fqcn import FqcnInfo
from nvflare.fuel.f3.cellnet.registry import Callback, Registry
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming.blob_streamer import BlobHandler, BlobTask
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey
from nvflare.fuel.f3.streaming.stream_types import BlobSizeError, StreamError
from nvflare.fuel.utils import fobs
from nvflare.private.fed.server.server_runner import ServerRunner
from nvflare.private.fed.utils.fed_utils import nvflare_fobs_initialize

from fedbrats.flare.server import answers
from fedbrats.flare.server.answers import UNREADABLE
from tests.security.attacks import attack

SITE, TASK_ID, TOKEN = "hospital-east", "the task", "the token"


class Desk:
    """What stands behind FLARE's adapter: an agent that takes requests, and a workflow that has given one task."""

    def __init__(self):
        self.taken, self.replied = [], []
        client = Client(SITE, TOKEN)
        task = SimpleNamespace(
            id=TASK_ID, client=client, result_received_time=None, task_sent_time=1.0, task=SimpleNamespace(name="train")
        )
        workflow = SimpleNamespace(
            controller=SimpleNamespace(communicator=SimpleNamespace(_client_task_map={task.id: task}))
        )
        contexts = FLContextManager(engine=None, identity_name="server", job_id="job-1")
        contexts.private_stickers[FLContextKey.RUNNER] = SimpleNamespace(current_wf=workflow)
        self.engine = SimpleNamespace(new_context=contexts.new_context)
        self._client = client
        self.adapter = SimpleNamespace(
            cb=self.take,
            cell=SimpleNamespace(get_fobs_context=dict),
            my_info=FqcnInfo("server.job-1"),
            _send_response=lambda *args: self.replied.append(args),
        )

    def _get_client(self, token):
        return self._client if token == TOKEN else None

    def take(self, request):
        self.taken.append(request.payload)
        return "a reply"

    def hear(self, result, error=None):
        """Let a stream end with these bytes, or with an error; returns the answer that was taken, None for none."""
        future = Future()
        future.headers = {
            "__token__": TOKEN,
            StreamHeaderKey.CHANNEL: "server_command",
            StreamHeaderKey.TOPIC: "submit_update",
            StreamHeaderKey.PAYLOAD_ENCODING: "fobs",
        }
        future.error = error
        future.set_exception(error) if error else future.set_result(result)
        answers._take_answer(self.adapter, future)
        return self.taken[-1] if self.taken else None


@pytest.fixture
def desk(monkeypatch):
    nvflare_fobs_initialize()
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("the process of the job would have ended"))
    return Desk()


def encoded():
    """An answer as it travels."""
    update = {f"net.{number}": np.arange(8, dtype=np.float32) for number in range(3)}
    answer = DXO(DataKind.WEIGHT_DIFF, data=update, meta={"fedbrats": {"training_cases": 4}}).to_shareable()
    return bytes(fobs.dumps(answer))


def test_an_answer_arrives_as_it_was_sent(desk):
    answer = desk.hear(encoded())
    assert answer.get_return_code() == "OK"
    assert answer["DXO"]["data"]["net.1"].tolist() == list(range(8))


def test_an_answer_that_is_cut_anywhere_is_a_failed_answer_of_that_site(desk):
    whole = encoded()
    for end in range(len(whole)):
        answer = desk.hear(whole[:end])
        assert answer.get_return_code() == UNREADABLE, end
        assert answer.get_cookie(FLContextKey.TASK_ID) == TASK_ID
        assert answer.get_header(FLContextKey.TASK_NAME) == "train"
        assert answer.get_peer_context().get_identity_name() == SITE
    assert len(desk.replied) == len(whole)


@attack(
    "answer with bytes that cannot be decoded, for which FLARE ends the job's process",
    who="a hospital; also a disk or a line that corrupts",
    happens="a failed answer of that hospital; the others' round goes on",
    says="hospital-east could not do round 0 (UNREADABLE_ANSWER); its own log says why",
)
def test_an_answer_that_is_corrupt_anywhere_is_taken_or_failed(desk):
    whole, chance = encoded(), random.Random(0)
    for place in range(len(whole)):
        for sign in (whole[place] ^ 1, chance.randrange(256)):
            assert isinstance(desk.hear(whole[:place] + bytes([sign]) + whole[place + 1 :]), Shareable)


@pytest.mark.parametrize(
    "payload", [b"", b"\x00" * 100, random.Random(1).randbytes(1000), fobs.dumps([1]), fobs.dumps("text")]
)
def test_what_is_no_answer_is_a_failed_one(desk, payload):
    assert desk.hear(bytes(payload)).get_return_code() == UNREADABLE


def test_an_answer_that_is_too_large_is_a_failed_one(desk):
    assert desk.hear(None, BlobSizeError("too large")).get_return_code() == UNREADABLE


def test_an_answer_whose_connection_broke_is_waited_for(desk):
    """FLARE's site sends it again."""
    with pytest.raises(StreamError):
        desk.hear(None, StreamError("cut"))
    assert desk.taken == []


@attack(
    "answer with more bytes than an answer can have",
    who="a hospital",
    happens="refused by the announced size, before anything of it is kept",
    says="an answer of hospital-east cannot be read: Blob size 1000000000 exceeds configured limit 16778000",
)
def test_the_size_of_an_answer_is_judged_before_it_is_taken(desk):
    handler = BlobHandler(lambda future: None)
    registry = Registry()
    registry.set("server_command", "*", Callback(handler.handle_blob_cb, (), {}))
    cell = SimpleNamespace(byte_receiver=SimpleNamespace(registry=registry))
    with desk.engine.new_context() as fl_ctx:
        fl_ctx.get_engine = lambda: SimpleNamespace(get_cell=lambda: cell)
        answers.limit_answers(fl_ctx, model_bytes=392)
    BlobTask(None, announced(16_778_000), handler.max_blob_size, preserve_chunks=True)
    with pytest.raises(BlobSizeError, match="Blob size 1000000000 exceeds configured limit 16778000"):
        BlobTask(None, announced(1_000_000_000), handler.max_blob_size)


@attack(
    "say that what the server sent was too large, for which FLARE ends the job's process",
    who="a hospital",
    happens="noted; the process goes on",
    says="a site says that a reply was too large: Blob size 9",
)
def test_no_sign_of_a_site_ends_the_process(desk):
    answers.survive_unreadable()
    told = Message({StreamHeaderKey.ERROR_TYPE: "BlobSizeError", StreamHeaderKey.STREAM_REQ_ID: "nobody's"}, None)
    cell = SimpleNamespace(
        requests_dict={}, logger=logging.getLogger(), core_cell=SimpleNamespace(my_info=FqcnInfo("server.job-1"))
    )
    flare_cell.Cell._process_stream_error(cell, told)
    reply = Future()
    reply.set_exception(BlobSizeError("Blob size 9"))
    flare_cell.Adapter._handle_reply_stream_done(desk.adapter, reply, True)


@attack(
    "answer a task with a return code for which FLARE ends the job",
    who="a hospital",
    happens="a failed answer of that hospital; the others' round goes on",
    says="hospital-east could not do round 0 (TASK_UNKNOWN_AT_SITE); its own log says why",
)
@pytest.mark.parametrize("code", sorted(ServerRunner.ABORT_RETURN_CODES))
def test_no_return_code_of_a_site_ends_the_job(desk, code):
    answer = Shareable()
    answer.set_return_code(code)
    heard = desk.hear(bytes(fobs.dumps(answer)))
    assert heard.get_return_code() == f"{code}_AT_SITE"
    assert heard.get_return_code() not in ServerRunner.ABORT_RETURN_CODES


def test_a_return_code_is_one_short_line(desk):
    answer = Shareable()
    answer.set_return_code("OK\n2026-01-01 - ServerRunner - ERROR - forged" + "x" * 10**6)
    heard = desk.hear(bytes(fobs.dumps(answer)))
    assert heard.get_return_code().startswith("OK\\n2026")
    assert len(heard.get_return_code()) < 100


def announced(size):
    """A stream of which only the announced size is known yet."""
    return SimpleNamespace(get_size=lambda: size)
