"""No name that a hospital gave to its folders, cases and patients is in what a site sends, logs or tells the server.

The hospital's own are the scores of its cases (cases.jsonl), in the run's folder on its own disk, and what it has
written itself: the datalist, the scans and the names of their prepared copies.
"""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from pathlib import Path

import pytest
from nvflare.apis.fl_constant import ReturnCode

from fedbrats.data.cases.datalist import DATALIST_NAME, SECTIONS
from fedbrats.flare.site.executor import SegmentationExecutor
from fedbrats.flare.site.filters import KeepShared
from fedbrats.rows import CASES_FILE
from fedbrats.site.site_file import SITE_FILE
from tests.flare.conftest import Room
from tests.flare.test_executor import TRAINING, execute

MARKER = "ZYXMARKER"


@pytest.fixture
def marked_site(phantom_sites: Path, tmp_path: Path) -> Path:
    """A site that has the marker in its folders' names, its cases' and patients' and in every free text of its list."""
    site = tmp_path / f"clinic-of-{MARKER}" / "site-1"
    shutil.copytree(phantom_sites / "site-1", site)
    document = json.loads((site / DATALIST_NAME).read_text())
    document |= {"description": MARKER, "reference": MARKER, "licence": MARKER, "name": MARKER}
    number = 0
    for section in SECTIONS:
        for item in document[section]:
            number += 1
            name = f"{MARKER}_{number}"
            (site / item["case"]).rename(site / name)
            paths = {role: item[role] for role in ("image", "label")}
            text = json.dumps(paths).replace(f"{item['case']}/", f"{name}/")
            item |= {**json.loads(text), "case": name, "patient": f"{MARKER}-{number}", "comment": MARKER}
    (site / DATALIST_NAME).write_text(json.dumps(document))
    return site


@pytest.fixture
def run(marked_site: Path, tmp_path: Path):
    """A function that trains and validates once in a room of this site; returns the room, and every reply as bytes."""

    def both() -> tuple[Room, list[bytes], list[str]]:
        room = Room(tmp_path / "kit", identity="site-1")
        facts = {"data_dir": str(marked_site), "cache_dir": str(tmp_path / "cache"), "threads": 1, "min_cases": 1}
        (room.root / "local" / SITE_FILE).write_text(json.dumps({**facts, "personal_dir": "personal"}))
        executor = SegmentationExecutor(network="tiny", personal="none", training=TRAINING)
        room.components["executor"] = executor
        sent, codes = [], []
        for task in ("train", "validate"):
            reply = execute(room, executor, task)
            codes.append(reply.get_return_code())
            with room.new_context() as fl_ctx:
                if codes[-1] == ReturnCode.OK:
                    reply = KeepShared(network="tiny", personal="none").process(reply, fl_ctx)
            sent.append(pickle.dumps(reply))  # only to look through every byte of it
        return room, sent, codes

    return both


def files_with_marker(folder: Path) -> set[str]:
    own = {SITE_FILE}  # the hospital writes it
    return {
        path.name
        for path in folder.rglob("*")
        if path.is_file() and path.name not in own and MARKER.encode() in path.read_bytes()
    }


def test_a_site_with_a_broken_case_sends_and_logs_no_name(run, marked_site: Path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    first = json.loads((marked_site / DATALIST_NAME).read_text())["training"][0]
    (marked_site / first["image"][0]).write_bytes(b"no image")
    room, sent, codes = run()
    assert codes == [ReturnCode.OK] * 2
    assert not [reply for reply in sent if MARKER.encode() in reply]
    assert MARKER not in caplog.text
    assert "rejected=1" in caplog.text
    assert files_with_marker(room.root) == {CASES_FILE}


@pytest.mark.parametrize(
    "wrong", ["a shared patient", "a case twice", "an unknown convention", "a missing image", "no list"]
)
def test_a_list_that_cannot_be_used_sends_no_name_either(run, marked_site: Path, wrong: str, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    path = marked_site / DATALIST_NAME
    document = json.loads(path.read_text())
    if wrong == "a shared patient":
        document["validation"][0]["patient"] = document["training"][0]["patient"]
    elif wrong == "a case twice":
        document["training"].append(document["training"][0])
    elif wrong == "an unknown convention":
        document["label_convention"] = MARKER
    elif wrong == "a missing image":
        document["training"][0]["image"].pop()
    path.write_text(MARKER if wrong == "no list" else json.dumps(document))
    _, sent, codes = run()
    assert ReturnCode.OK not in codes
    assert not [reply for reply in sent if MARKER.encode() in reply]
    assert f"{MARKER}-" not in caplog.text
    assert f"{MARKER}_" not in caplog.text
