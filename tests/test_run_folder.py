"""Which run a word means: one that is there, `latest`, or the only one of a job; several are one sentence."""

import json
from pathlib import Path

import pytest

from fedbrats.errors import ArgumentError, ConfigurationError
from fedbrats.run_folder import find_personal, find_run, new_run

OLDER, NEWER = "20260101-120000", "20260102-090000"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two runs of fedavg, one of fedavg-long and a folder without a time; the working directory holds `results`."""
    for name in (f"fedavg-{OLDER}", f"fedavg-{NEWER}", f"fedavg-long-{OLDER}", "train", "fedavg-notes"):
        (tmp_path / "results" / name).mkdir(parents=True)
    (tmp_path / "results" / f"fedavg-{OLDER}" / "best_model.pt").touch()
    monkeypatch.chdir(tmp_path)
    return Path("results")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("latest", f"fedavg-{NEWER}"),
        ("fedavg-long", f"fedavg-long-{OLDER}"),
        ("fedavg/best_model.pt", f"fedavg-{OLDER}/best_model.pt"),
        (f"fedavg-{OLDER}", f"fedavg-{OLDER}"),
        ("fedavg-long-*", f"fedavg-long-{OLDER}"),
        ("train", "train"),
        ("fedavg-*", "fedavg-*"),  # of two methods
        ("fedper", "fedper"),
        ("fedper/best_model.pt", "fedper/best_model.pt"),
    ],
)
def test_a_word_is_one_run(results, word, meant):
    assert find_run(results / word) == results / meant


@pytest.mark.parametrize("word", ["latest", "fedavg-long", "fedavg/best_model.pt"])
def test_results_may_be_left_out(results, word):
    assert find_run(Path(word)) == find_run(results / word)


@pytest.mark.parametrize("word", ["fedavg", "results/fedavg", "results/fedavg-2*"])
def test_a_job_of_several_runs_is_one_sentence_with_the_choices(results, word):
    with pytest.raises(
        ArgumentError, match=rf"can be 2 runs, .*: results/fedavg-{NEWER}, results/fedavg-{OLDER}; name"
    ):
        find_run(Path(word))


def test_a_new_run_can_be_found_again(tmp_path):
    folder = new_run(tmp_path, "fedavg")
    folder.mkdir()
    assert find_run(tmp_path / "fedavg") == folder


def test_personal_weights_are_found_by_the_name_of_the_site(results, tmp_path):
    run = results / f"fedavg-{NEWER}"
    (run / "summary.json").write_text(json.dumps({"job_id": "abc"}))
    in_poc, simulated = tmp_path / "poc/personal/abc/north/personal.npz", run / "sites/south/personal.npz"
    for path in (in_poc, simulated):
        path.parent.mkdir(parents=True)
        path.touch()
    assert find_personal(run, "north", tmp_path / "poc") == in_poc
    assert find_personal(run / "global_model.pt", "south", tmp_path / "poc") == simulated
    assert find_personal(run, str(in_poc), tmp_path / "poc") == in_poc
    with pytest.raises(ConfigurationError, match=r"no personal weights of east .* there are those of south, north"):
        find_personal(run, "east", tmp_path / "poc")
    with pytest.raises(ConfigurationError, match="this machine has none of its sites"):
        find_personal(results / "train", "east", tmp_path / "poc")
