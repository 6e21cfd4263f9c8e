"""A POC federation whose method, network, loss and hook are all of packages of somebody's own."""

import json
import subprocess

import pytest

from fedbrats.admin.run.processes import find_processes

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]
SHARE = 0.05  # of the update's numbers that travel
OWN = ("aggregator=my_hook", "network=my_network", "network.width=4")
OWN += ("loss=my_loss", "loss.missed=0.6", "hooks=my_hook", f"hooks.share={SHARE}")
LEAST = ("start=none", "num_rounds=2", "local_steps=1", "patch_size=[16,16,16]", "spacing_mm=8.0", "final_flips=false")
PACKAGES = ("my_hook", "my_loss", "my_network")
MODEL = """
import sys
from pathlib import Path
from fedbrats.model.saved import load_model
from fedbrats.model.network import SegmentationNetwork
model = load_model(Path(sys.argv[1]))
begun, ended = SegmentationNetwork(**{**model.network_options, "seed": 0}).state_dict(), model.network.state_dict()
changed = sum(int((value != begun[name]).sum()) for name, value in ended.items())
print(changed / sum(value.numel() for value in ended.values()))
"""


def test_a_federation_of_ones_own_classes(environment, phantom_sites, tmp_path):
    python, _, _ = environment

    def run(*words):
        done = subprocess.run([python, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=550)
        assert done.returncode == 0, done.stderr
        return done

    words = [word for each in (*OWN, *LEAST) for word in ("--set", each)]
    done = run("-m", "fedbrats.cli.main", "poc", "run", "fedavg", "--data", phantom_sites, "--json", *words)
    assert find_processes(tmp_path / "build" / "poc") == []
    document = json.loads(done.stdout)
    assert (document["rounds"], document["sites"]) == (2, 2)
    assert document["variables"]["aggregator"] == "my_hook.MyHookMean"
    assert document["variables"]["network"] == {"my_network.MyNetwork": {"width": 4}}
    assert all(package in done.stderr for package in PACKAGES)  # what runs beside fedbrats is said
    listed = list((tmp_path / "build" / "poc").rglob("local/extensions.json"))
    assert len(listed) == 3  # of the server and both sites
    for path in listed:
        packages = [each["package"].split("==")[0] for each in json.loads(path.read_text())["packages"]]
        assert sorted(packages) == sorted(PACKAGES)
    rows = [json.loads(line) for line in (tmp_path / document["results"] / "rows.jsonl").read_text().splitlines()]
    assert not [row for row in rows if row["kind"] == "refusal"]
    assert all(row["said"]["gradient"] > 0 for row in rows if row["kind"] == "site")
    changed = float(run("-c", MODEL, tmp_path / document["results"] / "global_model.pt").stdout)
    assert 0 < changed < 2 * 2 * 2 * SHARE  # two sites, two rounds; twice, for the least of small arrays
