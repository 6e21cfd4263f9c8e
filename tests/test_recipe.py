"""A recipe of FLARE writes the very files that `fedbrats job build` writes, and runs in FLARE's environments."""

import os
import sys
from pathlib import Path

import pytest
from nvflare.fuel.hci.client.api import AdminAPI
from nvflare.fuel.utils import zip_utils
from nvflare.recipe import SimEnv

from fedbrats.admin.run.processes import find_processes, stop
from fedbrats.errors import ConfigurationError
from fedbrats.flare.archives import JudgedResult
from fedbrats.jobs.build import build_job
from fedbrats.recipe import FedBratsRecipe, SitesPocEnv
from fedbrats.rows import read_rows

SETTINGS = {"num_rounds": 3, "aggregator": "fedbrats.methods.scaffold.Scaffold", "aggregator.server_rate": 0.5}

QUICK = {"network": "tiny", "local_steps": 2, "patch_size": [16, 16, 16], "num_rounds": 1, "spacing_mm": 8.0}
QUICK |= {"start": "none"}


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("job", "settings"), [("fedavg", {}), ("contribution", {"num_rounds": 2}), ("fedavg", SETTINGS)]
)
def test_a_recipe_exports_the_same_files(tmp_path, job, settings):
    FedBratsRecipe(job, settings=settings, name="study").export(str(tmp_path / "recipe"))
    built = build_job(job, tmp_path / "built", settings, called="study")
    assert files_of(tmp_path / "recipe" / "study") == files_of(built)
    assert built.name == "study"


def test_what_cannot_be_run_is_refused_when_the_recipe_is_made(tmp_path, phantom_sites):
    with pytest.raises(ConfigurationError, match="num_rounds is 0"):
        FedBratsRecipe(settings={"num_rounds": 0})
    with pytest.raises(ConfigurationError, match="a simulation needs cases"):
        FedBratsRecipe().run(SimEnv(num_clients=2, workspace_root=str(tmp_path)))
    with pytest.raises(ConfigurationError, match="SimEnv asks for others"):
        FedBratsRecipe(data=phantom_sites).run(SimEnv(num_clients=3, workspace_root=str(tmp_path)))


def test_what_a_server_sends_to_flares_environments_is_judged():
    FedBratsRecipe()
    assert AdminAPI.server_execute.judged
    assert zip_utils.ZipFile is JudgedResult


@pytest.mark.end_to_end
def test_a_recipe_runs_in_flares_simulator(tmp_path, phantom_sites):
    recipe = FedBratsRecipe(data=phantom_sites, settings=QUICK)
    (tmp_path / "fedavg").mkdir()
    (tmp_path / "fedavg" / "notes.txt").write_text("somebody's own")
    run = recipe.run(SimEnv(num_clients=2, workspace_root=str(tmp_path)))
    assert (tmp_path / "fedavg" / "summary.json").is_file()
    assert (tmp_path / "fedavg" / "notes.txt").read_text() == "somebody's own"
    assert run.get_job_id() == "fedavg"


@pytest.mark.end_to_end
@pytest.mark.long
def test_a_recipe_runs_in_flares_poc(tmp_path, phantom_sites, monkeypatch):
    monkeypatch.setenv("NVFLARE_POC_WORKSPACE", str(tmp_path / "poc"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    try:
        run = FedBratsRecipe(settings=QUICK, name="study").run(SitesPocEnv(phantom_sites, tmp_path / "kept"))
        result = Path(run.get_result(clean_up=False))
        assert run.get_status() == "FINISHED:COMPLETED"
    finally:
        stop(tmp_path / "poc")
    assert find_processes(tmp_path / "poc") == []
    [rows] = [read_rows(path) for path in result.rglob("rows.jsonl")]
    assert {row["site"] for row in rows if row["kind"] == "site"} == {"site-1", "site-2"}
    assert not [row for row in rows if row["kind"] == "refusal"]
    built = build_job("fedavg", tmp_path / "built", QUICK, called="study")
    [ran] = [path.parent for path in result.rglob("meta.json") if (path.parent / "app").is_dir()]
    configs = {name: content for name, content in files_of(built).items() if name.startswith("app/config/")}
    assert configs.items() <= files_of(ran).items()
