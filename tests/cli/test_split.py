"""`fedbrats split`: the sites folder that it writes, what it prints, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from fedbrats.cli.cases.findings import tell_recorded
from fedbrats.cli.main import main
from fedbrats.data.cases.case import find_cases
from fedbrats.data.cases.datalist import find_sites, read_datalist
from tests.data.broken import BREAKAGES, copy_case


def split(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    """The document of `fedbrats split ... --json`."""
    assert main(["split", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_sites_are_written_with_their_record(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sites"
    document = split(capsys, phantom_sites, "--sites", 2, "--by", "equal", "--seed", 3, "--out", out)
    assert document["convention"] == "brats-2018"
    assert document["dropped"] == {}
    assert {name: site["cases"] for name, site in document["sites"].items()} == {"site-1": 4, "site-2": 4}
    assert all(site["tumour_ml"] > 0 and site["grades"] == [] for site in document["sites"].values())
    datalists = [read_datalist(site) for site in find_sites(out)]
    assert sorted(case.name for d in datalists for case in d.cases) == [c.name for c in find_cases(phantom_sites)]
    assert all(path.is_symlink() and path.is_file() for d in datalists for c in d.cases for path in c.files.values())
    record = json.loads((out / "split.json").read_text())
    assert record["settings"]["seed"] == 3
    assert record["settings"]["by"] == "equal"
    assert record["source"] == str(phantom_sites)
    assert record["sites"]["site-1"] == {"cases": 4, "patients": 4, "training": 3, "validation": 1, "test": 0}


def test_the_same_arguments_make_the_same_sites(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "other"):
        split(capsys, phantom_sites, "--sites", 2, "--by", "dirichlet:1", "--copy", "--out", tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 8 * 5 + 3
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "other" / f).read_bytes() for f in files)


@pytest.mark.parametrize(
    ("breakage", "said"),
    [("truncated", "unreadable"), ("unplaced", "unplaced: t2 does not say how its voxels lie in the patient")],
)
def test_table_says_what_was_left_out(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], breakage: str, said: str
) -> None:
    source = tmp_path / "source"
    split(capsys, phantom_sites, "--sites", 1, "--copy", "--out", source)
    broken = find_cases(source)[2]
    BREAKAGES[breakage].apply(broken)
    assert main(["split", str(source), "--sites", "2", "--by", "unequal", "--out", str(tmp_path / "sites")]) == 0
    out = capsys.readouterr().out
    assert f"left out: {broken.name}: {said}" in out
    assert "label convention: brats-2018 (ET=4)" in out
    assert sum(len(read_datalist(site).cases) for site in find_sites(tmp_path / "sites")) == 7


def test_an_existing_folder_is_replaced_only_by_force(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["split", str(phantom_sites), "--out", str(tmp_path / "sites"), "--sites"]
    assert main([*arguments, "2"]) == 0
    assert main([*arguments, "1"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert len(find_sites(tmp_path / "sites")) == 2
    assert main([*arguments, "1", "--force"]) == 0
    assert len(find_sites(tmp_path / "sites")) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--by", "equal"], "--by equal needs --sites N"),
        (["--sites", "20"], "cannot be shared out to 20 sites"),
        (["--sites", "2", "--fold", "9"], "no case is in fold 9"),
        (["--sites", "8", "--fold", "0"], "would have no training case"),
    ],
)
def test_what_cannot_be_split_leaves_nothing(
    phantom_sites: Path, tmp_path: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    is_usage = "training case" not in complaint and "shared out" not in complaint
    assert main(["split", str(phantom_sites), "--out", str(tmp_path / "sites"), *arguments]) == (2 if is_usage else 1)
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def unfit(phantom_sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantoms with a broken T2 in each case but the first, which has no segmentation."""
    folder = tmp_path_factory.mktemp("unfit") / "source"
    assert main(["split", str(phantom_sites), "--sites", "1", "--copy", "--out", str(folder)]) == 0
    first, *rest = find_cases(folder)
    assert first.label is not None
    first.label.unlink()
    for case in rest:
        BREAKAGES["truncated"].apply(case)
    return folder


@pytest.mark.parametrize("by", ["equal", "institution", "grade", "TABLE:site"])
def test_without_a_fit_case_the_reasons_are_counted(
    unfit: Path, tmp_path: Path, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.csv").write_text("case,site\nx,y\n")
    words = ["--sites", "2", "--by", by.replace("TABLE", str(tmp_path / "table.csv"))]
    assert main(["split", str(unfit), *words, "--out", str(tmp_path / "sites")]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "none of the 8 cases can be trained on (unreadable: 7, there is no segmentation: 1)" in said
    assert "run `fedbrats check`" in said
    assert not (tmp_path / "sites").exists()


def test_a_ragged_table_is_read_or_refused_in_one_sentence(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [case.name for case in find_cases(phantom_sites)]
    table = tmp_path / "table.csv"
    table.write_text("case,site,note\n" + "".join(f"{name},{'ab'[k % 2]}\n" for k, name in enumerate(names)))
    document = split(capsys, phantom_sites, "--by", f"{table}:site", "--out", tmp_path / "short")
    assert {name: site["cases"] for name, site in document["sites"].items()} == {"a": 4, "b": 4}
    table.write_text("case,site\n" + "".join(f"{name},a,too,much\n" for name in names))
    document = split(capsys, phantom_sites, "--by", f"{table}:site", "--out", tmp_path / "long")
    assert document["sites"]["a"]["cases"] == 8
    table.write_text("case,site\n" + "".join(f"{name}\n" for name in names))
    assert main(["split", str(phantom_sites), "--by", f"{table}:site", "--out", str(tmp_path / "sites")]) == 1
    assert f"says nothing in column site about case {names[0]}" in capsys.readouterr().err


def test_a_folder_without_cases_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["split", str(tmp_path / "empty"), "--sites", "2", "--out", str(tmp_path / "sites")]) == 1
    assert "holds no case" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.real_data
def test_the_five_natural_hospitals(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mini = real_data / "brats-mini"
    document = split(capsys, mini, "--by", f"{mini}/cases.csv:site", "--fold", 0, "--out", tmp_path / "sites")
    sizes = {name: (site["training"], site["validation"]) for name, site in document["sites"].items()}
    assert sizes == {"brats-2013": (3, 2), "cbica-1": (9, 5), "cbica-2": (5, 3), "tcia-gbm": (5, 3), "tcia-lgg": (2, 2)}
    with (mini / "cases.csv").open(newline="") as stream:
        held_out = {row["case"] for row in csv.DictReader(stream) if row["fold"] == "0"}
    sites = [read_datalist(site) for site in find_sites(tmp_path / "sites")]
    assert {case.name for site in sites for case in site.validation} == held_out


def test_findings_are_told_once_recorded_and_told_again_by_commands_that_read_the_sites(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, case in enumerate(find_cases(phantom_sites)[:4]):
        copied = copy_case(case, tmp_path / "source", f"AB{number}_{number}")
        if number < 2:
            BREAKAGES["half-flair"].apply(copied)
        if number == 2:
            BREAKAGES["exchanged-t1-t2"].apply(copied)
    sites = tmp_path / "sites"
    words = ["split", str(tmp_path / "source"), "--sites", "1", "--out", str(sites), "--convention", "brats-2018"]
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [finding["kind"] for finding in document["findings"]] == ["partial-coverage"] * 2 + ["exchanged-modalities"]
    assert list(document["dropped"]) == ["AB2_2"]  # an error is told with what was dropped
    assert err.count("partial-coverage: AB0_0 (and 1 more): flair shows only") == 1
    for folder in (sites, sites / "site-1"):
        tell_recorded("train", [folder])
        assert capsys.readouterr().err.startswith("train: warning: partial-coverage: AB0_0 (and 1 more)")
    assert len(tell_recorded("train", [sites, sites / "site-1"])) == 2
    assert "train: `fedbrats check FOLDER` shows all" in capsys.readouterr().err
    tell_recorded("train", [phantom_sites, tmp_path])
    assert capsys.readouterr().err == ""


def test_a_site_that_cannot_validate_is_never_made_in_silence(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [case.name for case in find_cases(phantom_sites)]
    table = tmp_path / "table.csv"
    table.write_text(
        "case,site\n" + "".join(f"{name},{'alone' if k == 0 else 'big'}\n" for k, name in enumerate(names))
    )
    words = ["split", str(phantom_sites), "--by", f"{table}:site", "--out", str(tmp_path / "sites"), "--json"]
    assert main([*words, "--strict"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert "warning: alone has no validation case: it has one patient, who trains" in captured.err
    assert "note: big: validation has 2 of 7 patients (29%, asked: 20%)" in captured.err
    assert document["sites"]["big"]["validation"] == 2  # 0.2 of 7 is 1
    assert [remark["severity"] for remark in document["remarks"]] == ["warning", "note"]
