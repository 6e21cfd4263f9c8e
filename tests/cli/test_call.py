"""Commands that a script calls."""

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
    with pytest.raises(ValueError, match="beside"), started(*words):
        raise ValueError("beside")
    assert len(list(tmp_path.glob("sites/*/*"))) < 500
