"""Where jobs are forked, and where they start as FLARE starts them."""

import json

import pytest

from fedbrats.flare.launch import launcher
from fedbrats.flare.launch.launcher import computes_on_gpu, let_fork, why_not_forked


@pytest.fixture
def kit(tmp_path):
    """A site's kit that computes on the CPU."""
    for folder in ("local", "startup"):
        (tmp_path / folder).mkdir()
    (tmp_path / "startup" / "fed_client.json").touch()
    (tmp_path / "local" / "fedbrats.json").write_text('{"device": "cpu"}')
    return tmp_path


def test_a_site_on_a_cpu_forks(kit):
    assert why_not_forked(kit) is None


def test_a_kit_with_code_of_its_own_does_not(kit):
    (kit / "local" / "custom").mkdir()
    assert why_not_forked(kit) is None
    (kit / "local" / "custom" / "filter.py").touch()
    assert "code of its own" in why_not_forked(kit)


def test_a_site_on_a_gpu_does_not(kit, monkeypatch, tmp_path):
    (kit / "local" / "fedbrats.json").write_text('{"device": "cuda:1"}')
    assert "GPU" in why_not_forked(kit)
    monkeypatch.setattr(launcher, "CUDA_DEVICES", (tmp_path,))
    assert computes_on_gpu("auto")
    assert not computes_on_gpu("cpu")
    (kit / "local" / "fedbrats.json").write_text("{}")
    assert "GPU" in why_not_forked(kit)
    (kit / "startup" / "fed_client.json").unlink()
    assert why_not_forked(kit) is None  # a server


def test_other_systems_do_not(kit, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert "Linux" in why_not_forked(kit)


def test_a_kit_with_another_launcher_keeps_it(tmp_path):
    stock = "nvflare.app_common.job_launcher.client_process_launcher.ClientProcessJobLauncher"
    other = "nvflare.app_opt.job_launcher.docker_launcher.ClientDockerJobLauncher"
    path = tmp_path / "resources.json"
    path.write_text(json.dumps({"components": [{"id": "a", "path": stock}, {"id": "b", "path": other}]}))
    let_fork(path)
    paths = [component["path"] for component in json.loads(path.read_text())["components"]]
    assert paths == ["fedbrats.flare.launch.launcher.ClientForkLauncher", other]
