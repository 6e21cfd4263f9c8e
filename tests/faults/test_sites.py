"""Sites that die, stop, come late and leave while a job runs: nobody is lost without a word, who comes back is in."""

import shutil
import signal

import pytest

from fedbrats.data.phantom.cohort import CohortSettings, write_cohort
from fedbrats.data.split.sites import new_sites_folder, write_record
from tests.faults.catalogue import SURVIVED, fault
from tests.faults.federation import Federation, running, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(3000)]
JOB = "fedper"
REJOINED = f"{SURVIVED}: given the job again, with its personal weights and optimiser as they were before the round"
# (round, site, phase, event in the site's job process, how)
KILLS = [
    (2, "site-1", "before the task", "_before_task_data_filter", {}),
    (2, "site-2", "in training", "_before_task_execution", {"delay_s": 0.2}),
    (3, "site-1", "after training", "_after_task_execution", {}),
    (3, "site-2", "while sending", "_before_send_task_result", {}),
    (4, "site-1", "in training, with the whole site", "_before_task_execution", {"what": "all"}),
    (4, "site-2", "in training, and its machine emptied", "_before_task_execution", {"what": "all"}),
]


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """Three sites of three phantoms each; the third has not come yet."""
    folder = tmp_path_factory.mktemp("sites")
    settings = CohortSettings(sites=3, cases=3, spacing_mm=4.0)
    with new_sites_folder(folder / "data") as temporary:
        write_record(temporary, list(write_cohort(temporary, settings)), {"made_by": "phantom"})
    with running(folder / "federation", folder / "data", "server", "site-1", "site-2") as federation:
        yield federation


@pytest.fixture(scope="module")
def rows(federation: Federation):
    """The rows of one job in which all of it happens."""
    hits = [federation.order(site, event, number, **how) for number, site, _, event, how in KILLS]
    hold = federation.order("site-1", "_before_task_execution", 1, signal="SIGSTOP")
    job_id = federation.submit(
        JOB, num_rounds=6, local_steps=60, min_case_share=0.3, first_deadline_s=900, deadline_floor_s=900
    )
    wait_for(hold.exists, "round 1")
    federation.start("site-3")
    federation.wait_for_row(job_id, "joined", site="site-3")
    for process in federation.processes("site-1", job_id):
        process.send_signal(signal.SIGCONT)
    for hit in hits:
        wait_for(hit.exists, str(hit))
    shutil.rmtree(federation.poc.workspace / "personal" / job_id / "site-2")
    federation.restart("site-1", "site-2")
    assert federation.wait_for_end(job_id) == "FINISHED:COMPLETED"
    return federation.collect(job_id)


def site_rows(rows, site):
    return {row["round"]: row for row in rows if row["kind"] == "site" and row["site"] == site and row["accepted"]}


@pytest.mark.parametrize(
    ("number", "site"),
    [
        pytest.param(
            number,
            site,
            marks=fault(
                f"site killed {phase}" if "all" in how.values() else f"site's job process killed {phase}",
                injected="SIGKILL, by a component at an event of the round",
                detected="the site's `site` row: its round began from what is stored",
                outcome=REJOINED,
            ),
        )
        for number, site, phase, _, how in KILLS[:-1]
    ],
)
def test_a_killed_site_does_the_round_again_from_where_it_was(rows, number, site):
    assert site_rows(rows, site)[number]["begins"] == "stored"
    assert [row["lacks"] for row in rows if row["kind"] == "participation"] == [None] * 6


@fault(
    "site's machine replaced by an empty one",
    injected="SIGKILL to the whole site, its personal folder removed, started again",
    detected="`lost` row, log of the server and of the site",
    outcome=f"{SURVIVED}: takes part again, and says that its optimiser and personal weights begin anew",
)
def test_an_emptied_site_says_what_it_lost(rows):
    assert [(row["site"], row["round"]) for row in rows if row["kind"] == "lost"] == [("site-2", 4)]
    assert site_rows(rows, "site-2")[4]["begins"] == "fresh"


@fault(
    "site that joins late",
    injected="a site is started when the job is past its first round",
    detected="`joined` row",
    outcome=f"{SURVIVED}: given the running job, counted from then on",
)
def test_a_site_that_joins_late_is_counted_from_then_on(rows):
    joined = [row for row in rows if row["kind"] == "joined" and row["site"] == "site-3"]
    assert [row["again"] for row in joined] == [False]
    assert max(site_rows(rows, "site-3")) == 5
    assert 0 not in site_rows(rows, "site-3")


@fault(
    "site stopped past the deadline",
    injected="SIGSTOP to the site's job process, SIGCONT when the round was closed",
    detected="`participation` row `waiting`; a `late` row where the site still sends what nobody waits for",
    outcome=f"{SURVIVED}: the round closed without it and said so; counted again in the next rounds",
)
@fault(
    "site that leaves in round 3",
    injected="SIGKILL to the whole site, never started again",
    detected="`participation` rows `waiting`, then `absent`",
    outcome=f"{SURVIVED}: the rounds close without it at their deadline and say so; the job ends completed",
)
def test_who_is_past_the_deadline_is_said_and_not_waited_for(federation, rows):
    stopped = federation.order("site-1", "_before_task_execution", 1, signal="SIGSTOP")
    left = federation.order("site-3", "_before_task_execution", 3, what="all")
    job_id = federation.submit(
        JOB,
        num_rounds=5,
        min_case_share=0.3,
        first_deadline_s=900,
        deadline_floor_s=15,
        deadline_factor=1.0,
        evaluation_timeout_s=60,
    )
    wait_for(stopped.exists, "the stop")
    federation.wait_for_row(job_id, "round", round=1)
    for process in federation.processes("site-1", job_id):
        process.send_signal(signal.SIGCONT)
    wait_for(left.exists, "the leaving")
    federation.wait_for_end(job_id)
    found = federation.collect(job_id)
    by_round = {row["round"]: row for row in found if row["kind"] == "participation" and row["lacks"] is None}
    assert by_round[1]["waiting"] == ["site-1"]
    assert by_round[3]["waiting"] == ["site-3"]
    assert "site-3" in by_round[4]["waiting"] + by_round[4]["absent"]
    counted = site_rows(found, "site-1")
    assert 1 not in counted
    assert max(counted) == 4
