"""Commands that a script calls."""

import psutil
import pytest

from fedbrats.cli.call import started


def test_a_command_beside_others_gives_what_it_wrote():
    with started("job", "list", "--json") as finish:
        said = finish()
    assert "fedavg" in said


def test_a_command_that_fails_ends_the_script_as_it_did(tmp_path):
    with pytest.raises(SystemExit) as ended, started("report", tmp_path / "nothing") as finish:
        finish()
    assert ended.value.code == 1


def test_a_command_is_stopped_where_the_block_beside_it_fails(tmp_path):
    words = ("phantom", tmp_path / "sites", "--cases", 500)  # minutes of work
    begun = []

    def fail_beside():
        with started(*words):
            begun.extend(_of(tmp_path))
            raise ValueError("beside")

    with pytest.raises(ValueError, match="beside"):
        fail_beside()
    assert [command.is_running() for command in begun] == [False]


def _of(folder):
    """The processes that name a folder; those that have ended have no words."""
    found = psutil.process_iter(["cmdline"])
    return [each for each in found if any(str(folder) in word for word in each.info["cmdline"] or ())]
