"""Training curves of a POC federation in a real MLflow server on loopback."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from fedbrats.admin.run.processes import find_processes, free_port
from tests.end_to_end.consortium import wait_for

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(find_spec("mlflow") is None, reason="needs the package mlflow, which is large"),
    pytest.mark.timeout(3600),
]
FEDBRATS = str(Path(sys.executable).parent / "fedbrats")
QUICK = ("--set", "network=tiny", "--set", "num_rounds=2", "--set", "local_steps=2")


@pytest.fixture
def mlflow_uri(tmp_path):
    """The address of a server that is up."""
    port = free_port()
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--artifacts-destination", f"{tmp_path}/files"]
    with (tmp_path / "mlflow.txt").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "mlflow", *words], cwd=tmp_path, stdout=log, stderr=log)
    try:
        uri = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{uri}/health"), timeout_s=1200)
        yield uri
    finally:
        for process in (*psutil.Process(server.pid).children(recursive=True), server):
            process.terminate()
        server.wait(timeout=60)


def answers(address: str) -> bool:
    try:
        return urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def test_every_sites_curves_arrive(tmp_path, phantom_sites, mlflow_uri):
    words = ["poc", "run", "fedavg", "--data", phantom_sites, "--mlflow", mlflow_uri, *QUICK, "--json"]
    done = subprocess.run([FEDBRATS, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert find_processes(tmp_path / "build" / "poc") == []
    from mlflow import MlflowClient

    client = MlflowClient(mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("fedbrats").experiment_id])
    assert [run.data.tags["job_id"] for run in runs] == [document["job_id"]] * 2  # one a site
    for run in runs:
        assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [0, 1]
        assert 0 <= run.data.metrics["dice_received_mean"] <= 1
    assert list((tmp_path / document["results"]).rglob("events.out.tfevents.*")), "TensorBoard has them too"
