"""Hospitals whose data is wrong, in a real federation: what sees it, and what the others make of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.data.cases.case import SEGMENTATION, Case
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.check.checks import check_case
from fedbrats.data.check.problems import ERROR
from fedbrats.data.regions import BRATS_2018
from fedbrats.rows import ROWS_FILE, Row, read_rows
from tests.data.broken import copy_case, rewrite
from tests.faults.catalogue import ENDED, SURVIVED, fault
from tests.faults.site import Site

KINDS = {  # what is done: what `fedbrats check` says of files that are wrong in this way
    "shuffled-labels": "nothing for a case whose tumour lies inside the brain",
    "swapped-labels": "nothing: both values are known",
    "missing-modality": "an error: empty-image, and the case is not prepared",
    "exchanged-modalities": "exchanged-modalities",
    "flipped-anatomy": "tumour-outside-brain or nothing, as the tumour lies",
}
UNREADABLE = f"site-{len(KINDS) + 2}"  # site-1 is honest, then one of each kind


@pytest.fixture(scope="module")
def rows(phantom_sites: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Two rounds with an honest site, one of each kind, and one none of whose images can be read."""
    folder = tmp_path_factory.mktemp("trouble")
    for number in range(1, len(KINDS) + 3):
        shutil.copytree(phantom_sites / "site-2", folder / "sites" / f"site-{number}", symlinks=True)
    for path in (folder / "sites" / UNREADABLE).rglob("*_t1.nii.gz"):
        os.truncate(path, 100)
    words = ["contribution", "--data", folder / "sites", "--results", folder / "results", "--cache", folder / "cache"]
    for number, kind in enumerate(KINDS, start=2):
        words += ["--misbehave", f"site-{number}={kind}"]
    for setting in ("network=tiny", "spacing_mm=8.0", "local_steps=2", "num_rounds=2", "final_flips=false"):
        words += ["--set", setting]
    assert main(["simulate", *map(str, words)]) == 0
    (results,) = (folder / "results").iterdir()
    model = torch.load(results / "global_model.pt", weights_only=True)["model"]
    assert all(np.isfinite(np.asarray(value)).all() for value in model.values())
    return read_rows(results / ROWS_FILE)


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            kind,
            marks=fault(
                f"a site with {kind.replace('-', ' ')}",
                injected="in its prepared cases, in a real federation with the Contribution Factor",
                detected=f"its update is sound, so no gate sees it; its rows of Dice and weight show it; of its files "
                f"`fedbrats check` says {said}",
                outcome=f"{SURVIVED}: the job completes, the model is finite, an honest site is scored",
            ),
        )
        for kind, said in KINDS.items()
    ],
)
def test_wrong_data_stops_nobody(rows, kind):
    site = f"site-{list(KINDS).index(kind) + 2}"
    answers = [row for row in rows if row["kind"] == "site" and row["site"] == site]
    assert [row["accepted"] for row in answers] == [True, True]
    weights = [row for row in rows if row["kind"] == "weight" and row["site"] == site]
    assert [row["round"] for row in weights] == [0, 1]
    assert all(0 <= row["weight"] <= 1 for row in weights)
    final = {row["site"] for row in rows if row["kind"] == "metrics" and row["stage"] == "final" and row["dice"]}
    assert "site-1" in final


@pytest.mark.end_to_end
@fault(
    "a site that can read none of its images",
    injected="every T1 of a site cut to 100 bytes, in a real federation",
    detected="one sentence in the site's log; `refusal` rows `failed` at the server, and no evaluation",
    outcome=f"{SURVIVED}: the job completes with the others",
)
def test_a_site_without_one_readable_case_fails_aloud_and_the_others_go_on(rows):
    rounds = [row for row in rows if row["kind"] == "round"]
    assert all(len(row["answered"]) == len(KINDS) + 1 for row in rounds)
    refusals = [row for row in rows if row["kind"] == "refusal" and row["site"] == UNREADABLE]
    assert {row["round"] for row in refusals if row["reason"] == "failed"} == {row["round"] for row in rounds}
    assert {row["reason"] for row in refusals} <= {"failed", "no-evaluation"}


@fault(
    "a site with zero cases",
    injected="a datalist without one training case, in the site's folder",
    detected="one sentence in the site's log; `fedbrats poc` and `simulate` say it before anything starts",
    outcome=f"{ENDED}: the site trains nothing until it has a case",
)
def test_a_site_with_zero_cases_says_so(tmp_path, phantom_sites, caplog):
    shutil.copytree(phantom_sites, tmp_path / "sites", symlinks=True)
    path = tmp_path / "sites" / "site-1" / "datalist.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": []}))
    assert Site(tmp_path, tmp_path / "sites").answer(0).get_return_code() == "EXECUTION_EXCEPTION"
    assert "site site-1 has no training case that can be used (0 of its cases were rejected)" in caplog.text
    assert "Traceback" not in caplog.text
    assert main(["poc", "run", "fedavg", "--data", str(tmp_path / "sites"), "--workspace", str(tmp_path / "poc")]) == 1


def _spoil(case: Case, kind: str, other: Case) -> None:
    """Do to the files of a case what the trouble-maker does to a prepared one."""
    if kind == "shuffled-labels":
        shutil.copyfile(other.files[SEGMENTATION], case.files[SEGMENTATION])
    elif kind == "swapped-labels":
        rewrite(case, SEGMENTATION, lambda v: np.where(v == 1, 4, np.where(v == 4, 1, v)).astype(v.dtype))
    elif kind == "missing-modality":
        rewrite(case, "flair", np.zeros_like)
    elif kind == "exchanged-modalities":
        for mine, theirs in (("t1ce", "flair"), ("flair", "t1ce")):
            shutil.copyfile(other.files[theirs], case.files[mine])
    else:
        for modality in case.images:
            rewrite(case, modality, lambda v: v[:, :, ::-1])


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_check_sees_of_such_files(tmp_path, phantom_sites, kind):
    """The table says what `fedbrats check` sees; this is where it is looked at."""
    one, two = read_datalist(phantom_sites / "site-1").training[:2]
    case = copy_case(one, tmp_path, "BraTS20_Training_001")
    _spoil(case, kind, one if kind == "exchanged-modalities" else two)
    problems = check_case(case, BRATS_2018)
    kinds = {problem.kind for problem in problems}
    expected = {
        "shuffled-labels": [set(), {"tumour-outside-brain"}],
        "swapped-labels": [set()],
        "missing-modality": [{"empty-image"}],
        "exchanged-modalities": [{"exchanged-modalities"}],
        "flipped-anatomy": [set(), {"tumour-outside-brain"}],
    }
    assert kinds in expected[kind], problems
    assert (kind in ("missing-modality", "exchanged-modalities")) == any(p.severity == ERROR for p in problems)
