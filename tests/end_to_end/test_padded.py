"""A real POC federation with `secure=pads`: its kits' certificates, FLARE's ordinary tasks, and sums at the server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedbrats.admin.run.processes import find_processes
from fedbrats.data.phantom.cohort import CohortSettings, write_cohort
from fedbrats.data.split.sites import new_sites_folder
from fedbrats.model.network import SegmentationNetwork

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]
FEDBRATS = str(Path(sys.executable).parent / "fedbrats")
SITES = ["site-1", "site-2", "site-3"]


def test_a_poc_learns_from_sums_alone(tmp_path):
    with new_sites_folder(tmp_path / "sites") as temporary:
        list(write_cohort(temporary, CohortSettings(sites=3, cases=3, spacing_mm=6.0)))
    changes = ("secure=pads", "network=tiny", "num_rounds=2", "local_steps=2", "patch_size=[16, 16, 16]")
    words = [FEDBRATS, "poc", "run", "fedavg", "--data", "sites", "--json", *(f"--set={word}" for word in changes)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["variables"]["secure_sites"] == SITES
    results = tmp_path / document["results"]
    rows = [json.loads(line) for line in (results / "rows.jsonl").read_text().splitlines()]
    padded = [row for row in rows if row["kind"] == "padded"]
    assert [(row["round"], row["members"], row["lacks"]) for row in padded] == [(0, SITES, None), (1, SITES, None)]
    numbers = sum(value.numel() for value in SegmentationNetwork("tiny").state_dict().values())
    assert [row["bytes"]["up"] for row in padded] == [3 * 4 * numbers] * 2
    assert {row["bytes"]["up"] for row in rows if row["kind"] == "site"} == {4 * 4096}
    assert not [row for row in rows if row["kind"] in ("refusal", "late", "trouble")]
    assert find_processes(tmp_path / "build" / "poc") == []
