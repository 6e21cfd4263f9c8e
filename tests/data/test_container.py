"""A container's limits, in the files of cgroups as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedbrats.data.container import core_limit, memory_left


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("200000 100000\n", 2), ("150000 100000\n", 2), ("1000 100000\n", 1), ("", None)],
)
def test_a_quota_is_worth_so_many_cores(tmp_path: Path, text: str, cores: int | None) -> None:
    assert core_limit(tmp_path) is None
    (tmp_path / "cpu.max").write_text(text)
    assert core_limit(tmp_path) == cores


@pytest.mark.parametrize(("limit", "left"), [("max\n", None), ("1000\n", 400), ("500\n", 0)])
def test_memory_that_is_left(tmp_path: Path, limit: str, left: int | None) -> None:
    assert memory_left(tmp_path) is None
    (tmp_path / "memory.current").write_text("600\n")
    (tmp_path / "memory.max").write_text(limit)
    assert memory_left(tmp_path) == left


@pytest.mark.parametrize(("quota", "cores"), [("-1\n", None), ("200000\n", 2), ("150000\n", 2), ("", None)])
def test_a_quota_of_version_1(tmp_path: Path, quota: str, cores: int | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert core_limit(tmp_path) == cores


@pytest.mark.parametrize(("limit", "left"), [("9223372036854771712\n", None), ("1000\n", 400), ("500\n", 0)])
def test_memory_of_version_1(tmp_path: Path, limit: str, left: int | None) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("600\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(limit)
    assert memory_left(tmp_path) == left
