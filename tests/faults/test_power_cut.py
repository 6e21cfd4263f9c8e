"""The power fails between every two file operations of every atomic write: a reader then sees the old or the new."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedbrats.atomic import append_lines, new_folder, write_json_atomic
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CacheSettings, prepare_case
from fedbrats.data.regions import BRATS_2018
from fedbrats.rows import read_rows
from fedbrats.site.personal import load_personal, save_personal
from tests.faults.catalogue import SURVIVED, fault
from tests.faults.power_cut import cut_power_at

READER = "whoever reads next finds the old content or the new, each whole"
HOW = "the process ends before operation k, for every k; what was not flushed is cut to half"


def cut_everywhere(disk: Path, prepare: Callable[[], None], work: Callable[[], None], look: Callable[[], None]) -> int:
    """Cut the power at every operation in turn, from the same beginning each time; returns how many there are."""
    operation = 0
    while True:
        shutil.rmtree(disk, ignore_errors=True)
        disk.mkdir()
        prepare()
        ended = cut_power_at(operation, work, disk)
        look()
        if ended:
            return operation
        operation += 1


@fault(
    "power cut while a document is written",
    injected=HOW,
    detected=READER,
    outcome=f"{SURVIVED}, nothing lost: the old document or the new one",
)
def test_a_document_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "disk" / "document.json"
    seen = set()

    def look():
        seen.add(json.loads(path.read_text())["is"])

    count = cut_everywhere(
        path.parent,
        lambda: write_json_atomic(path, {"is": "old", "with": list(range(5000))}),
        lambda: write_json_atomic(path, {"is": "new", "with": list(range(5000))}),
        look,
    )
    assert seen == {"old", "new"}
    assert count >= 5  # temporary file, fsync, chmod, rename, fsync of the folder


@fault(
    "power cut while personal weights are written",
    injected=HOW,
    detected=READER,
    outcome=f"{SURVIVED}: a site goes on with its weights of this round or of the one before",
)
def test_personal_weights_are_of_one_round(tmp_path):
    disk = tmp_path / "disk"

    def weights(number: int) -> dict[str, np.ndarray]:
        return {name: np.full(3000, number, np.float32) for name in ("head.weight", "head.bias")}

    def look():
        values = {float(each) for array in load_personal(disk).values() for each in np.unique(array)}
        assert values in ({1.0}, {2.0})

    cut_everywhere(disk, lambda: save_personal(disk, weights(1)), lambda: save_personal(disk, weights(2)), look)


@fault(
    "power cut while a folder is replaced",
    injected=HOW,
    detected=READER,
    outcome=f"{SURVIVED}: the old folder or the new one, with all of its files",
)
def test_a_folder_is_the_old_one_or_the_new_one(tmp_path):
    folder = tmp_path / "disk" / "sites"
    seen = set()

    def fill(word: str) -> None:
        with new_folder(folder) as new:
            for name in ("a", "b"):
                (new / name).mkdir()
                (new / name / "datalist.json").write_text(word * 100)

    def look():
        found = {path.read_text() for path in folder.rglob("datalist.json")}
        assert len(list(folder.iterdir())) == 2
        assert found in ({"old" * 100}, {"new" * 100})
        seen.update(found)

    cut_everywhere(folder.parent, lambda: fill("old"), lambda: fill("new"), look)
    assert len(seen) == 2


@pytest.mark.parametrize("before", ["nothing", "corrupt"])
@fault(
    "power cut while the cache publishes a case",
    injected=HOW + "; with an empty cache and with a corrupt entry",
    detected="an entry is opened with its checksums; one that is not whole is rebuilt, and said",
    outcome=f"{SURVIVED}: the next process has the very same case",
)
def test_a_prepared_case_is_whole_or_prepared_again(tmp_path, phantom_sites, before):
    disk = tmp_path / "disk"
    case = read_datalist(phantom_sites / "site-1").training[0]
    settings = CacheSettings(spacing_mm=8.0)
    expected = np.array(prepare_case(case, BRATS_2018, tmp_path / "elsewhere", settings).image)

    def spoil() -> None:
        if before == "corrupt":
            shutil.copytree(tmp_path / "elsewhere", disk, dirs_exist_ok=True)
            for path in disk.glob("*/image.npy"):
                os.truncate(path, 300)

    def look():
        np.testing.assert_array_equal(prepare_case(case, BRATS_2018, disk, settings).image, expected)
        assert len(list(disk.glob("[!.]*/entry.json"))) == 1

    count = cut_everywhere(disk, spoil, lambda: prepare_case(case, BRATS_2018, disk, settings), look)
    assert count >= 10


@fault(
    "a process killed while it writes rows",
    injected="half a line at the end of the rows, as a kill in the middle of a write leaves it",
    detected="the reader leaves half a line out; the next writer cuts it off",
    outcome=f"{SURVIVED}: every whole row stays readable, before and after the restart",
)
@pytest.mark.parametrize("torn", ["", '{"kind": "ro', '{"kind": "' + "x" * 10_000])
def test_half_a_row_harms_no_other(tmp_path, torn):
    path = tmp_path / "rows.jsonl"
    append_lines(path, ['{"kind": "job"}', '{"kind": "round"}'])
    with path.open("a") as stream:
        stream.write(torn)
    assert [row["kind"] for row in read_rows(path)] == ["job", "round"]
    append_lines(path, ['{"kind": "end"}'])
    assert [row["kind"] for row in read_rows(path)] == ["job", "round", "end"]
