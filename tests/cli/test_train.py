"""`fedbrats train` on real files: one document, rows like a federated job's, a model that loads, clear refusals."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.check.problems import make_problem
from fedbrats.data.check.recorded import as_documents
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.jobs.plan import read_plan
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import TrainingSettings
from fedbrats.rows import learning_curve, read_rows, summarise_rows

QUICK = ["--set", "network=tiny", "--set", "spacing_mm=8.0", "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def train(capsys, cache, *words) -> dict:
    assert main(["train", *map(str, words), "--cache", str(cache), *QUICK, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_pooled_sites_give_one_document_rows_and_a_model(phantom_sites, tmp_path, cache, capsys):
    document = train(capsys, cache, phantom_sites, "--rounds", 2, "--out", tmp_path)
    assert (document["job"], document["status"]) == ("train", "FINISHED:COMPLETED")
    assert (document["rounds"], document["sites"], document["cases"]) == (2, 2, 2)
    assert set(document["dice"]) == set(document["iou"]) == {"mean", "WT", "TC", "ET"}
    assert set(document["per_site"]) == {"site-1", "site-2"}
    assert document["seconds"] > 0
    cases = read_rows(tmp_path / "cases.jsonl")
    assert [(row["site"], row["stage"]) for row in cases] == [("site-1", "final"), ("site-2", "final")]
    assert all(row["site"] in row["case"] for row in cases)
    rows = read_rows(tmp_path / "rows.jsonl")
    assert summarise_rows(rows)["dice"] == document["dice"]
    assert set(learning_curve(rows)) == {0, 1}
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    SegmentationNetwork(**saved["network"]).load_state_dict(saved["model"])
    assert saved["preparation"]["spacing_mm"] == 8.0


def test_what_split_found_is_told_once_and_in_the_summary(phantom_sites, tmp_path, cache, capsys):
    shutil.copytree(phantom_sites, tmp_path / "sites")
    case = read_datalist(tmp_path / "sites" / "site-1").cases[0].name
    found = as_documents([make_problem(case, None, "partial-coverage", "half of it")])
    (tmp_path / "sites" / "split.json").write_text(json.dumps({"findings": found}))
    words = ["train", tmp_path / "sites", "--rounds", 1, "--out", tmp_path / "out", "--cache", cache, *QUICK, "--json"]
    assert main([*map(str, words), "--set", "local_steps=1"]) == 0
    out, err = capsys.readouterr()
    assert (
        json.loads(out)["findings"] == found == json.loads((tmp_path / "out" / "summary.json").read_text())["findings"]
    )
    assert err.count("partial-coverage") == 1


def test_the_summary_says_which_job_it_is_like_and_every_variable(phantom_sites, tmp_path, cache, capsys):
    document = train(capsys, cache, phantom_sites, "--like", "fedper", "--rounds", 1, "--out", tmp_path)
    variables = document["variables"]
    assert (document["job"], document["like"]) == ("train", "fedper")
    assert (variables["network"], variables["num_rounds"], variables["seed"]) == ("tiny", 1, 0)
    assert variables["learning_rate"] == TrainingSettings().learning_rate
    assert "personal" not in variables  # the whole model is here: `job build evaluate` must not ask a site for a part


def test_a_round_takes_as_many_steps_as_the_sites_take_together(phantom_sites, tmp_path, cache, capsys):
    train(capsys, cache, phantom_sites, "--rounds", 1, "--out", tmp_path, "--set", "local_steps=3")
    [row] = [row for row in read_rows(tmp_path / "rows.jsonl") if row["kind"] == "round"]
    assert row["steps"] == 2 * 3


def test_one_site_alone_repeats_itself(phantom_sites, tmp_path, cache, capsys):
    one, two = (train(capsys, cache, phantom_sites / "site-2", "--rounds", 2, "--out", tmp_path / n) for n in "ab")
    assert one["sites"] == 1
    assert one["dice"] == two["dice"]


def test_the_last_evaluation_is_that_of_the_last_round(phantom_sites, tmp_path, cache, capsys):
    words = (phantom_sites, "--rounds", 2, "--out", tmp_path, "--set", "final_flips=false")
    document = train(capsys, cache, *words)
    assert document["dice"]["mean"] == pytest.approx(learning_curve(read_rows(tmp_path / "rows.jsonl"), "trained")[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["SITES", "--set", "learning_rat=1"], "there is no variable 'learning_rat'"),
        (["SITES", "--set", "network=huge"], "network 'huge' is not known"),
        (["SITES", "--like", "nothing"], "no job named 'nothing'"),
        (["SITES", "--rounds", "0"], "num_rounds is 0"),
    ],
)
def test_wrong_arguments_are_one_sentence(phantom_sites, tmp_path, capsys, words, said):
    words = [word.replace("SITES", str(phantom_sites)) for word in words]
    assert main(["train", *words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere"], "holds no site"),
        (["SITES", "--device", "cuda:99"], "device 'cuda:99' is not there"),
        (["SITES", "--device", "gpu"], "device 'gpu' is not known"),
        (["SITES/site-1", "SITES/site-1"], "site-1 is given twice"),
        (["SITES", "SITES/site-2/../site-1"], "site-1 is given twice"),
    ],
)
def test_bad_input_is_one_sentence(phantom_sites, tmp_path, cache, capsys, words, said):
    words = [word.replace("SITES", str(phantom_sites)) for word in words]
    out = tmp_path / "out"
    assert main(["train", *words, "--cache", str(cache), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert said in error.splitlines()[-1]
    assert not out.exists()


def test_two_hospitals_whose_folders_have_one_name_are_refused(phantom_sites, tmp_path, cache, capsys):
    other = tmp_path / "elsewhere" / "site-1"
    other.mkdir(parents=True)
    (other / "datalist.json").write_bytes((phantom_sites / "site-2" / "datalist.json").read_bytes())
    assert main(["train", str(phantom_sites / "site-1"), str(other), "--cache", str(cache)]) == 1
    assert f"site-1 is both {phantom_sites / 'site-1'} and {other}" in capsys.readouterr().err


def test_a_site_without_a_training_case_is_refused(phantom_sites, tmp_path, cache, capsys):
    site = tmp_path / "bare"
    site.mkdir()
    document = json.loads((phantom_sites / "site-2" / "datalist.json").read_text())
    (site / "datalist.json").write_text(json.dumps({**document, "training": [], "validation": []}))
    assert main(["train", str(site), "--cache", str(cache)]) == 1
    assert "no case to train on" in capsys.readouterr().err


def test_a_job_trains_with_the_defaults_of_the_settings():
    """The numbers stand in the job's configuration, for people, and in the class, for programs: they must agree."""
    plan = read_plan("fedavg", {})
    assert plan.training == TrainingSettings()
    assert plan.preparation == CacheSettings()


def test_original_trains_as_the_study_did():
    plan = read_plan("original", {})
    assert plan.network["preset"] == "original"
    assert (plan.training.optimiser, plan.training.bce_weight, plan.training.flips) == ("adam", 0, False)
    assert plan.preparation == CacheSettings(normalisation="minmax", shape=(128, 128, 128))


def test_help_does_not_wait_for_torch():
    code = "import sys; from fedbrats.cli.main import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass\n"
    check = "assert not {'torch', 'monai', 'nibabel', 'nvflare'} & set(sys.modules), 'heavy import'"
    subprocess.run([sys.executable, "-c", code + check], check=True, stdout=subprocess.DEVNULL)
