"""What a person uploads to the server: FLARE's own streams of objects, and the server's folder for temporary files."""

import errno
from types import SimpleNamespace

import pytest
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReturnCode, Shareable
from nvflare.app_common.streamers import file_streamer
from nvflare.app_common.streamers.streamer_base import (
    KEY_DATA,
    KEY_DATA_SIZE,
    KEY_EOF,
    KEY_FILE_LOCATION,
    KEY_FILE_SIZE,
)
from nvflare.private.stream_runner import HeaderKey, ObjectStreamer

from fedbrats.flare import uploads
from fedbrats.flare.archives import MOST_BYTES
from fedbrats.flare.uploads import MOST_UPLOADS, BoundedReceiver, Uploads, take_and_remove
from tests.security.attacks import attack

CHANNEL, TOPIC = "upload", "folder"


class Factory(file_streamer._ChunkConsumerFactory):
    uploads = Uploads()

    def get_consumer(self, stream_ctx, _fl_ctx):
        return BoundedReceiver(stream_ctx, self.dest_dir, self.uploads)


@pytest.fixture
def server(tmp_path):
    """FLARE's receiver of streams, as the server has it; `taken` has what came whole."""
    taken = []

    def process(_server, stream_ctx, _fl_ctx):
        with open(stream_ctx[KEY_FILE_LOCATION], "rb") as stream:
            taken.append(stream.read())
        return "refused: not authorized"

    streams = ObjectStreamer(SimpleNamespace(register_aux_message_handler=lambda **_: None))
    factory = Factory(str(tmp_path))
    factory.uploads = Uploads()
    done = take_and_remove(process)
    streams.register_stream_processing(CHANNEL, TOPIC, factory, lambda ctx, fl: done(None, ctx, fl))
    yield SimpleNamespace(streams=streams, folder=tmp_path, taken=taken)
    streams.shutdown()


def send(server, data, *, announced=..., tx="a", seq=0, eof=True):
    """Send a part of an upload, which announces its own length where nothing else is said; returns the return code."""
    part = Shareable({KEY_DATA: data, KEY_DATA_SIZE: len(data), KEY_EOF: eof})
    about = {HeaderKey.TX_ID: tx, HeaderKey.SEQ: seq, HeaderKey.CHANNEL: CHANNEL, HeaderKey.TOPIC: TOPIC}
    about[HeaderKey.CTX] = {KEY_FILE_SIZE: len(data) if announced is ... else announced, "conn_data": "{}"}
    for name, value in about.items():
        part.set_header(name, value)
    return server.streams._handle_request("", part, FLContext()).get_return_code()


def left(server):
    return [path.name for path in server.folder.iterdir()]


def test_an_upload_is_taken_and_its_file_removed(server):
    assert send(server, b"12", announced=4, eof=False) == ReturnCode.OK
    assert len(left(server)) == 1
    assert send(server, b"34", seq=1) == ReturnCode.OK
    assert server.taken == [b"1234"]
    assert not left(server)


@attack(
    "fill the server's disk by uploads that are refused, or end never, or are longer than they say",
    who="a person of any role",
    happens="no longer than announced, 4 GiB at most, 16 at once, and removed where the job is not taken",
    says="refused: an upload of more than the 2 bytes that it announced",
)
@pytest.mark.parametrize("announced", [MOST_BYTES + 1, -1, "9", None, True, float("inf"), 2**70])
def test_an_upload_that_announces_too_much_leaves_nothing(server, announced):
    said = send(server, b"x", announced=announced)
    assert (said, server.taken, left(server)) == (ReturnCode.EXECUTION_EXCEPTION, [], [])


@pytest.mark.parametrize("second", [b"345", [1, 2], "34"])
def test_a_part_beyond_what_was_announced_ends_the_upload(server, second):
    send(server, b"12", announced=4, eof=False)
    assert send(server, second, seq=1, eof=False) == ReturnCode.EXECUTION_EXCEPTION
    assert (server.taken, left(server)) == ([], [])
    assert send(server, b"3", seq=2) == ReturnCode.BAD_REQUEST_DATA


def test_an_upload_that_ends_early_leaves_nothing(server):
    send(server, b"12", announced=4, eof=False)
    abort = Shareable()
    abort.set_header(HeaderKey.TX_ID, "a")
    server.streams._handle_abort("", abort, FLContext())
    assert (server.taken, left(server)) == ([], [])


def test_an_upload_that_cannot_be_closed_leaves_nothing(server):
    """As on a full disk."""

    def refuse():
        raise OSError(errno.ENOSPC, "no space left on device")

    send(server, b"12", announced=4, eof=False)
    (receiver,) = [info.consumer for info in server.streams.tx_table.values()]
    receiver.file.close()
    receiver.file = SimpleNamespace(write=len, close=refuse)
    send(server, b"34", seq=1)
    assert (server.taken, left(server)) == ([], [])


def test_uploads_that_are_begun_and_not_ended_keep_nobody_out_for_long(server, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(uploads, "time", SimpleNamespace(monotonic=lambda: now[0]))
    ending, give_up = [], BoundedReceiver.give_up
    monkeypatch.setattr(BoundedReceiver, "give_up", lambda silent: ending.append(give_up(silent)))
    for number in range(MOST_UPLOADS):
        assert send(server, b"1", announced=9, tx=f"{number}", eof=False) == ReturnCode.OK
    assert send(server, b"1", tx="more") == ReturnCode.EXECUTION_EXCEPTION
    now[0] = uploads.PATIENCE_S + 1
    assert send(server, b"2", tx="more") == ReturnCode.OK
    for thread in ending:
        thread.join()
    assert (len(ending), server.streams.tx_table, left(server), server.taken) == (MOST_UPLOADS, {}, [], [b"2"])
    assert send(server, b"2", tx="0", seq=1, eof=False) == ReturnCode.BAD_REQUEST_DATA


def test_a_silent_upload_is_ended_while_that_of_another_begins(server):
    send(server, b"1", announced=9, eof=False)
    (receiver,) = [info.consumer for info in server.streams.tx_table.values()]
    with server.streams.tx_lock:  # as where FLARE makes the receiver of another
        ending = receiver.give_up()
    ending.join()
    assert (server.streams.tx_table, left(server)) == ({}, [])
