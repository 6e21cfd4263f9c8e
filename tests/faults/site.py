"""A site with its real executor, real cases and its own disk, in this process: for faults of data and disks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants

from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.site.executor import SegmentationExecutor
from fedbrats.model.network import SegmentationNetwork
from fedbrats.rows import CASES_FILE, ROWS_FOLDER
from tests.flare.conftest import JOB_ID, Room

TRAINING = {"local_steps": 4, "patch_size": [16, 16, 16]}


class Site:
    """site-1 of a sites folder in a kit of its own; entries of its site file and of its executor may be changed."""

    def __init__(
        self,
        root: Path,
        sites: Path,
        facts: dict[str, Any] | None = None,
        kind: type[SegmentationExecutor] = SegmentationExecutor,
        **options: Any,
    ):
        self.room = Room(root / "kit", identity="site-1")
        document = {
            "data_dir": str(sites / "site-1"),
            "cache_dir": str(root / "cache"),
            "personal_dir": str(root / "personal"),
            "threads": 1,
            "min_cases": 1,
            **(facts or {}),
        }
        (self.room.root / "local" / "fedbrats.json").write_text(json.dumps(document))
        self.executor = kind(network="tiny", training=TRAINING, **options)
        self.room.components["executor"] = self.executor

    def answer(self, round_number: int = 0, task: str = "train") -> Shareable:
        """What the site answers to a task with the first global model."""
        shareable = DXO(DataKind.WEIGHTS, data=first_weights()).to_shareable()
        shareable.set_header(AppConstants.CURRENT_ROUND, round_number)
        shareable.set_header(AppConstants.NUM_ROUNDS, 4)
        with self.room.new_context() as fl_ctx:
            return self.executor.execute(task, shareable, fl_ctx, Signal())

    def report(self, round_number: int = 0) -> dict[str, Any]:
        """What the server hears of a round that went well."""
        return from_shareable(self.answer(round_number)).get_meta_prop(REPORT_KEY)

    def left_out(self) -> list[dict[str, Any]]:
        """The rows of cases that were left out, in the site's own file."""
        path = self.room.root / JOB_ID / ROWS_FOLDER / CASES_FILE
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row for row in rows if "rejected" in row]


def first_weights() -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in SegmentationNetwork("tiny").state_dict().items()}
