"""`fedbrats sweep` plans and resumes, `fedbrats compare` makes tables of its lines; a long test does both for real."""

import csv
import io
import json
from pathlib import Path

import pytest

from fedbrats.admin.run.sweep import plan_runs, read_sweep
from fedbrats.api.comparison import _latex
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.report.numbers.method_table import new_hospitals, own_patients
from fedbrats.report.numbers.records import run_id

REGIONS = ("WT", "TC", "ET")
SWEEP = {
    "methods": ["centralised", "local_only", "fedavg"],
    "splits": {"equal": {"by": "equal", "sites": 2}},
    "folds": [0, 1],
    "seeds": [0, 1],
    "variables": {"num_rounds": 2},
    "of_method": {"fedavg": {"clip_multiple": 0.0}},
}


@pytest.fixture
def sweep_file(tmp_path):
    def write(**changes):
        path = tmp_path / "sweep.json"
        path.write_text(json.dumps({**SWEEP, **changes}))
        return path

    return write


def record(method: str, fold: int, seed: int, gain: float, **more) -> dict:
    """A line: six patients a fold at two sites, `gain` better than 0.5."""
    patients = [
        {"patient": 6 * fold + k, "site": f"site-{k % 2}", "dice": dict.fromkeys(REGIONS, 0.5 + gain + 0.02 * k)}
        for k in range(6)
    ]
    budget = {"rounds": 2, "steps": 20, "bytes": None}
    about = {"split": "equal", "fold": fold, "seed": seed, "method": method, "settings": {}, "left_out": None}
    line = {**about, "misbehaviour": {}, "seconds": 1, "conditions": {"budget": budget}, "variables": {"seed": seed}}
    return {**line, "training_cases": {"site-0": 6, "site-1": 6}, "patients": patients, "elsewhere": [], **more}


def elsewhere(model: str, dice: float, where: str = "outside") -> dict:
    patients = [{"patient": k, "dice": dict.fromkeys(REGIONS, dice)} for k in range(6)]
    return {"where": where, "model": model, "patients": patients}


def write_lines(path: Path, records: list[dict]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def test_a_sweep_has_every_run_once_and_its_id_is_what_is_asked(sweep_file):
    runs = plan_runs(read_sweep(sweep_file()))
    assert len(runs) == len({each.id for each in runs}) == 12
    assert [each.method for each in runs[:3]] == ["centralised", "local_only", "fedavg"]
    assert {each.seed for each in runs[:6]} == {0}
    fedavg = runs[2]
    assert fedavg.settings == {"num_rounds": 2, "clip_multiple": 0.0}
    assert fedavg.id == run_id(json.loads(json.dumps(fedavg.about)))
    assert runs[0].engine == "train"
    harm = plan_runs(read_sweep(sweep_file(misbehave=["", "site-1=noise"], folds=[0], seeds=[0])))
    assert [(each.method, dict(each.misbehaviour)) for each in harm[3:]] == [
        ("local_only", {"site-1": "noise"}),
        ("fedavg", {"site-1": "noise"}),
    ]
    both = sweep_file(misbehave=["site-1=colluding,site-2=colluding"], folds=[0], seeds=[0])
    assert {tuple(each.misbehaviour) for each in plan_runs(read_sweep(both))} == {("site-1", "site-2")}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["fedavgg"]}, "there is no job named 'fedavgg'"),
        ({"variables": {"num_round": 2}}, '"num_round" is a variable of no method; did you mean num_rounds'),
        ({"splits": {"equal": {"by": "equal", "site": 2}}}, 'has no setting "site"; did you mean sites'),
        ({"fold": [0]}, 'has no setting "fold"'),
    ],
)
def test_a_sweep_file_that_cannot_be_is_refused(sweep_file, changes, said):
    with pytest.raises(ConfigurationError, match=said.replace("?", r"\?")):
        read_sweep(sweep_file(**changes))


def test_a_dry_run_lists_what_is_left(sweep_file, tmp_path, capsys):
    path = sweep_file()
    done = plan_runs(read_sweep(path))[0]
    (tmp_path / "results").mkdir()
    write_lines(
        tmp_path / "results" / "runs.jsonl", [{**record("centralised", 0, 0, 0.1), **done.about, "id": done.id}]
    )
    words = ["sweep", str(path), str(tmp_path), "--results", str(tmp_path / "results"), "--dry-run", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["runs"], document["done"], len(document["left"])) == (12, 1, 11)
    assert main([*words, "--methods", "fedavg", "--folds", "1", "--seeds", "0"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["left"]] == ["equal, fold 1, seed 0, fedavg"]


def test_methods_over_folds_and_seeds_by_hand():
    gains = {"local_only": (0.1, 0.1), "fedavg": (0.2, 0.3), "centralised": (0.3, 0.3)}
    lines = [record(name, fold, seed, own[seed]) for name, own in gains.items() for fold in (0, 1) for seed in (0, 1)]
    alone, fedavg, central = own_patients(lines)
    assert [row["method"] for row in (alone, fedavg)] == ["local_only (2 folds, 2 seeds)", "fedavg (2 folds, 2 seeds)"]
    assert (fedavg["patients"], fedavg["seeds"], fedavg["folds"]) == (12, 2, 2)
    assert fedavg["dice"] == pytest.approx(0.8)
    assert fedavg["difference"] == pytest.approx(0.15)
    assert fedavg["worst_difference_at_a_site"] == pytest.approx(0.15)
    assert fedavg["of_centralised"] == pytest.approx(0.8 / 0.85)
    assert (alone["difference"], alone["p"]) == (None, None)
    assert central["p"] <= fedavg["p"]


def test_a_new_hospital_is_better_served_by_the_mean_or_the_best_of_single_models():
    lines = [
        record("fedavg", 0, 0, 0.2, elsewhere=[elsewhere("common", 0.8)]),
        record("local_only", 0, 0, 0.2, elsewhere=[elsewhere("site-0", 0.6), elsewhere("site-1", 0.7)]),
    ]
    dice = {row["model"]: row["dice"] for row in new_hospitals(lines)}
    assert dice == pytest.approx(
        {"fedavg": 0.8, "local_only: mean of the hospitals' models": 0.65, "local_only: best of them": 0.7}
    )
    left = [
        record("fedavg", 0, 0, 0.2, left_out=site, elsewhere=[elsewhere("common", dice, site)])
        for site, dice in (("site-0", 0.5), ("site-1", 0.9))
    ]
    (row,) = new_hospitals(left)
    assert (row["where"], row["runs"], row["patients"]) == ("hospital left out", 2, 12)
    assert row["dice"] == pytest.approx(0.7)
    assert own_patients(left) == []


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex"])
def test_compare_prints_every_form(tmp_path, capsys, form):
    lines = [record("local_only", 0, 0, 0.1), record("fedavg", 0, 0, 0.2, elsewhere=[elsewhere("common", 0.8)])]
    path = write_lines(tmp_path / "runs.jsonl", lines)
    assert main(["compare", str(path), "--format", form]) == 0
    said = capsys.readouterr().out
    assert "fedavg" in said
    if form == "csv":
        (_, fedavg) = list(csv.DictReader(io.StringIO(said.split("\n\n")[0])))
        assert float(fedavg["difference"]) == pytest.approx(0.1)
    else:
        assert "one seed" in said
    if form == "latex":
        assert said.count("\\toprule") == 2


def test_compare_reads_results_folders_and_says_what_is_no_line(trained_results, tmp_path, capsys):
    assert main(["compare", str(trained_results), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["own_patients"]
    assert row["method"] == "centralised"
    assert row["low"] is None
    assert len(row["values"]) == row["patients"] == 2
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    assert main(["compare", str(tmp_path / "other.jsonl")]) == 1
    assert "no file of lines" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.end_to_end
def test_a_sweep_for_real_is_resumed_and_compared(tmp_path, sweep_file, capsys):
    tiny = {"num_rounds": 1, "local_steps": 1, "network": "tiny", "patch_size": [16, 16, 16]}
    assert main(["phantom", str(tmp_path / "made"), "--sites", "1", "--cases", "6", "--spacing-mm", "6"]) == 0
    cases = next(path for path in (tmp_path / "made").iterdir() if path.is_dir())
    path = sweep_file(folds=[0], seeds=[0], methods=["fedavg", "centralised"], variables=tiny)
    words = [
        "sweep",
        str(path),
        str(cases),
        "--results",
        str(tmp_path / "r"),
        "--runs",
        str(tmp_path / "runs"),
        "--json",
    ]
    capsys.readouterr()
    assert main([*words, "--methods", "centralised", "--outside", str(cases)]) == 0
    assert main(words) == 0
    lines = (tmp_path / "r" / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["centralised", "fedavg"]
    capsys.readouterr()  # the documents of the sweeps
    assert main(["compare", str(tmp_path / "r"), "--against", "fedavg", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["own_patients"]) == 2


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"split": None}, [], "line 1 has no split"),
        ({"patients": []}, [], "line 1 has no patients with a site and a Dice"),
        ({"patients": [3]}, [], "is no file of lines that `fedbrats sweep` writes"),
        ({}, ["--splits", "unequal"], "no run has the split unequal; there are: equal"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(changes, words, said, tmp_path, capsys):
    line = {name: value for name, value in {**record("fedavg", 0, 0, 0.0), **changes}.items() if value is not None}
    lines = write_lines(tmp_path / "runs.jsonl", [line])
    assert main(["compare", str(lines), *words]) == 1
    assert said in capsys.readouterr().err


def test_a_method_that_is_not_there_gives_no_difference_and_says_so(tmp_path, capsys):
    lines = write_lines(tmp_path / "runs.jsonl", [record("fedavg", 0, 0, 0.0), record("fedper", 0, 0, 0.1)])
    assert main(["compare", str(lines), "--against", "nobody"]) == 0
    assert "no differences: nobody is not among the methods" in capsys.readouterr().out


def test_latex_shows_every_sign_of_a_name():
    assert _latex(["a", "b"], [["x_{1}\\", "< 5 %"]]).splitlines()[4] == (r"x\_\{1\}\textbackslash{} & $<$ 5 \% \\")
