"""What a person uploads to the server is bounded, and does not stay where nobody takes it.

FLARE 2.9.0 writes an upload to the folder for temporary files before it asks for the person's rights, however long it
is, and leaves it there where the job is refused: a person who may not submit could fill the server's disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReturnCode, Shareable
from nvflare.apis.streaming import StreamContextKey
from nvflare.app_common.streamers import file_streamer
from nvflare.app_common.streamers.streamer_base import KEY_DATA, KEY_FILE_LOCATION, KEY_FILE_SIZE
from nvflare.fuel.hci.server.hci import AdminServer

from fedbrats.flare.archives import MOST_BYTES
from fedbrats.outside import show

MOST_UPLOADS = 16  # at once
PATIENCE_S = 60.0  # for the next part of an upload, before another may take its place


class Uploads:
    """The uploads that have begun at this process and not ended."""

    def __init__(self, most: int = MOST_UPLOADS, patience_s: float = PATIENCE_S) -> None:
        self._most, self._patience_s = most, patience_s
        self._lock = threading.Lock()
        self._heard: dict[BoundedReceiver, float] = {}

    def begin(self, upload: BoundedReceiver, now: float) -> list[BoundedReceiver]:
        """Add one; returns those that gave up their places. Raises: ValueError where there is none."""
        with self._lock:
            silent = [each for each, heard in self._heard.items() if now - heard > self._patience_s]
            for each in silent:
                del self._heard[each]
            if len(self._heard) >= self._most:
                raise ValueError(f"refused: an upload beside {self._most} others; try again in a minute")
            self._heard[upload] = now
        return silent

    def hear(self, upload: BoundedReceiver, now: float) -> None:
        """Note that a part has come. Raises: ValueError for an upload that gave up its place, or has ended."""
        with self._lock:
            if upload not in self._heard:
                raise ValueError("refused: a part of an upload that has ended")
            self._heard[upload] = now

    def end(self, upload: BoundedReceiver) -> None:
        """Give its place back."""
        with self._lock:
            self._heard.pop(upload, None)


class BoundedReceiver(file_streamer._ChunkConsumer):
    """FLARE's receiver of a file, no longer than announced, and no longer than a job's archive may be."""

    def __init__(self, stream_ctx: dict[str, Any], dest_dir: str, uploads: Uploads) -> None:
        announced = stream_ctx.get(KEY_FILE_SIZE)
        if type(announced) is not int or not 0 <= announced <= MOST_BYTES:
            raise ValueError(f"refused: an upload of {show(announced)} bytes, of {MOST_BYTES} at most")
        self._uploads, self._stop = uploads, stream_ctx[StreamContextKey.END_STREAM]
        for silent in uploads.begin(self, time.monotonic()):
            silent.give_up()
        super().__init__(stream_ctx, dest_dir)
        self._path = Path(stream_ctx[KEY_FILE_LOCATION])

    def consume(self, shareable: Shareable, stream_ctx: dict[str, Any], fl_ctx: FLContext) -> tuple[bool, Shareable]:
        """Take a part. Raises: ValueError, which ends the upload, for one beyond what was announced."""
        self._uploads.hear(self, time.monotonic())
        data = shareable.get(KEY_DATA)
        if data is not None and not isinstance(data, bytes | bytearray | memoryview):
            raise ValueError(f"refused: a part of an upload that is a {type(data).__name__}")
        if self.received_size + len(data or b"") > self.file_size:
            raise ValueError(f"refused: an upload of more than the {self.file_size} bytes that it announced")
        taken: tuple[bool, Shareable] = super().consume(shareable, stream_ctx, fl_ctx)
        return taken

    def finalize(self, stream_ctx: dict[str, Any], fl_ctx: FLContext) -> None:
        """Close the file; one that did not come whole is removed."""
        self._uploads.end(self)
        whole = False
        try:
            super().finalize(stream_ctx, fl_ctx)
            whole = stream_ctx.get(StreamContextKey.RC) == ReturnCode.OK
        finally:
            if not whole:  # on a full disk, to close it fails
                self._path.unlink(missing_ok=True)

    def give_up(self) -> threading.Thread:
        """End an upload whose sender has been silent, and remove its file.

        In a thread, for FLARE holds the lock that this takes while it makes the receiver of another.
        """
        ending = threading.Thread(target=self._stop, args=(ReturnCode.TASK_ABORTED, None), daemon=True)
        ending.start()
        return ending


def bound_uploads() -> None:
    """Have the server's own process receive uploads so; does nothing elsewhere, where there are none."""
    if getattr(AdminServer._process_upload, "bounded", False):
        return
    uploads, process = Uploads(), AdminServer._process_upload

    def get_consumer(factory: Any, stream_ctx: dict[str, Any], _fl_ctx: FLContext) -> BoundedReceiver:
        return BoundedReceiver(stream_ctx, factory.dest_dir, uploads)

    file_streamer._ChunkConsumerFactory.get_consumer = get_consumer
    AdminServer._process_upload = take_and_remove(process)


def take_and_remove(process: Callable[..., Any]) -> Callable[..., Any]:
    """FLARE's `_process_upload`, which is asked for a whole file alone, and whose file does not outlive it.

    A job that is taken has been moved to the store of jobs by then.
    """

    def process_upload(server: Any, stream_ctx: dict[str, Any], fl_ctx: FLContext, **kwargs: Any) -> Any:
        if stream_ctx.get(StreamContextKey.RC) != ReturnCode.OK:
            return None
        try:
            return process(server, stream_ctx, fl_ctx, **kwargs)
        finally:
            Path(stream_ctx[KEY_FILE_LOCATION]).unlink(missing_ok=True)

    process_upload.bounded = True  # type: ignore[attr-defined]
    return process_upload
