"""`fedbrats report` on a real training: a page with pictures of phantoms, and never of patients by accident."""

import json
import shutil

import pytest
import torch

from fedbrats.array_files import write_arrays
from fedbrats.cli.main import main


def test_a_page_with_the_pictures_of_phantoms(trained_results, phantom_sites, tmp_path, capsys):
    out = tmp_path / "page.html"
    words = ["report", str(trained_results), "--data", str(phantom_sites), "--out", str(out), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(out), "runs": ["train like fedavg"], "pictures": 2}
    page = out.read_text()
    assert page.count("data:image/png;base64,") == 2  # two validation cases: the best and the worst
    assert "Not a medical device".lower() in page.lower()
    assert page.count("Predicted with mirror images: ") == 2  # as the final evaluation, whose Dice the captions say


@pytest.fixture
def make_job(trained_results, tmp_path):
    """A function that makes the results of a job out of those of `fedbrats train`."""

    def make(job, **variables):
        folder = shutil.copytree(trained_results, tmp_path / job)
        weights = torch.load(folder / "model.pt", weights_only=True)["model"]
        (folder / "model.pt").unlink()
        torch.save({"model": weights}, folder / "global_model.pt")
        known = {"network": "tiny", "seed": 0, "spacing_mm": 8.0, "normalisation": "zscore", "volume_shape": None}
        summary = json.loads((folder / "summary.json").read_text())
        del summary["like"]  # of `fedbrats train` alone
        summary |= {"job": job, "variables": {**known, **variables}}
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make


@pytest.mark.parametrize("variables", [{"personal": "head"}, {"personal_rounds": 1}])
def test_a_common_model_is_not_drawn_under_the_dice_of_personal_ones(
    make_job, trained_results, phantom_sites, tmp_path, capsys, variables
):
    job, out = make_job("fedper", **variables), tmp_path / "page.html"
    words = ["--data", str(phantom_sites), "--out", str(out), "--json"]
    asked = tmp_path / "evaluate"  # a run without a model of its own
    asked.mkdir()
    (asked / "rows.jsonl").write_text('{"kind": "job"}\n{"kind": "evaluation", "site": "a"}\n')
    (asked / "summary.json").write_text('{"job": "evaluate"}')
    for runs, pictures in (([job], 0), ([job, trained_results], 2)):
        assert main(["report", *map(str, runs), *words]) == 0
        assert json.loads(capsys.readouterr().out)["pictures"] == pictures
        page = out.read_text()
        assert "No pictures of fedper: " in page
        assert "fedper: best case" not in page
    assert "all data in one place: best case" in page


def test_the_pictures_are_of_the_model_that_the_page_recommends(make_job, phantom_sites, tmp_path, monkeypatch):
    """With each site's own weights, where they are on this machine."""
    monkeypatch.chdir(tmp_path)
    worse = make_job("fedavg")
    better = shutil.copytree(worse, tmp_path / "fine_tuned")
    summary = json.loads((better / "summary.json").read_text())
    summary |= {"job": "fine_tuned", "variables": {**summary["variables"], "personal_rounds": 1}}
    (better / "summary.json").write_text(json.dumps(summary))
    raise_dice(better / "cases.jsonl", 0.01)
    weights = torch.load(better / "global_model.pt", weights_only=True)["model"]
    for site in (each.name for each in phantom_sites.iterdir() if each.is_dir()):
        write_arrays(better / "sites" / site / "personal.npz", {name: value.numpy() for name, value in weights.items()})
    out = tmp_path / "page.html"
    assert main(["report", str(worse), str(better), "--data", str(phantom_sites), "--out", str(out)]) == 0
    page = out.read_text()
    assert "fine_tuned: best case" in page
    assert "fedavg: best case" not in page
    assert "No pictures" not in page


def raise_dice(path, gain):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["dice"] = {region: value + gain for region, value in row["dice"].items()}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_job_measured_without_mirror_images_is_drawn_without(make_job, phantom_sites, tmp_path):
    out = tmp_path / "page.html"
    words = ["report", str(make_job("fedavg", final_flips=False)), "--data", str(phantom_sites), "--out", str(out)]
    assert main(words) == 0
    page = out.read_text()
    assert "Predicted: " in page
    assert "with mirror images: " not in page


def test_scans_that_are_no_phantoms_are_shown_only_when_told(trained_results, phantom_sites, tmp_path, capsys):
    sites = tmp_path / "sites"
    shutil.copytree(phantom_sites, sites)
    (sites / "split.json").write_text(json.dumps({"made_by": "split"}))
    out = tmp_path / "page.html"
    words = ["report", str(trained_results), "--data", str(sites), "--out", str(out)]
    assert main(words) == 1
    assert "add --pictures" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--pictures"]) == 0
    assert "data:image/png" in out.read_text()


def test_live_ends_with_the_job(trained_results, tmp_path):
    assert main(["report", str(trained_results), "--live", "--out", str(tmp_path / "page.html")]) == 0
    assert "http-equiv" not in (tmp_path / "page.html").read_text()


def test_what_is_no_run_among_several_is_left_out_and_said(trained_results, tmp_path, capsys):
    personal, demo = tmp_path / "personalise-1", tmp_path / "demo"
    personal.mkdir()
    shutil.copytree(trained_results, demo / "fedavg")
    (demo / "fedavg" / "server" / "workspace").mkdir(
        parents=True
    )  # as FLARE's jobs have it, which keep their rows twice
    shutil.copy(demo / "fedavg" / "rows.jsonl", demo / "fedavg" / "server" / "workspace")
    out = tmp_path / "page.html"
    out.touch()  # a report that lies beside the runs
    assert main(["report", str(trained_results), str(personal), str(demo), str(out), "--out", str(out), "--json"]) == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["runs"]) == 1
    assert f"{personal} has no rows" in said.err
    assert f"{demo} has no rows" in said.err
    assert main(["report", str(trained_results), str(tmp_path / "mistyped"), "--out", str(out)]) == 1
    assert main(["report", str(demo), "--out", str(out)]) == 1
    assert f"give those in it, {demo}/*" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("nothing", "nothing is not there"), (".", "holds no rows.jsonl")])
def test_a_folder_without_results_is_refused(tmp_path, capsys, name, said):
    assert main(["report", str(tmp_path / name), "--out", str(tmp_path / "page.html")]) == 1
    assert said in capsys.readouterr().err
