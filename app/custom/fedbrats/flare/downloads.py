"""What a server says of a download names no place on the machine of the person who asked for it.

FLARE 2.9.0 joins the names of files and of the transaction, as the server says them, to the person's folder for
downloads, and moves or deletes what it finds there: the server's operator could write, move or delete any file of the
person's account, the key of a lead too.
"""

from __future__ import annotations

import uuid
from typing import Any

from fedbrats.outside import show

LONGEST_PATH = 1000  # signs


def judge_replies() -> None:
    """Have FLARE's API for people judge each reply of the server before it acts on it."""
    from nvflare.fuel.hci.client.api import AdminAPI

    if getattr(AdminAPI.server_execute, "judged", False):
        return
    execute = AdminAPI.server_execute

    def server_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        return judge_reply(execute(self, *args, **kwargs))

    server_execute.judged = True  # type: ignore[attr-defined]
    AdminAPI.server_execute = server_execute


def judge_reply(reply: Any) -> Any:
    """The reply, without a place on this machine; an error in its place where it names files that are none."""
    from nvflare.fuel.hci.client.api_status import APIStatus
    from nvflare.fuel.hci.proto import MetaKey, ProtoKey

    meta = reply.get(ProtoKey.META) if isinstance(reply, dict) else None
    if not isinstance(meta, dict):
        return reply
    meta.pop(MetaKey.LOCATION, None)  # where a download lies is for this machine to say
    if not meta.get(MetaKey.FILES):
        return reply
    if why := fault_of_download(meta.get(MetaKey.TX_ID), meta[MetaKey.FILES]):
        return {ProtoKey.STATUS: APIStatus.ERROR_RUNTIME, ProtoKey.DETAILS: f"refused: {why}", ProtoKey.META: {}}
    return reply


def fault_of_download(transaction: Any, files: Any) -> str | None:
    """Why nothing of a download is taken, by what the server says of it; None where it may be.

    Args:
        transaction: its id, which becomes part of a folder's name.
        files: of each its name, below that folder, and a reference.
    """
    try:
        uuid.UUID(transaction)
    except (ValueError, TypeError, AttributeError):
        return f"the server calls a download {show(transaction)}, which is no id of one"
    if "/" in transaction or not isinstance(files, list):
        return "the server lists no files of a download"
    for file in files:
        name = file[0] if isinstance(file, list | tuple) and len(file) == 2 else None
        if not isinstance(name, str) or not _is_below(name):
            return f"the server names a file of a download {show(name)}, which is no name of one"
    return None


def _is_below(name: str) -> bool:
    """Whether a path stays in the folder that it is joined to, on any system."""
    if len(name) > LONGEST_PATH or not name.isprintable() or "\\" in name:
        return False
    return not {"", ".", ".."} & set(name.split("/"))
