"""FLARE's metrics files say what the rows say, and FLARE's own command finds them."""

import json
from pathlib import Path

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.tool.job.job_cli import _discover_job_download_artifacts

from fedbrats.flare.metrics_files import write_flare_metrics
from fedbrats.flare.server.row_events import fire_rows
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.rows import evaluation_rows, metric_rows
from tests.flare.conftest import gated


def dice(value):
    return {name: dict.fromkeys(("WT", "TC", "ET", "mean"), value) for name in ("dice", "iou")}


def answer(number, site, received, trained, cases, accepted=True):
    row = {"kind": "site", "round": number, "site": site, "accepted": accepted, "loss": 0.5}
    stages = (("received", received), ("trained", trained))
    said = [each for stage, value in stages for each in metric_rows(number, site, stage, value and dice(value), cases)]
    return [row, *said]


ROWS = [
    *answer(0, "a", 0.2, 0.4, 1),
    *answer(0, "b", 0.5, 0.6, 2),
    *answer(1, "a", 0.9, 0.9, 1, accepted=False),
    *answer(1, "b", 0.3, 0.6, 2),
    *answer(1, "quiet", None, None, 0),
    *metric_rows(-1, "a", "final", dice(0.5), 1),
    *metric_rows(-1, "b", "final", dice(0.8), 2),
    *evaluation_rows("fedper", "b", "a", {"metrics": dice(0.1), "validation_cases": 1}, own_personal=False),
]


def test_they_say_what_the_rows_say(tmp_path):
    write_flare_metrics(tmp_path, ROWS, "study")
    summary = json.loads((tmp_path / "metrics" / "metrics_summary.json").read_text())
    rounds = [json.loads(line) for line in (tmp_path / "metrics" / "round_metrics.jsonl").read_text().splitlines()]
    means = [{each["name"]: each["value"] for each in line["aggregated_metrics"]} for line in rounds]
    assert [mean["val_dice"] for mean in means] == pytest.approx([0.4, 0.3])  # (0.2 + 2 * 0.5) / 3; a was refused
    assert means[0]["trained_val_dice_ET"] == pytest.approx(1.6 / 3)
    assert [[site["name"] for site in line["sites"]] for line in rounds] == [["a", "b"], ["b", "quiet"]]
    assert rounds[0]["sites"][1]["weight"] == 2
    final = {each["name"]: each["value"] for each in summary["final_aggregated_metrics"]}
    assert final["val_dice"] == pytest.approx(0.7)
    assert (summary["job_name"], summary["final_round"], summary["best_round"]) == ("study", 1, 0)
    across = json.loads((tmp_path / AppConstants.CROSS_VAL_DIR / "cross_val_results.json").read_text())
    assert across["a"]["SRV_FL_global_model.pt"]["val_dice_WT"] == 0.5
    assert across["a"]["b.fedper"]["val_dice"] == 0.1


def test_a_job_that_says_nothing_has_no_files(tmp_path):
    write_flare_metrics(tmp_path, metric_rows(0, "a", "received", None, 0), "study")
    assert list(tmp_path.iterdir()) == []


def test_the_recorder_writes_them_where_flare_finds_them(new_federation):
    federation = new_federation(gated(WeightedFedAvg))
    with federation.room.new_context() as fl_ctx:
        fl_ctx.set_prop(FLContextKey.JOB_META, {"name": "study"}, private=True, sticky=True)
        fire_rows(federation.room, ROWS, fl_ctx)
        federation.room.fire_event(EventType.END_RUN, fl_ctx)
    found, _ = _discover_job_download_artifacts(str(federation.room.root))
    assert json.loads(Path(found["metrics_summary"]).read_text())["job_name"] == "study"
    assert "round_metrics" in found
