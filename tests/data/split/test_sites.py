"""A sites folder appears whole or not at all, and never in the place of something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.split.sites import new_sites_folder, write_record, write_site
from fedbrats.errors import DataError


def fill(folder: Path, text: str) -> None:
    with new_sites_folder(folder, force=True) as temporary:
        (temporary / "split.json").write_text(text)


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "sites"
    with new_sites_folder(target) as temporary:
        (temporary / "file").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["file"]
    assert [path.name for path in target.parent.iterdir()] == ["sites"]


def test_nothing_stays_of_a_folder_that_failed(tmp_path: Path) -> None:
    fill(tmp_path / "sites", "old")

    def fail() -> None:
        with new_sites_folder(tmp_path / "sites", force=True) as temporary:
            (temporary / "split.json").write_text("new")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["sites"]
    assert (tmp_path / "sites" / "split.json").read_text() == "old"


def test_force_replaces_a_sites_folder_only(tmp_path: Path) -> None:
    fill(tmp_path / "sites", "old")
    with pytest.raises(DataError, match="exists already"), new_sites_folder(tmp_path / "sites"):
        pass
    fill(tmp_path / "sites", "new")
    assert (tmp_path / "sites" / "split.json").read_text() == "new"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    with pytest.raises(DataError, match=r"holds no split\.json"):
        fill(tmp_path / "home", "new")
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    with new_sites_folder(tmp_path) as temporary:
        (temporary / "file").touch()
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize("copy", [True, False])
def test_a_site_has_its_cases_as_links_or_copies(phantom_sites: Path, tmp_path: Path, copy: bool) -> None:
    source = read_datalist(phantom_sites / "site-2")
    write_site(tmp_path, source, copy)
    written = read_datalist(tmp_path / "site-2")
    assert [case.name for case in written.training] == [case.name for case in source.training]
    for case, origin in zip(written.cases, source.cases, strict=True):
        for role, path in case.files.items():
            assert path.parent == tmp_path / "site-2" / case.name
            assert path.is_symlink() is not copy
            assert path.read_bytes() == origin.files[role].read_bytes()
    write_record(tmp_path, [written], {"made_by": "test"})
    record = json.loads((tmp_path / "split.json").read_text())
    assert record["made_by"] == "test"
    assert record["sites"] == {"site-2": {"cases": 3, "patients": 3, "training": 2, "validation": 1, "test": 0}}
