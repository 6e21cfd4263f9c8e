"""`fedbrats privacy`: a plan without data, and what a site's ledger says."""

import json

import pytest

from fedbrats.cli.main import main
from fedbrats.privacy.ledger import Entry, Ledger

ENTRY = Entry("2030-01-01T00:00:00+00:00", "job-1", 0, "a" * 64, 20.0, 1.0, 1.0, 2, 1e-3)


@pytest.fixture
def kit(tmp_path, phantom_sites):
    """A kit of which the command reads the site file alone."""
    (tmp_path / "north" / "local").mkdir(parents=True)
    facts = {"data_dir": str(phantom_sites / "site-1"), "cache_dir": "cache", "personal_dir": "personal"}
    facts["privacy_budget"] = {"epsilon": 8.0, "delta": 1e-3}
    (tmp_path / "north" / "local" / "fedbrats.json").write_text(json.dumps(facts))
    return tmp_path / "north"


def test_a_plan_says_epsilon_and_noise(capsys):
    command = ["privacy", "plan", "fine_tuned_dp", "--patients", "20", "--set", "num_rounds=2", "--set", "dp_rate=1.0"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["trained_numbers"]) == (16, 3555)
    assert 0 < found["epsilon"] <= found["epsilon_bound"]
    assert found["noise_to_signal"] == pytest.approx(4.0 * 3555**0.5 / 20)
    assert main(["privacy", "plan", "fedavg", "--patients", "20"]) == 1
    assert "set dp_noise or dp_epsilon" in capsys.readouterr().err


def plan(capsys, job, patients, *changes):
    words = [word for each in changes for word in ("--set", each)]
    assert main(["privacy", "plan", job, "--patients", str(patients), *words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert main(["privacy", "plan", job, "--patients", str(patients), *words]) == 0
    return document, capsys.readouterr().out


def test_a_plan_says_what_dice_to_expect_and_no_curve_outside_their_range(capsys):
    quick = ("dp_noise=1.3", "num_rounds=6", "local_steps=4", "dp_rate=1.0")
    document, text = plan(capsys, "fine_tuned_dp", 5, *quick)
    assert document["expected"]["sites"] == 5
    assert document["expected"]["gain"] <= document["expected"]["without_noise"]
    assert "Dice: by our curve (5 sites, real cases" in " ".join(text.split())
    for job, patients, changes in (
        ("fine_tuned_dp", 5000, quick),
        ("fine_tuned_dp", 5, (*quick, "dp_noise=40")),
        ("fedavg_dp", 5, quick),
    ):
        document, text = plan(capsys, job, patients, *changes)
        assert document["expected"] is None
        assert "Dice: no curve" in text


def test_a_status_says_what_is_spent_and_left(kit, capsys):
    ledger = Ledger(kit / "personal" / "north" / "privacy_ledger.jsonl")
    for number in range(2):
        ledger.charge(Entry(**{**vars(ENTRY), "round": number}), lambda entries: None)
    assert main(["privacy", "status", str(kit), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["lines"], [job["rounds"] for job in found["jobs"]]) == (2, [2])
    assert found["epsilon"] + found["left"] == pytest.approx(8.0)
    assert main(["privacy", "status", str(kit)]) == 0
    assert "of 8 at delta 0.001" in capsys.readouterr().out
    ledger.path.write_text("")
    assert main(["privacy", "status", str(kit)]) == 1
    assert "restore it" in capsys.readouterr().err
