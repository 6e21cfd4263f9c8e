"""What stands on the disk has the mode that the user's umask gives, whichever thread wrote it."""

import os
import subprocess
import sys

import pytest

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
