"""Data for every test: a tiny synthetic federation, and the real cases where they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fedbrats.cli.main import main
from fedbrats.data.phantom.cohort import CohortSettings, write_cohort
from fedbrats.data.split.sites import new_sites_folder, write_record
from fedbrats.jobs.build import build_job, find_job
from tests.faults.catalogue import FAULTS
from tests.provisioning.provisioned import kits, provisioned  # noqa: F401 (fixtures)
from tests.security.attacks import ATTACKS

# The same inputs everywhere, and no deadline: a busy machine is no fault of the code.
settings.register_profile(
    "patient", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Record what tests declare to show: faults and attacks, whose pages have a table of them."""
    for declarations in (FAULTS, ATTACKS):
        config.addinivalue_line("markers", declarations.meaning)
        config.pluginmanager.register(declarations, f"declared {declarations.marker}s")


@pytest.fixture(scope="session")
def phantom_sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sites of 5 and 3 phantoms, 42x48x42 voxels of 4 mm, one validation case each. Read only: tests share it."""
    folder = tmp_path_factory.mktemp("phantoms") / "sites"
    cohort = CohortSettings(sites=2, cases=4, unequal=True, spacing_mm=4.0)
    with new_sites_folder(folder) as temporary:
        write_record(temporary, list(write_cohort(temporary, cohort)), {"made_by": "phantom"})
    return folder


@pytest.fixture(scope="session")
def trained_results(phantom_sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of `fedbrats train` on the phantoms at 8 mm, after seconds of training. Read only."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["--rounds", 2, "--threads", 1, "--device", "cpu", "--cache", folder / "cache", "--out", folder / "results"]
    changes = ("network=tiny", "spacing_mm=8.0", "learning_rate=0.02", "local_epochs=2")
    with redirect_stdout(StringIO()):
        assert main(["train", str(phantom_sites), *map(str, words), *(f"--set={word}" for word in changes)]) == 0
    return folder / "results"


@pytest.fixture
def build_any_job(trained_results: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Build a shipped job by name; one that evaluates models gets some."""

    def build(name: str) -> Path:
        return build_job(name, tmp_path / "jobs", models=[trained_results] if find_job(name).needs_models else ())

    return build


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real BraTS cases `brats-mini` and `brats-full`; skips the test where it is not."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FEDBRATS_REAL_DATA", default))
    if not (folder / "brats-mini").is_dir():
        pytest.skip(f"no real BraTS cases in {folder}; FEDBRATS_REAL_DATA names the folder that holds brats-mini")
    return folder
