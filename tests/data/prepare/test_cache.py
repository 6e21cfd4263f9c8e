"""The cache: prepared once, found again by content, rebuilt when corrupt, whole or not there at all."""

import logging
import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedbrats.data.cases.case import Case
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare import cache
from fedbrats.data.prepare.cache import (
    CacheSettings,
    common_spacing,
    prepare_case,
    prepare_cases,
)
from fedbrats.data.regions import BRATS_2018, BRATS_2023
from fedbrats.errors import DataError

SETTINGS = CacheSettings()


@pytest.fixture
def cases(phantom_sites) -> tuple[Case, ...]:
    return read_datalist(phantom_sites / "site-1").training[:3]


def entries(cache_dir: Path) -> list[Path]:
    return sorted(path.parent for path in cache_dir.glob("*/entry.json"))


def test_the_second_time_nothing_is_written_and_the_same_comes_back(cases, tmp_path):
    first = prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    second = prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == written
    assert isinstance(first.image, np.memmap)
    assert isinstance(first.mask, np.memmap)
    assert first.geometry == second.geometry
    np.testing.assert_array_equal(first.image, second.image)


def test_content_and_settings_make_the_key_and_names_do_not(cases, tmp_path):
    prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS)
    copies = {name: Path(shutil.copy(path, tmp_path / f"copy-{name}.nii.gz")) for name, path in cases[0].images.items()}
    renamed = prepare_case(replace(cases[0], name="other", images=copies), BRATS_2018, tmp_path, SETTINGS)
    assert renamed.name == "other"
    assert len(entries(tmp_path)) == 1
    prepare_case(cases[0], BRATS_2018, tmp_path, CacheSettings(normalisation="minmax"))
    prepare_case(replace(cases[0], label=None), BRATS_2018, tmp_path, SETTINGS)
    assert len(entries(tmp_path)) == 3


def test_the_voxel_size_of_several_cases_is_known_where_it_is_one(cases, tmp_path):
    at_own, at_8 = (
        [prepare_case(case, BRATS_2018, tmp_path, CacheSettings(spacing_mm=spacing_mm)) for case in cases[:2]]
        for spacing_mm in (None, 8.0)
    )
    assert (common_spacing(at_own), common_spacing(at_8)) == (4.0, 8.0)
    assert common_spacing([*at_own, *at_8]) is None
    assert common_spacing([]) is None


def test_a_changed_file_is_prepared_anew(cases, tmp_path):
    images = {name: Path(shutil.copy(path, tmp_path / path.name)) for name, path in cases[0].images.items()}
    case = replace(cases[0], images=images)
    before = prepare_case(case, BRATS_2018, tmp_path / "cache", SETTINGS)
    shutil.copy(cases[1].images["t1"], images["t1"])
    shutil.copy(cases[1].images["t2"], images["t2"])
    after = prepare_case(case, BRATS_2018, tmp_path / "cache", SETTINGS)
    assert before.image.shape != after.image.shape or (np.asarray(before.image) != after.image).any()


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "header", "removed", "entry"])
def test_a_corrupt_entry_is_rebuilt_and_said(cases, tmp_path, caplog, damage):
    expected = np.array(prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS).image)
    [entry] = entries(tmp_path)
    path = entry / ("entry.json" if damage == "entry" else "image.npy")
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "header":  # numpy raises a TokenError of its parser
        path.write_bytes(content.replace(b"{", b"(", 1))
    elif damage == "flipped":
        path.write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    else:
        path.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        rebuilt = prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS)
    np.testing.assert_array_equal(rebuilt.image, expected)
    assert "rebuilding a corrupt cache entry" in caplog.text
    assert len(entries(tmp_path)) == 1


def test_a_sound_entry_that_another_process_put_in_place_is_not_taken_away(cases, tmp_path, monkeypatch):
    expected = np.array(prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS).image)
    [entry] = entries(tmp_path)
    (entry / "image.npy").write_bytes(b"")
    open_entry, sound = cache._open_entry, []

    def open_while_another_rebuilds(folder, case):
        monkeypatch.setattr(cache, "_open_entry", open_entry)
        try:
            return open_entry(folder, case)
        finally:
            prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS)
            sound.append((entry / "entry.json").stat().st_ctime_ns)

    monkeypatch.setattr(cache, "_open_entry", open_while_another_rebuilds)
    np.testing.assert_array_equal(prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS).image, expected)
    assert sound == [(entry / "entry.json").stat().st_ctime_ns]


@pytest.mark.parametrize("times", [1, 2])
def test_an_entry_that_another_process_takes_away_is_built_once_more(cases, tmp_path, monkeypatch, times):
    store_entry, stored = cache._store_entry, []

    def store_and_lose(folder, prepared):
        store_entry(folder, prepared)
        stored.append(folder)
        if len(stored) <= times:
            shutil.rmtree(folder)

    monkeypatch.setattr(cache, "_store_entry", store_and_lose)
    if times == 1:
        assert prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS).name == cases[0].name
    else:
        with pytest.raises(cache.CacheError, match=f"case {cases[0].name} was rebuilt twice and is not sound"):
            prepare_case(cases[0], BRATS_2018, tmp_path, SETTINGS)
    assert len(stored) == 2


def test_a_bad_case_never_stops_the_others(cases, tmp_path):
    truncated = tmp_path / "truncated_t1.nii.gz"
    truncated.write_bytes(cases[1].images["t1"].read_bytes()[:2000])
    absent = replace(cases[2], label=tmp_path / "absent.nii.gz")
    bad = replace(cases[1], images={**cases[1].images, "t1": truncated})
    prepared, rejected = prepare_cases((bad, cases[0], absent), BRATS_2018, tmp_path / "c", SETTINGS, workers=2)
    assert [case.name for case in prepared] == [cases[0].name]
    assert [case.name for case in rejected] == [bad.name, absent.name]
    assert "truncated_t1.nii.gz" in rejected[0].reason
    assert "absent.nii.gz" in rejected[1].reason


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_a_scan_that_is_no_regular_file_rejects_the_case(cases, tmp_path, kind):
    """A device has no end, and a pipe waits for somebody who writes."""
    path = tmp_path / "a_t1.nii.gz"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path)
    bad = replace(cases[0], images={**cases[0].images, "t1": path})
    with pytest.raises(DataError, match="no regular file"):
        prepare_case(bad, BRATS_2018, tmp_path / "c", SETTINGS)


def test_labels_that_the_convention_does_not_know_reject_the_case(cases, tmp_path):
    _, [rejected] = prepare_cases(cases[:1], BRATS_2023, tmp_path, SETTINGS)
    assert f"case {cases[0].name}" in rejected.reason
    assert "label" in rejected.reason


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to let a file of this process grow beyond `size` bytes, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing_unfinished(cases, tmp_path):
    with files_no_larger_than(50_000), pytest.raises(DataError, match=r"cache .* cannot be written: .*; free space"):
        prepare_cases(cases, BRATS_2018, tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    prepared, rejected = prepare_cases(cases, BRATS_2018, tmp_path, SETTINGS)
    assert len(prepared) == 3
    assert not rejected


def test_what_a_killed_process_left_is_removed_when_it_is_old(cases, tmp_path):
    old, young = tmp_path / ".unfinished-old", tmp_path / ".unfinished-young"
    for folder in (old, young):
        folder.mkdir()
    long_ago = time.time() - 86400
    os.utime(old, (long_ago, long_ago))
    prepare_cases(cases[:1], BRATS_2018, tmp_path, SETTINGS)
    assert not old.exists()
    assert young.exists()


def _prepare_all(case: Case, cache_dir: Path) -> None:
    prepare_case(case, BRATS_2018, cache_dir, SETTINGS)


def test_processes_that_prepare_the_same_case_at_once_all_get_it(cases, tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_prepare_all, args=(cases[0], tmp_path)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert len(entries(tmp_path)) == 1
    assert not list(tmp_path.glob(".unfinished-*"))
