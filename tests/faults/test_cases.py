"""Cases that break while a site trains: each is left out with a row that stays at the site, and the round goes on."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_constant import ReturnCode

from fedbrats.data.prepare.cache import CachedCase
from fedbrats.flare.protocol import REPORT_KEY
from tests.faults.catalogue import ENDED, SURVIVED, fault
from tests.faults.site import Site

HEADER = 128  # bytes of an .npy file before its values


def image_of(case: CachedCase) -> Path:
    return case.files[0][0]


def mask_of(case: CachedCase) -> Path:
    return case.files[1][0]


def write_into(path: Path, content: bytes) -> None:
    """Change values in place, as a decaying disk does: the size stays."""
    with path.open("r+b") as stream:
        stream.seek(HEADER)
        stream.write(content)


def vanish(case: CachedCase) -> None:
    shutil.rmtree(image_of(case).parent)


def replace_folder_by_file(case: CachedCase) -> None:
    folder = image_of(case).parent
    folder.rename(folder.with_suffix(".moved"))
    folder.write_text("not a folder")


def put_mask_of_another_grid(case: CachedCase) -> None:
    with mask_of(case).open("wb") as stream:
        np.save(stream, np.zeros((3, 5, 5, 5), np.uint8))


ROW = "the site's cases.jsonl names it, the server's row counts it"
LEFT_OUT = f"{SURVIVED}: the case is left out from then on, the round goes on without it"
BREAKAGES = [
    pytest.param(break_it, why, marks=fault(name, injected=how, detected=ROW, outcome=LEFT_OUT), id=name)
    for name, how, break_it, why in [
        ("a prepared case truncated while training", "cache file cut to half between two rounds",
         lambda case: os.truncate(image_of(case), 1000), "has 1000 bytes"),
        ("a prepared case vanished while training", "cache entry removed between two rounds", vanish, "cannot be read"),
        ("a prepared case unreadable while training", "its folder turns into a file", replace_folder_by_file,
         "cannot be read"),
        ("NaN in a prepared case", "bytes of the mapped image overwritten in place",
         lambda case: write_into(image_of(case), b"\xff\xff" * case.image.size), "NaN"),
        ("a mask on another grid", "the mapped mask replaced by a smaller one", put_mask_of_another_grid, "bytes"),
        ("an unknown value in a prepared mask", "bytes of the mapped mask overwritten by 7",
         lambda case: write_into(mask_of(case), b"\x07" * case.mask.size), "neither 0 nor 1"),
    ]
]  # fmt: skip


@pytest.mark.parametrize(("break_it", "why"), BREAKAGES)
def test_a_case_that_breaks_is_left_out_with_a_row_and_the_round_goes_on(
    tmp_path: Path, phantom_sites: Path, caplog, break_it: Callable[[CachedCase], None], why: str
):
    site = Site(tmp_path, phantom_sites)
    assert site.report(0)["rejected_cases"] == 0
    broken = site.executor._site.trainer.training[1]
    break_it(broken)
    with caplog.at_level(logging.WARNING):
        reply = site.answer(1)
    report = from_shareable(reply).get_meta_prop(REPORT_KEY)
    assert report["training_cases"] == 3
    assert report["rejected_cases"] == 1
    assert report["steps"] == 4
    [row] = site.left_out()
    assert row["rejected"] == broken.name
    assert row["round"] == 1
    assert why in row["reason"]
    assert "1 cases are left out" in caplog.text
    assert broken.name not in caplog.text
    assert broken.name.encode() not in pickle.dumps(reply)
    assert site.report(2)["rejected_cases"] == 1  # still out, and said once
    assert len(site.left_out()) == 1


@fault(
    "a validation case that breaks",
    injected="its cache file cut between two rounds",
    detected=ROW,
    outcome=f"{SURVIVED}: the site trains on and says no Dice, for none of its validation cases is left",
)
def test_a_broken_validation_case_has_no_score(tmp_path, phantom_sites):
    site = Site(tmp_path, phantom_sites)
    site.report(0)
    [case] = site.executor._site.trainer.evaluation.cases
    os.truncate(mask_of(case), 500)
    report = site.report(1)
    assert report["validation_cases"] == 0
    assert report["received"] is report["trained"] is None
    assert report["training_cases"] == 4
    assert [row["rejected"] for row in site.left_out()] == [case.name]
    assert from_shareable(site.answer(task="validate")).data == {
        "validation_cases": 0,
        "metrics": None,
        "own_personal": False,
    }


@fault(
    "more bad cases than a site allows",
    injected="three of five cache entries cut while training (max_bad_share 0.5)",
    detected="one sentence in the site's log, a row a case in its cases.jsonl; the server hears an error",
    outcome=f"{ENDED}: the site trains no more in this job until somebody has looked",
)
def test_too_many_bad_cases_stop_the_site_loudly_and_for_good(tmp_path, phantom_sites, caplog):
    site = Site(tmp_path, phantom_sites)
    site.report(0)
    for case in site.executor._site.trainer.training[:3]:
        os.truncate(image_of(case), 500)
    with caplog.at_level(logging.ERROR):
        assert site.answer(1).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
        assert site.answer(2).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert caplog.text.count("site site-1 stops: 3 of its 5 cases cannot be used") == 2
    assert "Traceback" not in caplog.text
    assert len(site.left_out()) == 3


@fault(
    "a cache emptied while training",
    injected="the whole cache folder removed between two rounds",
    detected="one sentence in the site's log, a row a case in its cases.jsonl",
    outcome=f"{ENDED}: no case is left; a restart of the job prepares them anew",
)
def test_an_emptied_cache_stops_the_site_and_a_restart_prepares_anew(tmp_path, phantom_sites, caplog):
    site = Site(tmp_path, phantom_sites)
    site.report(0)
    shutil.rmtree(tmp_path / "cache")
    with caplog.at_level(logging.ERROR):
        assert site.answer(1).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "site site-1 stops" in caplog.text
    assert len(site.left_out()) == 5
    assert Site(tmp_path, phantom_sites).report(1)["training_cases"] == 4


@pytest.mark.parametrize(("share", "stops"), [(0.0, True), (0.2, False), (1.0, False)])
def test_the_share_is_the_sites_own(tmp_path, phantom_sites, share, stops):
    site = Site(tmp_path, phantom_sites, {"max_bad_share": share})
    site.report(0)
    os.truncate(image_of(site.executor._site.trainer.training[0]), 500)
    assert (site.answer(1).get_return_code() == ReturnCode.EXECUTION_EXCEPTION) == stops
