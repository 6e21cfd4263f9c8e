"""A participant is restored from its backup on an empty disk, or the backup is refused with a sentence."""

import errno
import io
import json
import os
import shutil
import stat
import tarfile

import pytest
from nvflare.private.fed.server.client_manager import ClientManager

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.backup import read_manifest, restore, write_backup
from fedbrats.cli.main import main
from fedbrats.errors import FedbratsError
from fedbrats.flare.process.storage import storage_of
from fedbrats.site.site_file import read_server_facts, read_site_facts

JOB = "18f294b6-815c-47c5-b35f-0d74ab09547e"
FILES = {
    f"storage/jobs/{JOB}/meta": b'{"name": "fedavg"}',
    f"storage/jobs/{JOB}/workspace": b"a result",
    f"storage/state/{JOB}/round-3.npz": b"a state",
    "storage/snapshots/x": b"a snapshot",
}


@pytest.fixture
def lived(server_kit):
    """A server that has worked: a hospital is revoked, a job is there, the audit trail says so."""
    manager = ClientManager()
    manager.set_disabled_clients_file(str(server_kit / "disabled_clients.json"))
    manager.disable_client("hospital-east")
    (server_kit / "audit.log").write_text("[E:1][U:admin] disable_client hospital-east\n")
    (server_kit / "daemon_pid.fl").write_text("1\n")
    (server_kit / "venv").mkdir()
    (server_kit / "venv" / "large").write_bytes(b"0" * 1000)
    (server_kit / "a link").symlink_to("/etc/passwd")
    (server_kit / "a linked folder").symlink_to("/etc")
    for name, content in FILES.items():
        path = server_kit.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return server_kit


def test_a_server_on_an_empty_disk_knows_whom_it_revoked_and_what_it_did(lived, tmp_path):
    archive = tmp_path / "backup.tar"
    contents = write_backup(open_kit(lived), archive)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert sorted(contents.skipped) == [str(lived / "a link"), str(lived / "a linked folder")]
    register = read_server_facts(lived / "local").registered_cases
    shutil.rmtree(lived)
    shutil.rmtree(tmp_path / "storage")

    kit, places = restore(archive, tmp_path / "new" / "server")
    assert kit.name == lived.name
    manager = ClientManager()
    manager.set_disabled_clients_file(str(kit.folder / "disabled_clients.json"))
    assert manager.disabled_clients == {"hospital-east"}
    assert read_server_facts(kit.local_dir).registered_cases == register
    assert "disable_client hospital-east" in (kit.folder / "audit.log").read_text()
    for name, content in FILES.items():
        assert (tmp_path / name).read_bytes() == content
    assert not (kit.folder / "daemon_pid.fl").exists()
    assert not (kit.folder / "venv").exists()
    assert stat.S_IMODE((kit.startup_dir / "server.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(kit.folder.stat().st_mode) == 0o700
    assert set(places) >= {"jobs", "snapshots", "state"}
    assert [path.name for path in tmp_path.rglob("*.restore")] == []


def test_another_machine_may_keep_its_jobs_elsewhere(lived, tmp_path):
    write_backup(open_kit(lived), tmp_path / "backup.tar")
    elsewhere = tmp_path / "srv" / "storage"
    kit, _ = restore(tmp_path / "backup.tar", tmp_path / "srv" / "kit", elsewhere)
    assert storage_of(kit.local_dir) == (elsewhere / "jobs", elsewhere / "snapshots")
    assert read_server_facts(kit.local_dir).state_dir == elsewhere / "state"
    assert (elsewhere / "jobs" / JOB / "workspace").read_bytes() == b"a result"


def test_a_hospital_keeps_its_personal_weights_and_neither_scans_nor_cache(site_kit, tmp_path):
    for name in ("data", "cache", "personal"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    contents = write_backup(open_kit(site_kit), tmp_path / "backup.tar")
    assert "personal/file" in contents.files
    assert not [name for name in contents.files if name.startswith(("data/", "cache/"))]
    shutil.rmtree(tmp_path / "personal")
    kit, _ = restore(tmp_path / "backup.tar", tmp_path / "again")
    assert read_site_facts(kit.local_dir, kit.name).personal_dir == tmp_path / "personal"
    assert (tmp_path / "personal" / "file").read_text() == "personal"


def test_nothing_that_is_there_is_overwritten(lived, tmp_path):
    write_backup(open_kit(lived), tmp_path / "backup.tar")
    with pytest.raises(FedbratsError, match="holds something"):
        restore(tmp_path / "backup.tar", tmp_path / "new")  # the storage of before is still there
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_read_is_no_backup(lived, tmp_path, monkeypatch):
    scan, closed = os.scandir, str(tmp_path / "storage" / "state")

    def scandir(path):
        if str(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", closed)
        return scan(path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(PermissionError):
        write_backup(open_kit(lived), tmp_path / "backup.tar")
    assert not (tmp_path / "backup.tar").exists()


def test_the_storage_cannot_be_inside_the_kit_that_is_made(lived, tmp_path):
    write_backup(open_kit(lived), tmp_path / "backup.tar")
    with pytest.raises(FedbratsError, match="inside another folder"):
        restore(tmp_path / "backup.tar", tmp_path / "new", tmp_path / "new" / "storage")
    assert not (tmp_path / "new").exists()


def cut(archive):
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])


def flip(archive):
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"a result", b"a resulT"))


def of_somebody_else(archive):
    archive.write_text("nothing of ours")


def with_entries(name, **changes):
    """Another archive: one file, and a manifest with some changes."""

    def harm(archive):
        said = json.dumps({**read_manifest(archive), "files": {name: [1, ""]}, **changes}).encode()
        with tarfile.open(archive, "w") as tar:
            for each, content in ((name, b"x"), ("manifest.json", said)):
                entry = tarfile.TarInfo(each)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

    return harm


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (cut, "its end is missing"),
        (flip, "damaged: .*workspace"),
        (of_somebody_else, "no backup"),
        (with_entries("kit/../../escaped"), "no backup has"),
        (with_entries("."), "no backup has"),
        (with_entries("kit/a", places={"jobs": "/tmp", "../../escaped": "/tmp"}), "no backup that"),
        (with_entries("kit/a", places=[]), "no backup that"),
        (with_entries("kit/a", made=None), "no backup that"),
    ],
)
def test_a_bad_archive_is_refused_and_leaves_nothing(lived, tmp_path, harm, sentence):
    archive = tmp_path / "backup.tar"
    write_backup(open_kit(lived), archive)
    harm(archive)
    with pytest.raises(FedbratsError, match=sentence):
        restore(archive, tmp_path / "new" / "kit", tmp_path / "new" / "storage")
    assert not (tmp_path / "new").exists(), "no empty folder stays, which would be taken for a server's"
    assert not (tmp_path / "escaped").exists()


def test_the_commands_say_what_they_did(lived, tmp_path, capsys):
    archive = tmp_path / "backup.tar"
    assert main(["backup", str(lived), "--out", str(archive), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] > len(FILES)
    assert main(["restore", str(archive), str(tmp_path / "new"), "--storage", str(tmp_path / "elsewhere")]) == 0
    assert f"server {lived.name} as of" in capsys.readouterr().out
    assert main(["backup", str(lived), "--out", str(lived / "backup.tar")]) == 1
    assert "which it is a backup of" in capsys.readouterr().err
    assert main(["backup", str(lived), "--out", str(tmp_path / "not mounted" / "backup.tar")]) == 1
    assert "not mounted of the backup is not there: is its file system mounted?" in capsys.readouterr().err
    assert not (tmp_path / "not mounted").exists()
