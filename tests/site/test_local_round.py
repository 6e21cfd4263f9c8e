"""A local round without FLARE: received weights in, an update and a report out."""

import json

import numpy as np
import pytest

from fedbrats.errors import UpdateError
from fedbrats.federation.leave_one_out import leave_out
from fedbrats.federation.said import SaidNumber
from fedbrats.privacy.arrivals import ArrivedModelError
from fedbrats.rows import CASES_FILE, FINAL_ROUND, ROWS_FOLDER
from fedbrats.site import state
from fedbrats.site.foreign_models import evaluate_foreign_model
from fedbrats.site.hooks.choice import choose_hooks, told_by_name
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.local_round import LocalRound
from fedbrats.site.local_site import open_local_site
from fedbrats.site.task import RoundTask

TRAINING = {"local_steps": 2, "patch_size": [16, 16, 16], "final_flips": False}


@pytest.fixture
def open_site(tmp_path, phantom_sites):
    """site-1, opened anew at every call, as after a restart; its folders stay."""
    (tmp_path / "local").mkdir()
    facts = {"cache_dir": "cache", "personal_dir": "personal", "threads": 1, "min_cases": 1}
    facts |= {"data_dir": str(phantom_sites / "site-1")}
    (tmp_path / "local" / "fedbrats.json").write_text(json.dumps(facts))

    def make(**training):
        return open_local_site(
            "site-1",
            tmp_path / "local",
            tmp_path / "run",
            network={"preset": "tiny", "seed": 0},
            training={**TRAINING, **training},
            preparation={"spacing_mm": 8.0},
            seed=0,
        )

    return make


def new_round(site, tmp_path, *extra, **method):
    hooks = (*choose_hooks(site.trainer.settings, **method), *extra)
    return LocalRound(site, hooks, [tmp_path / "personal" / "job" / site.name])


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_an_answer_is_the_difference_to_what_was_received(open_site, tmp_path):
    site = open_site()
    received = site.trainer.get_weights()
    answer = new_round(site, tmp_path).answer(RoundTask(received, 0, 2))
    end = site.trainer.get_weights()
    assert all(np.array_equal(answer.update[name], end[name] - received[name]) for name in received)
    assert (answer.report.steps, answer.report.training_cases, answer.report.begins) == (2, 4, "fresh")
    rows = [json.loads(line) for line in (tmp_path / "run" / ROWS_FOLDER / CASES_FILE).read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["received", "trained"]


@pytest.mark.parametrize("method", [{}, {"personal": "head"}, {"measure_minus_model": True}])
def test_a_restart_between_rounds_changes_no_bit(open_site, tmp_path, method):
    shares = {"site-1": 0.4}
    steady = new_round(open_site(), tmp_path / "steady", **method)
    first = open_site().trainer.get_weights()
    answers = [steady.answer(RoundTask(first, number, 3, shares)) for number in range(2)]
    for number in range(2):
        restarted = new_round(open_site(), tmp_path / "restarted", **method)
        answer = restarted.answer(RoundTask(first, number, 3, shares))
        assert same(answer.update, answers[number].update)
        assert answer.report.minus_score == answers[number].report.minus_score
        assert answer.report.begins == ("stored" if number else "fresh")
    again = restarted.answer(RoundTask(first, 1, 3, shares))  # asked twice, it answers twice the same
    assert same(again.update, answers[1].update)


@pytest.mark.parametrize(("method", "large"), [({}, None), ({"personal": "head"}, 1)])  # large: a round of such a state
def test_a_simulation_that_repeats_rounds_from_memory_changes_no_bit(open_site, tmp_path, monkeypatch, method, large):
    first = open_site().trainer.get_weights()
    on_disk = new_round(open_site(), tmp_path / "disk", **method)
    asked = (0, 1, 2, 2, 1, 2, 0, 1)
    answers = [on_disk.answer(RoundTask(first, number, 3)) for number in asked]
    monkeypatch.setattr(state, "_small_in_memory", True)
    simulated = new_round(open_site(), tmp_path / "memory", **method)
    for number, expected in zip(asked, answers, strict=True):
        monkeypatch.setattr(state, "SMALL_BYTES", -1 if number == large else 2**18)
        answer = simulated.answer(RoundTask(first, number, 3))
        assert same(answer.update, expected.update)
        assert answer.report.begins == expected.report.begins
    kept = {path.name for path in (tmp_path / "memory").rglob("round-*")}
    assert kept == (set() if large is None else {"round-000001"})


def test_the_minus_score_is_of_the_model_without_the_sites_share(open_site, tmp_path):
    site = open_site()
    local_round = new_round(site, tmp_path, measure_minus_model=True)
    first = site.trainer.get_weights()
    assert local_round.answer(RoundTask(first, 0, 3, {"site-1": 0.5})).report.minus_score is None
    trained = site.trainer.get_weights()
    report = local_round.answer(RoundTask(first, 1, 3, {"site-1": 0.5})).report
    site.trainer.set_weights(leave_out(first, trained, 0.5))
    assert report.minus_score == 1 - site.metrics(site.evaluate())["dice"]["mean"]


def test_a_round_that_is_stopped_has_never_begun(open_site, tmp_path):
    local_round = new_round(open_site(), tmp_path, personal="head")
    first = open_site().trainer.get_weights()
    asked = iter([False, True, True])
    assert local_round.answer(RoundTask(first, 0, 2), should_stop=lambda: next(asked)) is None
    assert not (tmp_path / "personal" / "job").exists()
    expected = new_round(open_site(), tmp_path / "other", personal="head").answer(RoundTask(first, 0, 2))
    assert same(local_round.answer(RoundTask(first, 0, 2)).update, expected.update)


def test_a_proximal_term_keeps_weights_near_those_received(open_site, tmp_path):
    def length(mu):
        site = open_site(local_steps=20, proximal_mu=mu, learning_rate=1e-2)
        answer = new_round(site, tmp_path / str(mu)).answer(RoundTask(site.trainer.get_weights(), 0, 1))
        return sum(float(np.square(value).sum()) for value in answer.update.values())

    assert length(1000.0) < 0.3 * length(0.0)


def test_a_hook_changes_weights_update_and_report_and_keeps_its_state(open_site, tmp_path):
    class Halving(SiteHook):
        name = "halving"
        rounds = None

        def begin_round(self, site, weights, task):
            return {name: value / 2 for name, value in weights.items()}

        def end_round(self, trained):
            self.rounds = (self.rounds or 0) + 1

        def change_update(self, update):
            return {name: value * 0 for name, value in update.items()}

        def report(self):
            return {"minus_score": 0.25}

        def state(self):
            return None if self.rounds is None else {"rounds": np.array(self.rounds)}

        def restore(self, state):
            self.rounds = None if state is None else int(state["rounds"])

    site, seen = open_site(), []
    first = site.trainer.get_weights()
    halving = Halving()
    halving.before_steps = lambda network: seen.append(site.trainer.get_weights())
    answer = new_round(site, tmp_path, halving).answer(RoundTask(first, 0, 2))
    assert same(seen[0], {name: value / 2 for name, value in first.items()})
    assert not any(value.any() for value in answer.update.values())
    assert answer.report.minus_score == 0.25
    hook = Halving()
    new_round(open_site(), tmp_path, hook).answer(RoundTask(first, 1, 2))
    assert hook.rounds == 2


def test_a_crafted_model_is_refused_before_it_is_trained_and_is_a_row_at_the_site(open_site, tmp_path):
    site = open_site()
    local_round = new_round(site, tmp_path)
    first = site.trainer.get_weights()
    local_round.answer(RoundTask(first, 0, 3))
    crafted = {name: value + 100 for name, value in first.items()}
    for opened in (local_round, new_round(open_site(), tmp_path)):  # also after a restart
        with pytest.raises(ArrivedModelError, match="the model of round 1 is refused"):
            opened.answer(RoundTask(crafted, 1, 3))
    rows = [json.loads(line) for line in (tmp_path / "run" / ROWS_FOLDER / CASES_FILE).read_text().splitlines()]
    assert sum("refused" in row for row in rows) == 2
    assert local_round.answer(RoundTask(first, 1, 3)) is not None


def test_a_hook_that_raises_is_told_by_its_name(open_site, tmp_path):
    class Raising(SiteHook):
        name = "raising"

        def change_gradient(self, network):
            return 1 / 0

    site = open_site()
    local_round = new_round(site, tmp_path, told_by_name(Raising(), "mine.Raising"))
    with pytest.raises(UpdateError, match=r"the hook mine.Raising failed in change_gradient: ZeroDivisionError"):
        local_round.answer(RoundTask(site.trainer.get_weights(), 0, 2))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"drift": float("nan")}, "drift is nan, expected a finite number"),
        ({"drift": 11.0}, "drift is 11, expected 0 to 10"),
        ({}, "does not say drift"),
        ({"drift": 1.0, "more": 2.0}, "says 'more', which its `says` does not declare"),
    ],
)
def test_a_site_does_not_say_what_its_method_has_not_declared(open_site, tmp_path, said, why):
    class Saying(SiteHook):
        name = "saying"
        says = {"drift": SaidNumber("a drift", 0, 10, of="validation")}  # noqa: RUF012

        def say(self):
            return said

    site = open_site()
    task = RoundTask(site.trainer.get_weights(), 0, 2)
    with pytest.raises(UpdateError, match=why):
        new_round(site, tmp_path, Saying()).answer(task)
    said = {"drift": 2.0}
    assert new_round(open_site(), tmp_path / "again", Saying()).answer(task).said == {"validation": {"drift": 2.0}}


def test_a_round_is_validated_once_in_so_many_and_the_last_always(open_site, tmp_path):
    site = open_site(local_steps=1)
    rounds = LocalRound(site, choose_hooks(site.trainer.settings), [tmp_path / "personal"], validate_every=2)
    weights = site.trainer.get_weights()
    reports = [rounds.answer(RoundTask(weights, number, 5)).report for number in range(5)]
    assert [report.received is not None for report in reports] == [False, True, False, True, True]
    assert [report.trained is not None for report in reports] == [False, True, False, True, True]
    assert [report.seconds["validating"] > 0 for report in reports] == [False, True, False, True, True]
    assert {report.validation_cases for report in reports} == {reports[1].validation_cases}


def test_a_case_that_breaks_while_another_jobs_model_is_evaluated_is_recorded(open_site, tmp_path):
    site = open_site()
    case = site.trainer.evaluation.cases[0]
    case.files[0][0].unlink()
    report = evaluate_foreign_model(site, site.trainer.get_weights(), "none", "job", {}, "SRV_fedavg")
    assert report.validation_cases == len(site.trainer.evaluation.cases) - 1
    rows = [json.loads(line) for line in (tmp_path / "run" / ROWS_FOLDER / CASES_FILE).read_text().splitlines()]
    assert [(row["rejected"], row["round"]) for row in rows if "rejected" in row] == [(case.name, FINAL_ROUND)]
