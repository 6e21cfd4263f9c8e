"""Data for every test: a tiny synthetic federation, and the real cases where they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

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


# Where this package replaces something in FLARE, in a process of a participant or a person: modules, and classes
# of them.
REPLACED_IN_FLARE = {
    "nvflare.apis.fl_component": ("FLComponent",),
    "nvflare.apis.fl_context": ("FLContext",),
    "nvflare.apis.utils.task_utils": (),
    "nvflare.app_common.decomposers.numpy_decomposers": ("NumpyArrayDecomposer",),
    "nvflare.app_common.streamers.file_streamer": ("_ChunkConsumerFactory",),
    "nvflare.fuel.f3.cellnet.cell": ("Adapter", "Cell"),
    "nvflare.fuel.f3.cellnet.core_cell": ("CoreCell",),
    "nvflare.fuel.f3.sfm.sfm_conn": ("SfmConnection",),
    "nvflare.fuel.f3.sfm.sfm_endpoint": ("SfmEndpoint",),
    "nvflare.fuel.hci.client.api": ("AdminAPI",),
    "nvflare.fuel.hci.server.hci": ("AdminServer",),
    "nvflare.fuel.hci.server.login": ("LoginModule",),
    "nvflare.fuel.sec.audit": ("Auditor",),
    "nvflare.fuel.utils.fobs.decomposers.via_downloader": ("ViaDownloaderDecomposer",),
    "nvflare.fuel.utils.zip_utils": (),
    "nvflare.private.event": (),
    "nvflare.private.fed.client.client_engine": ("ClientEngine",),
    "nvflare.private.fed.client.client_runner": ("ClientRunner",),
    "nvflare.private.fed.client.fed_client": ("FederatedClient",),
    "nvflare.private.fed.client.scheduler_cmds": ("ReportVersionProcessor",),
    "nvflare.private.fed.server.client_manager": ("ClientManager",),
    "nvflare.private.fed.server.fed_server": ("FederatedServer",),
    "nvflare.private.fed.server.job_meta_validator": ("JobMetaValidator",),
    "nvflare.private.fed.server.server_commands": ("ShowStatsCommand",),
    "nvflare.private.fed.server.server_engine": ("ServerEngine",),
    "nvflare.private.fed.server.sys_cmd": ("SystemCommandModule",),
}


@pytest.fixture(autouse=True)
def flare_as_it_was() -> Iterator[None]:
    """Give back what a test replaces in FLARE, so that no test depends on which ran before in the same process."""
    before = [(owner, dict(vars(owner))) for owner in _replaced_in_flare()]
    yield
    for owner, names in before:
        for name, value in names.items():
            if callable(value) and vars(owner).get(name) is not value:  # what is no code is FLARE's own state
                setattr(owner, name, value)


def _replaced_in_flare() -> Iterator[Any]:
    for module, classes in REPLACED_IN_FLARE.items():
        if found := sys.modules.get(module):
            yield from [found, *(getattr(found, name) for name in classes)]


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
