"""Disks that are full, and a cache that decays or is shared: said in one sentence, and nothing is lost."""

from __future__ import annotations

import logging
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_constant import ReturnCode

from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CacheSettings, prepare_cases
from fedbrats.flare.server.recorder import Recorder
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer
from fedbrats.site.personal import load_personal
from tests.faults.catalogue import SURVIVED, fault
from tests.faults.disks import small_disk
from tests.faults.site import Site
from tests.flare.conftest import JOB_ID, Federation, gated

SENTENCE = "one sentence in the site's log with the path; the server hears an error and goes on with the others"


def is_said(caplog, words: str) -> bool:
    return words in caplog.text and "Traceback" not in caplog.text


@fault(
    "disk full while caching",
    injected="the cache folder on a tmpfs of 200 kB",
    detected=SENTENCE,
    outcome=f"{SURVIVED}: nothing unfinished stays; the next round, with space, trains on every case",
)
def test_a_cache_disk_that_is_full(tmp_path, phantom_sites, caplog):
    with small_disk(tmp_path / "small", "200k") as disk:
        site = Site(tmp_path, phantom_sites, {"cache_dir": str(disk.path)})
        assert site.answer(0).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
        assert is_said(caplog, f"the cache {disk.path} cannot be written: No space left on device; free space there")
        assert not list(disk.path.glob(".unfinished-*"))
        disk.resize("64m")
        assert site.report(1)["training_cases"] == 4


@fault(
    "disk full while personal weights are kept",
    injected="their folder on a tmpfs that fills up after the first round",
    detected=SENTENCE,
    outcome=f"{SURVIVED}: the weights of the last good round stay, and the site answers again once there is space",
)
def test_a_personal_disk_that_is_full(tmp_path, phantom_sites, caplog):
    with small_disk(tmp_path / "small", "1m") as disk:
        site = Site(tmp_path, phantom_sites, {"personal_dir": str(disk.path)}, personal="all")
        assert site.answer(0).get_return_code() == ReturnCode.OK
        folder = disk.path / JOB_ID / "site-1"
        kept = load_personal(folder)
        disk.fill()
        assert site.answer(1).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
        assert is_said(caplog, "site site-1 cannot use its disk: No space left on device")
        assert all(np.array_equal(array, kept[name]) for name, array in load_personal(folder).items())
        assert not list(folder.rglob("*.tmp"))
        disk.free()
        assert site.answer(1).get_return_code() == ReturnCode.OK


@fault(
    "disk full while a training state is written",
    injected="the optimiser's state on a tmpfs that fills up",
    detected="the writer raises, naming the path",
    outcome=f"{SURVIVED}: the state of before stays whole",
)
def test_a_state_disk_that_is_full(tmp_path, phantom_sites):
    datalist = read_datalist(phantom_sites / "site-1")
    cases, _ = prepare_cases(datalist.training[:1], datalist.convention, tmp_path, CacheSettings(spacing_mm=8.0))
    settings = TrainingSettings(local_steps=1, patch_size=(16, 16, 16))
    trainer = Trainer({"preset": "tiny"}, settings, cases, seed=0, device="cpu", threads=1)
    trainer.train_round(0, 2)
    with small_disk(tmp_path / "small", "1m") as disk:
        path = disk.path / "optimiser.pt"
        trainer.optimisation.save(path)
        before = path.read_bytes()
        disk.fill()
        trainer.train_round(1, 2)
        with pytest.raises(OSError, match="No space left"):
            trainer.optimisation.save(path)
        assert path.read_bytes() == before
        trainer.optimisation.load(path)
        assert sorted(each.name for each in disk.path.iterdir()) == ["filler", "optimiser.pt"]


@fault(
    "disk full while a site records its cases",
    injected="its run folder on a tmpfs that fills up",
    detected=SENTENCE,
    outcome=f"{SURVIVED}: no half row stays, and the site answers again once there is space",
)
def test_a_run_folder_that_is_full_at_a_site(tmp_path, phantom_sites, caplog):
    with small_disk(tmp_path / "kit" / JOB_ID, "64k") as disk:
        site = Site(tmp_path, phantom_sites)
        site.report(0)
        rows = disk.path / "fedbrats" / "cases.jsonl"
        before = rows.read_text()
        # The last page of the file may have room for the rows of a round: take that, too.
        rows.write_text(before + "".join('{"round": 0}\n' for _ in range(-len(before) % 4096 // 13)))
        before = rows.read_text()
        disk.fill()
        assert site.answer(1).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
        assert is_said(caplog, "site site-1 cannot use its disk: No space left on device")
        assert rows.read_text() == before
        disk.free()
        assert site.answer(1).get_return_code() == ReturnCode.OK


@fault(
    "disk full while the server records rows",
    injected="its run folder on a tmpfs that fills up for two rounds",
    detected="an error in the server's log says how many rows wait",
    outcome=f"{SURVIVED}, nothing lost: rounds go on, the rows are written once there is space",
)
def test_a_run_folder_that_is_full_at_the_server(tmp_path, caplog):
    with small_disk(tmp_path / "server" / JOB_ID, "64k") as disk:
        federation = Federation(tmp_path / "server", gated(WeightedFedAvg), Recorder())
        path = disk.path / "fedbrats" / "rows.jsonl"

        def round_with_a_refusal(number: int) -> None:
            poisoned = federation.random_update(number)
            poisoned[min(poisoned)][...] = np.nan
            federation.round(number, {"site-1": federation.answer("site-1", number, poisoned)})

        round_with_a_refusal(0)
        path.write_text(path.read_text() + "".join('{"kind": "-"}\n' for _ in range(4096 // 14)))
        disk.fill()
        with caplog.at_level(logging.ERROR):
            for number in range(1, 40):  # until the file's last page is full, and beyond
                round_with_a_refusal(number)
        assert "rows cannot be written" in caplog.text
        assert len(federation.rows("refusal")) < 40
        disk.free()
        round_with_a_refusal(40)
        assert [row["round"] for row in federation.rows("refusal")] == list(range(41))


@pytest.mark.parametrize("damage", ["shorter", "other bytes", "gone"])
@fault(
    "corrupt cache entries",
    injected="every prepared image cut, overwritten or removed between two jobs",
    detected="checksums, when the entry is opened: the site's log says which entry is rebuilt",
    outcome=f"{SURVIVED}, nothing lost: rebuilt from the scans, and the update is the same bit for bit",
)
def test_a_corrupt_cache_is_rebuilt_and_said(tmp_path, phantom_sites, caplog, damage):
    first = from_shareable(Site(tmp_path, phantom_sites).answer(0)).data
    images = list((tmp_path / "cache").glob("*/image.npy"))
    assert len(images) == 5
    for path in images:
        if damage == "shorter":
            os.truncate(path, 4000)
        elif damage == "gone":
            path.unlink()
        else:
            content = path.read_bytes()
            path.write_bytes(content[:-50] + b"\x3c" * 50)
    again = from_shareable(Site(tmp_path, phantom_sites).answer(0)).data
    assert caplog.text.count("rebuilding a corrupt cache entry") == 5
    assert all(np.array_equal(again[name], first[name]) for name in first)


def _prepare_all(sites: Path, cache_dir: Path, results) -> None:
    """One of five sites: both folders' cases into the shared cache; says what came of it."""
    sums = []
    for name in ("site-1", "site-2"):
        datalist = read_datalist(sites / name)
        cases, rejected = prepare_cases(
            (*datalist.training, *datalist.validation), datalist.convention, cache_dir, CacheSettings(), workers=2
        )
        assert not rejected
        sums += [(case.name, float(case.image.sum(dtype=np.float64)), int(case.mask.sum())) for case in cases]
    results.put(sums)


@fault(
    "five sites share one cache folder",
    injected="five processes prepare the same cases at once, where one entry is corrupt",
    detected="each opens every entry with its checksums",
    outcome=f"{SURVIVED}: all five have the same cases, each prepared case is there once",
)
def test_five_processes_share_a_cache(tmp_path, phantom_sites):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    first = read_datalist(phantom_sites / "site-1").training[:1]
    [case], _ = prepare_cases(first, read_datalist(phantom_sites / "site-1").convention, tmp_path, CacheSettings())
    os.truncate(case.files[0][0], 1000)
    processes = [context.Process(target=_prepare_all, args=(phantom_sites, tmp_path, results)) for _ in range(5)]
    for process in processes:
        process.start()
    sums = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 5
    assert all(each == sums[0] for each in sums)
    assert len(list(tmp_path.glob("[!.]*/entry.json"))) == len(sums[0]) == 8
    assert not list(tmp_path.glob(".unfinished-*"))
