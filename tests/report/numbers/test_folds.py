"""Folds of a cross-validation count as one method, and nothing else does."""

import json

import pytest

from fedbrats.report.numbers.comparison import compare
from fedbrats.report.numbers.folds import pool_folds
from fedbrats.report.numbers.results import read_results
from fedbrats.report.page.page import write_page
from tests.report.conftest import SITES


@pytest.fixture
def make_fold(make_results, tmp_path):
    """A run of a job whose patients belong to a fold alone."""

    def make(job, fold, gain):
        folder = make_results(tmp_path / f"fold-{fold}" / "none" / job, job, gain)
        for path in folder.glob("sites/*/cases.jsonl"):
            path.write_text(path.read_text().replace("patient-", f"patient-{fold}-"))
        return folder

    return make


def test_the_folds_of_a_method_are_pooled_over_patients_and_over_sites(make_fold):
    runs = read_results([make_fold(job, fold, 0.1 + 0.1 * fold) for fold in (0, 1) for job in ("fedavg", "fedper")])
    assert [run.name for run in runs] == [
        "fedavg (fold-0)",
        "fedper (fold-0)",
        "fedavg (fold-1)",
        "fedper (fold-1)",
    ]
    methods = pool_folds(runs)
    assert [method.name for method in methods] == ["fedavg (2 folds)", "fedper (2 folds)"]
    table = compare(methods)
    assert table["fedavg (2 folds)"]["mean"].interval.patients == 24
    one, other = (run.dice_by_patient("mean") for run in runs if run.method == "fedavg")
    mean = sum([*one.values(), *other.values()]) / 24
    assert table["fedavg (2 folds)"]["mean"].dice == pytest.approx(mean)
    by_site = [run.final_dice("mean")["north"] for run in runs if run.method == "fedavg"]
    assert methods[0].final_dice("mean")["north"] == pytest.approx(sum(by_site) / 2)
    page = write_page(runs, "Folds")
    assert "fedavg (2 folds)" in page
    assert "fedavg (fold-1): learning curve" in page


def test_a_refused_answer_says_nothing_of_a_sites_size_or_data(make_fold):
    folder = make_fold("fedavg", 0, 0.1)
    (honest,) = read_results([folder])
    lie = {
        "kind": "site",
        "round": 1,
        "site": SITES[0],
        "accepted": False,
        "training_cases": 10**9,
        "manifest": "other",
    }
    with (folder / "rows.jsonl").open("a") as rows:
        rows.write(json.dumps(lie) + "\n")
    (lied_to,) = read_results([folder])
    assert lied_to.site_sizes == honest.site_sizes
    assert lied_to._manifests() == honest._manifests()


def test_runs_that_share_a_patient_or_do_not_say_their_patients_stay_apart(make_results, make_fold, tmp_path):
    twice = read_results([make_results(tmp_path / name, "fedavg", 0.1) for name in ("seed-0", "seed-1")])
    assert pool_folds(twice) == twice
    assert [run.name for run in twice] == ["fedavg (seed-0)", "fedavg (seed-1)"]
    folders = [make_fold("fedavg", fold, 0.1) for fold in (0, 1)]
    for path in folders[1].glob("sites/*/cases.jsonl"):
        path.unlink()
    silent = read_results(folders)
    assert pool_folds(silent) == silent


def test_runs_with_other_variables_stay_apart(make_fold):
    folders = [make_fold("fedavg", fold, 0.1) for fold in (0, 1)]
    summary = json.loads((folders[1] / "summary.json").read_text())
    summary["variables"]["compression"] = "int8"
    (folders[1] / "summary.json").write_text(json.dumps(summary))
    runs = read_results(folders)
    assert pool_folds(runs) == runs


@pytest.mark.parametrize(("old", "new"), [('"training_cases": 9', '"training_cases": 10'), ('"west"', '"east"')])
def test_runs_of_other_sites_or_of_sites_of_other_sizes_are_no_folds(make_fold, old, new):
    folders = [make_fold("fedavg", fold, 0.1) for fold in (0, 1)]
    path = folders[1] / "rows.jsonl"
    path.write_text(path.read_text().replace(old, new))
    runs = read_results(folders)
    assert pool_folds(runs) == runs


def test_trainings_like_different_jobs_are_different_methods(make_fold):
    folders = [make_fold(job, fold, 0.1) for fold in (0, 1) for job in ("fedavg", "fedper")]
    for folder in folders:
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps({**summary, "job": "train", "like": summary["job"]}))
    methods = pool_folds(read_results(folders))
    assert [run.name for run in methods] == ["train like fedavg (2 folds)", "train like fedper (2 folds)"]


def rename(folder, patient_of):
    """Give the patients of a results folder other names; patient_of is asked with the site's and the case's number."""
    for number, site in enumerate(SITES):
        path = folder / "sites" / site / "cases.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        changed = [{**row, "patient": patient_of(number, k)} for k, row in enumerate(rows)]
        path.write_text("".join(json.dumps(row) + "\n" for row in changed))


def test_hospitals_that_call_their_patients_alike_have_different_patients(make_fold):
    folders = [make_fold("fedavg", fold, 0.1) for fold in (0, 1)]
    for fold, folder in enumerate(folders):
        rename(folder, lambda site, k, fold=fold: f"{4 * ((fold + site) % 2) + k:03d}")
    [method] = pool_folds(read_results(folders))
    assert method.scored == 24
    assert compare([method])[method.name]["mean"].interval.patients == 24


def test_a_patient_who_is_at_another_site_in_another_run_makes_them_no_folds(make_fold):
    folders = [make_fold("fedavg", fold, 0.1) for fold in (0, 1)]
    for fold, folder in enumerate(folders):
        rename(folder, lambda site, k, fold=fold: f"{(site + fold) % 3}-{k}")
    runs = read_results(folders)
    assert pool_folds(runs) == runs


def test_a_sites_dice_over_folds_is_weighed_by_its_cases(make_fold):
    folders = [make_fold("fedavg", fold, 0.1 + 0.1 * fold) for fold in (0, 1)]
    path = folders[0] / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    changed = [{**row, **({"cases": 12} if "cases" in row else {})} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in changed))
    runs = read_results(folders)
    first, second = (run.final_dice("mean")["west"] for run in runs)
    assert pool_folds(runs)[0].final_dice("mean")["west"] == pytest.approx((3 * first + second) / 4)


@pytest.fixture
def make_seed(make_results, tmp_path):
    def make(job, seed, gain):
        folder = make_results(tmp_path / f"seed-{seed}" / job, job, gain)
        summary = json.loads((folder / "summary.json").read_text())
        summary["variables"]["seed"] = seed
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make


def test_seeds_of_a_method_are_one_method_whose_interval_draws_them(make_seed):
    gains = {("fedavg", 0): 0.10, ("fedavg", 1): 0.20, ("fedper", 0): 0.15, ("fedper", 1): 0.18}
    methods = pool_folds(read_results([make_seed(*key, gain) for key, gain in gains.items()]))
    assert [(method.name, method.seeds) for method in methods] == [("fedavg (2 seeds)", 2), ("fedper (2 seeds)", 2)]
    table = compare(methods)
    worse = table["fedavg (2 seeds)"]["mean"]
    assert worse.dice == pytest.approx(sum(methods[0].by_seed[k].dice_by_patient("mean")[p] for k in (0, 1)
                                           for p in methods[0].mean_dice) / 24)  # fmt: skip
    assert (worse.seeds, worse.is_tie) == (2, True)
    assert "2 seeds" in write_page(read_results([make_seed(*key, gain) for key, gain in gains.items()]), "Seeds")


def test_one_seed_is_said_beside_p_and_few_patients_have_neither_p_nor_interval(make_seed):
    runs = [make_seed("fedavg", 0, 0.1), make_seed("fedper", 0, 0.2)]
    assert ", one seed" in write_page(read_results(runs), "One seed")
    for folder in runs:
        for path in folder.glob("sites/*/cases.jsonl"):
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(lines[: 2 if path.parent.name != "west" else 1]))
    table = compare(read_results(runs))
    cells = [cells["mean"] for cells in table.values()]
    assert [(cell.interval, cell.p, len(cell.values)) for cell in cells] == [(None, None, 5)] * 2


def test_other_budgets_variables_and_harm_are_said_beside_the_table(make_seed):
    runs = [make_seed("fedavg", 0, 0.1), make_seed("fedper", 0, 0.2)]
    summary = json.loads((runs[1] / "summary.json").read_text())
    summary["variables"]["learning_rate"], summary["misbehaviour"] = 0.1, {"west": "sign-flip"}
    (runs[1] / "summary.json").write_text(json.dumps(summary))
    lines = (runs[1] / "rows.jsonl").read_text().splitlines()
    (runs[1] / "rows.jsonl").write_text("\n".join(line for line in lines if '"round": 2' not in line) + "\n")
    page = write_page(read_results(runs), "Unlike")
    assert "fedper with west=sign-flip" in page
    assert "The budgets differ" in page
