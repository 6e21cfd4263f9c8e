"""Sums under pads in production kits, from their own start.sh and certificates; one hospital dies on the way."""

import json
import textwrap

import numpy as np
import pytest

from fedbrats.admin.run.processes import find_processes
from fedbrats.data.phantom.cohort import CohortSettings, write_cohort
from fedbrats.data.split.sites import new_sites_folder
from fedbrats.model.network import SegmentationNetwork
from fedbrats.rows import read_rows
from tests.end_to_end.consortium import CENTRAL, LEAD, SERVER, Consortium, fedbrats
from tests.end_to_end.wiretap import HEARD, tap

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]
# Writes each covered answer, and what it covers, beside the kit; then, in the second round, kills its hospital.
SABOTEUR = """
import os
import signal
from pathlib import Path

import numpy as np
import psutil
from nvflare.apis.fl_component import FLComponent

from fedbrats.flare.protocol import SECURE_ANSWER
from fedbrats.flare.site.padding import Padding

FOLDER = Path(__file__).parents[2]


class Saboteur(FLComponent):
    \"\"\"Stands in the kit so that every process of the participant imports this module.\"\"\"


_answer = Padding.answer


def _answer_once(self, task, data, folder, fl_ctx):
    covered = task == SECURE_ANSWER
    update = self._offered[1] if covered else None
    found = _answer(self, task, data, folder, fl_ctx)
    if covered:
        np.savez(FOLDER / f"answer-{found['round']}.npz", update=update, numbers=found["numbers"])
    if covered and found["round"] == 1:
        for parent in psutil.Process().parents():
            if "client_train" in " ".join(parent.cmdline()):
                parent.kill()
        os.kill(os.getpid(), signal.SIGKILL)
    return found


Padding.answer = _answer_once
"""


@pytest.fixture(scope="module")
def consortium(tmp_path_factory):
    folder = tmp_path_factory.mktemp("padded")
    with new_sites_folder(folder / "sites") as temporary:
        list(write_cohort(temporary, CohortSettings(sites=5, cases=3, spacing_mm=6.0)))
    federation = Consortium(folder, folder / "sites")
    tap(federation.kit(SERVER))
    custom = federation.kit(CENTRAL) / "local" / "custom"
    custom.mkdir()
    (custom / "saboteur.py").write_text(textwrap.dedent(SABOTEUR))
    resources = json.loads((federation.kit(CENTRAL) / "local" / "resources.json.default").read_text())
    resources["components"].append({"id": "saboteur", "path": "saboteur.Saboteur", "args": {}})
    (federation.kit(CENTRAL) / "local" / "resources.json").write_text(json.dumps(resources))
    try:
        federation.start()
        federation.wait_until_connected()
        yield federation
    finally:
        federation.stop()
        assert find_processes(folder) == []


def test_five_hospitals_learn_from_sums_and_four_go_on_when_one_dies_in_its_answer(consortium):
    quick = {"patch_size": [16, 16, 16], "deadline_floor_s": 60, "validate_received": False, "min_clients": 3}
    job = consortium.job("fedavg", secure="pads", secure_sites=consortium.sites, num_rounds=3, **quick)
    [(job_id, status)] = consortium.submit({"padded": job}).values()
    assert status == "FINISHED:COMPLETED"
    words = ("fetch", job_id, "--kit", consortium.kit(LEAD), "--results", consortium.folder / "results", "--json")
    document = json.loads(fedbrats(*words, cwd=consortium.folder).stdout)
    rows = read_rows(consortium.folder / document["results"] / "rows.jsonl")
    padded = [row for row in rows if row["kind"] == "padded"]
    others = sorted(set(consortium.sites) - {CENTRAL})
    assert [(row["round"], row["asked"], row["members"], row["lacks"]) for row in padded[:2]] == [
        (0, sorted(consortium.sites), sorted(consortium.sites), None),
        (1, sorted(consortium.sites), others, None),
    ]
    [last] = padded[2:]  # the kit's start.sh starts its hospital again, which may be back by now
    assert (last["round"], last["lacks"]) == (2, None)
    assert set(last["members"]) >= set(others)
    numbers = sum(value.numel() for value in SegmentationNetwork("tiny").state_dict().values())
    assert [row["bytes"]["up"] for row in padded] == [4 * numbers * len(row["members"]) for row in padded]
    assert [row for row in rows if row["kind"] == "refusal" and row["site"] != CENTRAL] == []


def test_every_byte_that_the_server_received_holds_the_covered_answer_and_not_the_update(consortium):
    heard = (consortium.kit(SERVER) / HEARD).read_bytes()
    with np.load(consortium.kit(CENTRAL) / "answer-0.npz") as answer:
        update, numbers = answer["update"].astype(np.float32), answer["numbers"]
    assert numbers.tobytes() in heard, "the wiretap hears nothing"
    at = int(np.abs(update).argmax())
    nonzero = update[max(0, at - 8) : at + 8]  # sixteen numbers in a row: by chance in no other bytes
    assert nonzero.any()
    assert nonzero.tobytes() not in heard
    assert nonzero.astype(np.float16).tobytes() not in heard
    assert nonzero.astype(np.float64).tobytes() not in heard
