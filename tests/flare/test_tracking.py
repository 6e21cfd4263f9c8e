"""Curves are made from rows: known names, of the sites that rows name."""

import json

import pytest
from nvflare.apis.event_type import EventType
from nvflare.app_common.app_event_type import AppEventType

from fedbrats.flare.server.rows_file import rows_path
from fedbrats.flare.server.tracking import CURVES_FOLDER, Curves, TensorBoardCurves, scalars_of
from fedbrats.rows import metric_rows
from tests.flare.conftest import Room

DICE = {metric: dict.fromkeys(("WT", "TC", "ET", "mean"), 0.5) for metric in ("dice", "iou")}
SITE = {"kind": "site", "round": 0, "site": "north", "accepted": True, "loss": 0.25, "seconds": {"training": 3.0}}


def test_rows_become_points():
    rows = [SITE, *metric_rows(0, "north", "received", DICE, 5), *metric_rows(-1, "north", "final", DICE, 5)]
    rows += [{**SITE, "round": 1, "accepted": False}, {**SITE, "site": "east", "loss": None, "seconds": None}]
    points = scalars_of(rows)
    assert points.pop(("east", 0)) == {}
    assert list(points) == [("north", 0)]
    assert points["north", 0] == {"loss": 0.25, "seconds": 3.0, **{f"dice_received_{r}": 0.5 for r in DICE["dice"]}}


def test_each_row_is_written_once_and_a_row_that_is_cut_is_waited_for(tmp_path):
    room, curves = Room(tmp_path), Curves()
    with room.new_context() as fl_ctx:
        curves.handle_event(EventType.START_RUN, fl_ctx)
        path = rows_path(fl_ctx)
        path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(SITE)
        path.write_text(f"{line}\n{line[:20]}")
        curves.handle_event(AppEventType.ROUND_DONE, fl_ctx)
        path.write_text(f"{line}\n{json.dumps({**SITE, 'round': 1, 'loss': 0.125})}\n")
        curves.handle_event(EventType.END_RUN, fl_ctx)
    assert events_of(path.parent / CURVES_FOLDER / "north", "loss") == [(0, 0.25), (1, 0.125)]


@pytest.mark.parametrize("site", ["../../x", "/x", "a/b", "", ".", "..", "a\x00b"])
def test_a_site_whose_name_is_no_name_of_a_folder_has_no_curves(tmp_path, site):
    with pytest.raises(ValueError, match="name of a folder"):
        TensorBoardCurves(tmp_path / "curves").write({(site, 0): {"loss": 1.0}})
    assert list(tmp_path.iterdir()) == []


def events_of(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]
