"""Rows and their summary, on numbers that can be checked by hand."""

import pytest

from fedbrats.rows import (
    learning_curve,
    metric_rows,
    read_rows,
    summarise_rows,
)


def metrics(value):
    return {metric: dict.fromkeys(("mean", "WT", "TC", "ET"), value) for metric in ("dice", "iou")}


def job():
    return [
        {"kind": "job", "job_id": "j"},
        {"kind": "site", "round": 0, "site": "a", "accepted": True, "training_cases": 9},
        {"kind": "site", "round": 0, "site": "b", "accepted": True, "training_cases": 3},
        *metric_rows(0, "a", "received", metrics(0.2), 3),
        *metric_rows(0, "b", "received", metrics(0.6), 1),
        {"kind": "round", "round": 0, "answered": ["a", "b"], "silent": ["c"], "seconds": 1.0},
        {"kind": "refusal", "round": 0, "site": "d", "reason": "zero", "message": "..."},
        *metric_rows(-1, "a", "final", metrics(0.4), 3),
        *metric_rows(-1, "b", "final", metrics(0.8), 1),
    ]


def test_the_mean_over_all_cases_weighs_sites_by_their_validation_cases():
    summary = summarise_rows(job())
    assert summary["dice"] == pytest.approx({"mean": 0.5, "WT": 0.5, "TC": 0.5, "ET": 0.5})
    assert (summary["rounds"], summary["sites"], summary["cases"]) == (1, 2, 4)
    assert summary["per_site"]["b"]["iou"]["ET"] == 0.8


def test_who_was_silent_or_refused_is_counted():
    summary = summarise_rows(job())
    assert summary["silent_rounds"] == {"c": 1}
    assert summary["refusals"] == {"d": 1}


def test_a_small_group_is_in_the_count_of_sites_and_in_no_mean():
    rows = [*job()[:-4], *metric_rows(-1, "b", "final", None, 1)]
    summary = summarise_rows(rows)
    assert summary["per_site"]["b"]["dice"] is None
    assert summary["dice"]["mean"] == pytest.approx(0.4)
    assert (summary["sites"], summary["cases"], summary["per_site"]["b"]["cases"]) == (2, 3, 1)


def test_a_job_that_nobody_evaluated_has_no_dice():
    assert summarise_rows(job()[:6])["dice"] is None


def test_the_learning_curve_is_the_mean_of_the_received_models():
    assert learning_curve(job()) == {0: pytest.approx(0.3)}


def test_a_last_line_cut_short_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"kind": "job"}\n{"kind": "rou')
    assert read_rows(path) == [{"kind": "job"}]
    path.write_text('{"kind": "jo\n{"kind": "round"}\n')
    with pytest.raises(ValueError, match="Unterminated"):
        read_rows(path)


def refused_and_asked_again():
    """Site b lies and is refused in round 0, is asked again and is accepted; site d is refused for good."""
    lie = {"kind": "site", "round": 0, "site": "b", "accepted": False, "training_cases": 10**6, "spacing_mm": 9.0}
    rows = [{**row, "spacing_mm": 2.0} if row["kind"] == "site" else row for row in job()]
    refused = [lie, *metric_rows(0, "b", "received", metrics(1.0), 1000)]
    for_good = [{**lie, "site": "d"}, *metric_rows(0, "d", "received", metrics(1.0), 1000)]
    return [rows[0], *refused, *rows[1:], *for_good]


def test_what_was_refused_enters_neither_summary_nor_curve():
    summary = summarise_rows(refused_and_asked_again())
    assert summary == summarise_rows([{**row, "spacing_mm": 2.0} for row in job()])
    assert (summary["spacing_mm"], sorted(summary["per_site"])) == (2.0, ["a", "b"])
    assert summary["per_site"]["b"]["training_cases"] == 3
    assert learning_curve(refused_and_asked_again()) == learning_curve(job())


def test_a_second_answer_that_is_refused_does_not_undo_the_first():
    again = {"kind": "site", "round": 0, "site": "b", "accepted": False, "training_cases": 10**6}
    summary = summarise_rows([*job(), again, *metric_rows(0, "b", "received", metrics(1.0), 1000)])
    assert summary["per_site"]["b"]["training_cases"] == 3
    assert learning_curve([*job(), again]) == learning_curve(job())


def test_an_answer_of_an_earlier_version_counts_as_accepted():
    rows = [{key: value for key, value in row.items() if key != "accepted"} for row in job()]
    assert summarise_rows(rows) == summarise_rows(job())


def test_answers_whose_covered_updates_came_to_no_sum_are_left_out():
    """The round was asked once more, and each site counts once."""
    repeated = [
        {"kind": "site", "round": 0, "site": "a", "accepted": True, "training_cases": 9},
        *metric_rows(0, "a", "received", metrics(0.9), 3),
        {"kind": "padded", "round": 0, "attempt": 1, "lacks": "site b took off no pad", "bytes": {"down": 0, "up": 8}},
    ]
    rows = [*repeated, *job()]
    assert learning_curve(rows) == learning_curve(job())
    assert summarise_rows(rows) == summarise_rows(job())
