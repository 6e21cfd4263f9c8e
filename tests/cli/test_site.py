"""`fedbrats site` changes what it is told to, and nothing else that a hospital decided."""

from __future__ import annotations

import json

import pytest

from fedbrats.cli.main import main
from fedbrats.site.site_file import LEAST_CASES, SiteFacts


@pytest.fixture
def kit(tmp_path):
    """As little of a startup kit as the command asks for."""
    for folder in ("startup", "local"):
        (tmp_path / "kit" / folder).mkdir(parents=True)
    (tmp_path / "kit" / "startup" / "fed_client.json").write_text("{}")
    return tmp_path / "kit"


def facts(kit):
    return json.loads((kit / "local" / "fedbrats.json").read_text())


def test_a_new_kit_needs_a_data_folder(kit, phantom_sites, capsys):
    assert main(["site", str(kit)]) != 0
    assert "add --data FOLDER" in capsys.readouterr().err
    assert main(["site", str(kit), "--data", str(phantom_sites / "site-1")]) == 0
    assert facts(kit)["min_cases"] == LEAST_CASES == SiteFacts.model_fields["min_cases"].default


def test_what_is_not_named_stays_as_it_was(kit, phantom_sites, capsys):
    before = {"data_dir": "/elsewhere", "cache_dir": "/data/cache", "personal_dir": "personal", "min_cases": 5,
              "max_bad_share": 0.1}  # fmt: skip
    (kit / "local" / "fedbrats.json").write_text(json.dumps(before))
    assert main(["site", str(kit), "--data", str(phantom_sites / "site-1"), "--threads", "2"]) == 0
    assert facts(kit) == {**before, "data_dir": str(phantom_sites / "site-1"), "threads": 2, "device": "auto"}
    assert "fewer than 5 cases are not sent" in capsys.readouterr().out


def test_pads_are_demanded_and_not_any_more(kit, phantom_sites):
    assert main(["site", str(kit), "--data", str(phantom_sites / "site-1"), "--require-pads"]) == 0
    assert facts(kit)["require_pads"] is True
    assert main(["site", str(kit), "--threads", "1"]) == 0
    assert facts(kit)["require_pads"] is True
    assert main(["site", str(kit), "--no-require-pads"]) == 0
    assert facts(kit)["require_pads"] is False
