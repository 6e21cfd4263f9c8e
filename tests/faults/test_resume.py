"""A server killed in any phase of a round: the study comes to the same bits as one that nobody disturbed."""

import pytest

from tests.faults.catalogue import SURVIVED, fault
from tests.faults.federation import Federation, running, same, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(3000)]
ROUNDS = 6
JOB = "contribution_fedper"
# (phase, the event of the server's job process at which it dies, whether the whole server dies with it)
PHASES = [
    ("before the task", "_round_started", "all"),
    ("in training", "_before_train_task", "job"),
    ("while sites are sending", "_after_contribution_accept", "job"),
    ("while aggregating", "_before_aggregation", "all"),
    ("while saving", "_before_save_model", "job"),
]


@pytest.fixture(scope="module")
def federation(tmp_path_factory, phantom_sites):
    """Two sites, personal heads, the Contribution Factor: everything that has a memory."""
    with running(tmp_path_factory.mktemp("resume"), phantom_sites) as federation:
        yield federation


@pytest.fixture(scope="module")
def undisturbed(federation: Federation):
    """The job as it runs when nothing happens."""
    job_id = federation.submit(JOB, num_rounds=ROUNDS)
    assert federation.wait_for_end(job_id) == "FINISHED:COMPLETED"
    return job_id, federation.collect(job_id)


def _killed(phase: str, what: str) -> pytest.MarkDecorator:
    whole = "the server's own process and its job process" if what == "all" else "the server's job process"
    return fault(
        f"server killed {phase}" if what == "all" else f"server's job process killed {phase}",
        injected=f"SIGKILL to {whole}, by a component at an event of the round",
        detected="the job's status; `resume` row",
        outcome=f"{SURVIVED}: resumed from the last finished round; final and best model, memory and personal weights "
        "bit for bit those of an undisturbed run",
    )


@_killed(*PHASES[0][::2])
@_killed(*PHASES[1][::2])
@_killed(*PHASES[2][::2])
@_killed(*PHASES[3][::2])
@_killed(*PHASES[4][::2])
def test_a_study_killed_in_every_phase_comes_to_the_same_bits(federation: Federation, undisturbed):
    hits = [federation.order("server", event, number, what=what) for number, (_, event, what) in enumerate(PHASES, 1)]
    job_id = federation.submit(JOB, num_rounds=ROUNDS)
    for number, (hit, (phase, _, what)) in enumerate(zip(hits, PHASES, strict=True), 1):
        wait_for(hit.exists, f"the kill {phase}")
        if what == "all":
            federation.restart("server")
        federation.wait_for_end(job_id)
        job_id = federation.resume(job_id)
        row = federation.wait_for_row(job_id, "resume", round=number - 1)
        assert row["job"] != job_id
    assert federation.wait_for_end(job_id) == "FINISHED:COMPLETED"
    rows = federation.collect(job_id)
    assert [row["round"] for row in rows if row["kind"] == "round"] == list(range(ROUNDS))
    assert [row["round"] for row in rows if row["kind"] == "resume"] == list(range(len(PHASES)))
    first, its_rows = undisturbed
    for name in ("FL_global_model.pt", "best_FL_global_model.pt"):
        assert same(federation.model(job_id, name), federation.model(first, name)), name
    for kind in ("weight", "metrics"):
        assert _in_order(rows, kind) == _in_order(its_rows, kind)
    for site in federation.poc.sites:
        one, other = (federation.personal(each, site) for each in (job_id, first))
        assert same(one, other), site


def _in_order(rows, kind):
    return sorted((row for row in rows if row["kind"] == kind), key=str)
