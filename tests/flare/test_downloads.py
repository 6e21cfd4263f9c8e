"""What a server says of a download, with FLARE's own commands of a person: only the line to the server is replaced."""

import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvflare.fuel.hci.client.api import AdminAPI
from nvflare.fuel.hci.client.api_status import APIStatus
from nvflare.fuel.hci.client.file_transfer import FileTransferModule
from nvflare.fuel.hci.cmd_arg_utils import split_to_args
from nvflare.fuel.hci.proto import MetaKey, ProtoKey

from fedbrats.flare.downloads import judge_replies
from tests.security.attacks import attack

JOB, TX = "00000000-0000-4000-8000-000000000001", str(uuid.UUID(int=7))


class Person(AdminAPI):
    """A person's API without its connection: the server says `meta`, and sends `b"sent"` as each file."""

    def __init__(self, folder, meta):
        self.meta = meta
        self.files = FileTransferModule(str(folder), str(folder))

    def debug(self, msg):
        pass

    def fire_session_event(self, *_):
        pass

    def context(self, command):
        entry = SimpleNamespace(full_command_name=lambda: "download_job", usage="")
        context = {"requester": None}
        return SimpleNamespace(
            get_command_entry=lambda: entry,
            get_api=lambda: self,
            get_command=lambda: command,
            set_requester=lambda one: context.update(requester=one),
            requester=lambda: context["requester"],
        )

    def do_command(self, command, props=None):
        return self.files.pull_binary_file(split_to_args(command), self.context(command))

    def download_file(self, source_fqcn, ref_id, file_name):
        Path(file_name).parent.mkdir(parents=True, exist_ok=True)  # as FLARE does it
        return Path(file_name).write_bytes(b"sent")

    def download(self):
        return self.files.pull_folder(["download_job", JOB], self.context("download_job"))


@pytest.fixture
def person(tmp_path, monkeypatch):
    """A person whose server says this of a download; its folder for downloads lies beside a file of the person's."""
    folder = tmp_path / "account" / "downloads"
    folder.mkdir(parents=True)
    (tmp_path / "account" / "client.key").write_text("secret")

    def execute(self, command, cmd_ctx=None, **_):
        if cmd_ctx is None:
            return {ProtoKey.STATUS: APIStatus.SUCCESS, ProtoKey.META: dict(self.meta)}
        self.download_file("server", "1", cmd_ctx.requester().file_name)
        return {ProtoKey.STATUS: APIStatus.SUCCESS}

    monkeypatch.setattr(AdminAPI, "server_execute", execute)
    judge_replies()
    return lambda **meta: (Person(folder, meta), tmp_path / "account")


def told(files, transaction=TX):
    return {MetaKey.FILES: files, MetaKey.TX_ID: transaction, MetaKey.SOURCE_FQCN: "server"}


def test_a_download_as_flare_sends_it_is_taken(person):
    api, account = person(**told([["meta", "1"], ["workspace/rows of site-1.jsonl", "2"]]))
    location = api.download()[ProtoKey.META][MetaKey.LOCATION]
    assert location == str(account / "downloads" / JOB)
    assert (account / "downloads" / JOB / "workspace" / "rows of site-1.jsonl").read_bytes() == b"sent"


@attack(
    "write, move or delete any file of the person who fetches a result, the key of a lead too",
    who="the server's operator",
    happens="refused before a file is asked for; where a download lies is not for the server to say",
    says="refused: the server names a file of a download ../../client.key, which is no name of one",
)
@pytest.mark.parametrize(
    ("files", "transaction"),
    [
        ([["../../client.key", "1"]], TX),
        ([["meta", "1"], ["a/../../../client.key", "2"]], TX),
        ([["/proc/x", "1"]], TX),
        ([["..\\x", "1"]], TX),
        ([["a\nb", "1"]], TX),
        ([["", "1"]], TX),
        ([[None, "1"]], TX),
        ([["meta"]], TX),
        ({"meta": "1"}, TX),
        ([["meta", "1"]], f"{TX}/../.."),
        ([["meta", "1"]], "../x"),
        ([["meta", "1"]], None),
    ],
)
def test_no_name_of_a_download_leads_out_of_its_folder(person, files, transaction):
    api, account = person(**told(files, transaction))
    reply = api.download()
    assert (reply[ProtoKey.STATUS], reply[ProtoKey.DETAILS][:8]) == (APIStatus.ERROR_RUNTIME, "refused:")
    assert [path.name for path in sorted(account.rglob("*"))] == ["client.key", "downloads"]
    assert (account / "client.key").read_text() == "secret"


def test_where_a_download_lies_is_not_for_the_server_to_say(person):
    api, _ = person(**{MetaKey.LOCATION: "/home"})
    assert MetaKey.LOCATION not in api.download()[ProtoKey.META]
