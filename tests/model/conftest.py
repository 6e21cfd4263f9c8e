"""Prepared phantoms for everything that trains."""

from __future__ import annotations

import pytest
import torch

from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CachedCase, CacheSettings, prepare_cases


@pytest.fixture(scope="session")
def prepared(phantom_sites, tmp_path_factory) -> list[CachedCase]:
    """The training cases of one site at 8 mm: a step takes milliseconds."""
    site = read_datalist(phantom_sites / "site-1")
    settings = CacheSettings(spacing_mm=8.0)
    cases, _ = prepare_cases(site.training, site.convention, tmp_path_factory.mktemp("cache"), settings)
    return cases


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
