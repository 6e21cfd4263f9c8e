"""Where a job stands, told from its rows as they are written."""

import json

import pytest
from hypothesis import given, settings

from fedbrats.admin.operate.overview import read_jobs
from fedbrats.admin.operate.watching import _standing
from fedbrats.cli.studies.following import round_line
from fedbrats.standing import Standing, read_standing
from tests.generated.test_documents import ANYTHING
from tests.security.attacks import attack


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


def test_what_is_told_is_read_as_it_was():
    standing = Standing()
    standing.take([{"kind": "job"}, site(0, "a"), dice(0, "a", 0.4), {"kind": "refusal", "round": 0, "site": "b"}])
    told = {**standing.document(), "rounds": 3, "sites": 2, "objections": {"c": "its list"}}
    assert read_standing(json.loads(json.dumps(told))) == told


NAMES = ("rounds_done", "rounds", "sites", "answered", "silent", "dice", "round_s", "refusals", "trouble", "objections")


@attack(
    "end a person's `fedbrats watch` or `job follow`, or act on the terminal, by what they are told of a job",
    who="the server's operator",
    happens="what is of another kind is left out, and texts are escaped",
)
@settings(max_examples=40)
@given(ANYTHING)
def test_a_standing_of_any_content_can_be_shown(said):
    for document in (said, {"rounds_done": 1, **dict.fromkeys(NAMES[1:], said)}, {"rounds_done": said}):
        found = read_standing(document)
        if found is not None:
            assert round_line(found).isprintable()
            assert _standing({"job_id": "a", "standing": found}).blocks


@pytest.mark.parametrize("said", [None, 3, {}, [None], [{}], [{"job_id": 3}], [{"job_id": "a\x1b[31m", "status": []}]])
def test_a_list_of_jobs_of_any_content_can_be_shown(said):
    class Session:
        def list_jobs(self, detailed=False):
            return said

    assert all(job["job_id"].isprintable() for job in read_jobs(Session()))


def test_a_number_of_any_size_is_no_number():
    found = read_standing({"rounds_done": 10**400, "dice": float("nan"), "round_s": float("inf"), "rounds": True})
    assert (found["rounds_done"], found["dice"], found["round_s"], found["rounds"]) == (0, None, None, 0)
