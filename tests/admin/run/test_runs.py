"""Whether a job was done is what its rows say; what the server says stands beside it."""

import json

import pytest

from fedbrats.admin.run.runs import COMPLETED, finish_results
from fedbrats.errors import FedbratsError
from fedbrats.rows import ROWS_FILE, metric_rows

DICE = {metric: dict.fromkeys(("WT", "TC", "ET", "mean"), 0.5) for metric in ("dice", "iou")}
FINAL = metric_rows(-1, "north", "final", DICE, 5)
END, ABORTED = ({"kind": "end", "status": status, "seconds": 1.0} for status in ("ended", "aborted"))


@pytest.fixture
def finish(tmp_path):
    def finish(rows, status):
        (tmp_path / "server").mkdir()
        (tmp_path / "server" / ROWS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return finish_results(tmp_path, "fedavg", "an id", status, 1.0, {})

    return finish


def test_a_job_that_was_done_is_done_whatever_the_server_says_of_it(finish):
    document = finish([*FINAL, END], "FINISHED:EXECUTION_EXCEPTION")
    assert document["status"] == "FINISHED:EXECUTION_EXCEPTION"
    assert "the server says FINISHED:EXECUTION_EXCEPTION, but by its rows" in document["note"]
    assert document["per_site"]["north"]["dice"]["mean"] == 0.5


def test_a_job_that_completed_has_no_note(finish):
    assert "note" not in finish([*FINAL, END], COMPLETED)


@pytest.mark.parametrize(
    "rows", [[], FINAL, [END], [*FINAL, ABORTED]], ids=["nothing", "no end", "no model", "aborted"]
)
def test_one_that_was_not_has_failed(finish, rows):
    with pytest.raises(FedbratsError, match="ended as FINISHED:ABORTED"):
        finish(rows, "FINISHED:ABORTED")
