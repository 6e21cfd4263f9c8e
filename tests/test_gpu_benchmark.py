"""The benchmark for a GPU runs from end to end on a CPU, so that it is ready where a GPU is."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
PARTS = ("matrix_tflops", "training", "full_case_seconds", "patches", "sites_on_one_device", "ways", "time_to_dice")


def run(tmp_path, *words):
    command = [sys.executable, str(SCRIPT), *words, "--out", str(tmp_path / "gpu.json")]
    return subprocess.run(command, capture_output=True, text=True)


def test_every_part_measures_something(tmp_path, phantom_sites):
    done = run(tmp_path, "--device", "cpu", "--quick", "--sites", str(phantom_sites))
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert all(found[part] for part in PARTS), done.stderr
    assert [entry["batch"] for entry in found["training"]] == [1, 2, 4]
    assert found["patches"]["augmented_on_the_device"] > 0
    assert found["time_to_dice"]["trained_s"] > 0
    assert found["ways"]["CUDA graph"] is None
    assert found["ways"]["channels last, fused optimiser, compiled"] is None  # not on a CPU
    assert found["quick"] is True


def test_a_part_that_has_no_time_left_is_left_out_and_no_target_is_met(tmp_path):
    done = run(tmp_path, "--device", "cpu", "--quick", "--seconds", "0")
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert done.returncode == 1
    assert [found[part] for part in PARTS] == [None] * len(PARTS)
    assert not any(target["met"] for target in found["targets"])
