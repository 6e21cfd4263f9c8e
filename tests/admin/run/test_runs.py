"""Whether a job was done is what its rows say; what the server says stands beside it."""

import json

import pytest

from fedbrats.admin.run.runs import finish_results
from fedbrats.admin.run.simulator import simulate_job
from fedbrats.errors import FedbratsError
from fedbrats.jobs.build import build_job
from fedbrats.rows import ROWS_FILE, metric_rows, read_rows
from fedbrats.run_folder import COMPLETED, SUMMARY_FILE

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


def test_a_job_whose_server_nobody_asks_is_done_or_has_crashed_by_its_rows(finish, tmp_path):
    """FLARE's simulator exits with 0 when a job is aborted."""
    with pytest.raises(FedbratsError, match="ended as FINISHED:EXECUTION_EXCEPTION"):
        finish([*FINAL, ABORTED], None)
    assert json.loads((tmp_path / SUMMARY_FILE).read_text())["status"] == "FINISHED:EXECUTION_EXCEPTION"


@pytest.mark.parametrize("between", [": ", " - "])  # as the simulator and a server write it
def test_why_it_failed_comes_first_and_without_what_flare_puts_before_it(finish, tmp_path, between):
    line = (
        "2026-11-30 12:00:00,000 - ServerRunner - ERROR - "
        f"[identity=server, run=simulate_job, wf=scatter_and_gather]{between}"
        "Aborting current RUN due to FATAL_SYSTEM_ERROR received: Exception in ScatterAndGather control_flow: "
        "UpdateError: the method Late failed in round 1: RuntimeError('later')"
    )
    (tmp_path / "simulator.log").write_text(f"{line}\n")
    with pytest.raises(FedbratsError, match=r"^the method Late failed in round 1: RuntimeError.'later'.; job fedavg "):
        finish([*FINAL, ABORTED], None)


def test_a_simulation_that_does_not_begin_is_not_taken_for_an_earlier_one(tmp_path, phantom_sites, monkeypatch):
    results = tmp_path / "results"
    (results / "server").mkdir(parents=True)
    (results / "server" / ROWS_FILE).write_text("".join(json.dumps(row) + "\n" for row in [*FINAL, END]))
    monkeypatch.setattr("fedbrats.admin.run.simulator.ONE_PROCESS", "fedbrats.no_such_module")
    with pytest.raises(FedbratsError, match="ended as FINISHED:EXECUTION_EXCEPTION after 0 rounds"):
        simulate_job(build_job("fedavg", tmp_path / "job"), phantom_sites, results, cache_dir=tmp_path / "cache")
    assert json.loads((results / SUMMARY_FILE).read_text())["status"] == "FINISHED:EXECUTION_EXCEPTION"


def test_a_result_says_its_data_its_budget_and_what_was_done_to_it(tmp_path):
    site = tmp_path / "sites" / "north"
    site.mkdir(parents=True)
    (site / "datalist.json").write_text("{}")
    settings = {"by": "/home/somebody/cases.csv:site", "sites": 2, "fold": 1, "folds": 3, "seed": 4}
    (site.parent / "split.json").write_text(json.dumps({"made_by": "split", "settings": settings}))
    rows = [
        {"kind": "site", "round": number, "site": "north", "accepted": True, "steps": 5, "bytes": {"down": 3, "up": 2}}
        for number in (0, 1)
    ]
    rows += [{"kind": "round", "round": number} for number in (0, 1)]
    (tmp_path / "results" / "server").mkdir(parents=True)
    path = tmp_path / "results" / "server" / ROWS_FILE
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *FINAL, END]))
    bad = {"north": "noise"}
    document = finish_results(tmp_path / "results", "j", "id", None, 1.0, {"seed": 7}, bad, site_dirs=[site])
    found = document["conditions"]
    assert (document["status"], found["seed"], found["misbehaviour"]) == (COMPLETED, 7, bad)
    assert found["budget"] == {"rounds": 2, "steps": 10, "bytes": 10}
    assert found["split"] == {"made_by": "split", **settings, "by": "cases.csv:site"}
    assert len(found["data"]) == 64
    assert read_rows(tmp_path / "results" / ROWS_FILE)[0] == {"kind": "conditions", **found}
