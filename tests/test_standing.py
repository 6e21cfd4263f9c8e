"""Where a job stands, told from its rows as they are written."""

from fedbrats.standing import Standing


def site(number, name, accepted=True):
    return {"kind": "site", "round": number, "site": name, "accepted": accepted}


def dice(number, name, value):
    return {
        "kind": "metrics", "round": number, "site": name, "stage": "received", "region": "mean", "dice": value,
        "cases": 2,
    }  # fmt: skip


def test_a_running_round():
    standing = Standing()
    standing.take([{"kind": "job"}, site(0, "a"), dice(0, "a", 0.4), site(0, "b", accepted=False)])
    standing.take([{"kind": "refusal", "round": 0, "site": "b", "message": "not finite"}])
    found = standing.document()
    assert (found["rounds_done"], found["answered"], found["dice"]) == (0, ["a"], 0.4)
    assert found["refusals"] == {"b": 1}


def test_what_is_over_does_not_count_for_the_next_round():
    standing = Standing()
    for number in range(3):
        standing.take([site(number, "a"), dice(number, "a", number / 10)])
        standing.take([{"kind": "round", "round": number, "silent": ["b"], "seconds": 4.0}])
    found = standing.document()
    assert (found["rounds_done"], found["answered"], found["silent"]) == (3, [], ["b"])
    assert (found["dice"], found["round_s"]) == (0.2, 4.0)
    assert len(standing._recent) == 2, "it does not grow with the rounds"


def test_a_job_that_goes_on_counts_the_rounds_before():
    standing = Standing()
    standing.take([{"kind": "resume", "job": "x", "round": 4}])
    assert standing.document()["rounds_done"] == 5
