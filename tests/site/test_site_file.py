"""A kit's site file is understood as it was meant, or refused with the entry and what was expected."""

import json
from pathlib import Path

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.settings import declarations
from fedbrats.site.site_file import (
    SITE_FILE,
    ServerFacts,
    SiteFacts,
    read_server_facts,
    read_site_facts,
)

FACTS = {"data_dir": "data", "cache_dir": "/cache", "personal_dir": "~/personal/{site}"}


@pytest.fixture
def local(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "kit" / "local").mkdir(parents=True)
    return tmp_path / "kit" / "local"


def write(local: Path, **entries) -> Path:
    (local / SITE_FILE).write_text(json.dumps(entries))
    return local


def test_a_path_is_of_the_kit_of_the_root_or_of_the_home_folder(local, tmp_path):
    facts = read_site_facts(write(local, **FACTS), "north")
    assert facts.data_dir == tmp_path / "kit" / "data"
    assert facts.cache_dir == Path("/cache")
    assert facts.personal_dir == tmp_path / "home" / "personal" / "north"
    assert read_server_facts(write(local, state_dir="~/state")).state_dir == tmp_path / "home" / "state"
    assert read_server_facts(write(local)).state_dir == tmp_path / "kit" / "state"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"min_cases": None}, "min_cases is null, expected a whole number from 1 to 100000"),
        ({"min_cases": 0}, "min_cases is 0, expected"),
        ({"workers": None}, "workers is null"),
        ({"threads": True}, "threads is true, expected a whole number from 1 to 100000 or null"),
        ({"device": "gpu"}, 'device is "gpu", expected auto, cpu, cuda or cuda:N'),
        ({"share_personal_models": 1}, "share_personal_models is 1, expected true or false"),
        ({"max_bad_share": 1.5}, "max_bad_share is 1.5, expected a number from 0 to 1"),
        ({"round_validation_cases": 3}, "fewer than min_cases 5"),
        ({"data_dir": ""}, 'data_dir is "", expected the path of a folder'),
        ({"data_dir": "~no-such-user/data"}, "data_dir is .*, expected the path of a folder"),
        ({"min_case": 5}, 'an unknown entry "min_case"; did you mean min_cases?'),
    ],
)
def test_an_entry_that_cannot_be_is_refused_with_its_file_and_what_was_expected(local, entries, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_site_facts(write(local, **{**FACTS, **entries}), "north")
    assert str(caught.value).startswith(f"site north: {local / SITE_FILE}")
    assert "\n" not in str(caught.value)


def test_an_entry_that_is_missing_is_named(local):
    with pytest.raises(ConfigurationError, match="cache_dir is missing, expected the path of a folder"):
        read_site_facts(write(local, data_dir="data", personal_dir="personal"), "north")


def test_a_slip_in_the_servers_file_leaves_no_job_without_its_register(local):
    for entries in ({"registered_case": {"north": 3}}, {"registered_cases": {"north": 0}}, {"state_dir": None}):
        with pytest.raises(ConfigurationError, match=f"the server's {local / SITE_FILE}"):
            read_server_facts(write(local, **entries))
    both = read_server_facts(write(local, **FACTS, registered_cases={"north": 3}))  # as in a simulation
    assert both.registered_cases == {"north": 3}


def test_every_entry_has_a_meaning():
    for table in (SiteFacts, ServerFacts):
        assert all(each.meaning.endswith(".") for each in declarations(table).values())
