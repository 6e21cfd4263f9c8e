"""What stands on the disk has the mode that the user's umask gives, whichever thread wrote it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedbrats import atomic
from fedbrats.atomic import new_folder, write_text_atomic


def test_writing_never_changes_the_umask_of_the_process(tmp_path, monkeypatch):
    """The umask is the whole process's: set for a moment by one thread, it is the mode of another one's files."""

    def refuse(_mask):
        pytest.fail("the umask was changed")

    monkeypatch.setattr(os, "umask", refuse)
    write_text_atomic(tmp_path / "file", "text")
    with new_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "file").read_text() == "text"


def test_files_and_folders_have_the_mode_of_the_umask(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; os.umask(0o027)\n"
        "from fedbrats.atomic import new_folder, write_text_atomic\n"
        "write_text_atomic(Path(sys.argv[1]) / 'file', '')\n"
        "with new_folder(Path(sys.argv[1]) / 'folder'): pass\n"
        "assert os.umask(0) == 0o027\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


@pytest.fixture(params=[True, False], ids=["exchange", "two steps"])
def folder(tmp_path, monkeypatch, request):
    """A folder that holds a file `old`, on a file system that can exchange two folders, or cannot (NFS, macOS)."""
    if not request.param:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    path = tmp_path / "place" / "folder"
    path.mkdir(parents=True)
    (path / "old").touch()
    return path


def test_a_folder_takes_the_place_of_another_and_leaves_nothing_beside_it(folder):
    with new_folder(folder) as new:
        (new / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_rename_that_fails_leaves_the_old_folder(folder, monkeypatch, fails_at):
    rename, calls = Path.rename, []

    def failing(self, target):
        calls.append(target)
        if len(calls) == fails_at:
            raise OSError("the file server is gone")
        return rename(self, target)

    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="file server"), new_folder(folder) as new:
        (new / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_cannot_be_put_back_is_not_removed(folder, monkeypatch):
    rename, calls = Path.rename, []

    def failing(self, target):
        calls.append(target)
        if len(calls) > 1:
            raise OSError("the file server is gone")
        return rename(self, target)

    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="file server"), new_folder(folder):
        pass
    [retired] = folder.parent.glob(".folder.*.old")
    assert (retired / "old").exists()
