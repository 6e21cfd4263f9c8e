"""Which run is meant where several could be: the newest of one method, never one of several methods."""

from pathlib import Path

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.run_folder import find_run, new_run, newest_run

OLDER, NEWER = "20260101-120000", "20260102-090000"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two runs of fedavg, one of fedavg-long and a folder without a time; the working directory holds `results`."""
    for name in (f"fedavg-{NEWER}", f"fedavg-{OLDER}", f"fedavg-long-{NEWER}", "train", "fedavg-notes"):
        (tmp_path / "results" / name).mkdir(parents=True)
    (tmp_path / "results" / f"fedavg-{OLDER}" / "best_model.pt").touch()
    monkeypatch.chdir(tmp_path)
    return Path("results")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("fedavg", f"fedavg-{NEWER}"),
        ("fedavg-long", f"fedavg-long-{NEWER}"),
        ("fedavg-2*", f"fedavg-{NEWER}"),
        ("fedavg/best_model.pt", f"fedavg-{OLDER}/best_model.pt"),
        (f"fedavg-{OLDER}", f"fedavg-{OLDER}"),
        ("train", "train"),
        ("fedavg-*", "fedavg-*"),  # of two methods
        ("fedper", "fedper"),
        ("fedper/best_model.pt", "fedper/best_model.pt"),
    ],
)
def test_a_method_is_its_newest_run(results, word, meant):
    assert find_run(results / word) == results / meant


def test_of_several_runs_the_newest_is_meant(results):
    assert newest_run([results / f"fedavg-{NEWER}", results / f"fedavg-{OLDER}"]) == results / f"fedavg-{NEWER}"
    assert newest_run([results / "train"]) == results / "train"
    files = [results / f"fedavg-{stamp}" / "best_model.pt" for stamp in (NEWER, OLDER)]
    assert newest_run(files) == files[0]


@pytest.mark.parametrize("other", [f"fedavg-long-{NEWER}", "train", f"fedavg-{OLDER}/best_model.pt"])
def test_runs_of_several_methods_are_refused(results, other):
    with pytest.raises(ConfigurationError, match="one run is needed, and 2 are given"):
        newest_run([results / f"fedavg-{NEWER}", results / other])


def test_a_new_run_can_be_found_again(tmp_path):
    folder = new_run(tmp_path, "fedavg")
    folder.mkdir()
    assert find_run(tmp_path / "fedavg") == folder
