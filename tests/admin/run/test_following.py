"""A running job is followed by what is new in its rows."""

import json

import pytest

from fedbrats.admin.run.following import Follower, RowsReader
from fedbrats.rows import REGIONS_AND_MEAN, metric_rows


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def metrics_of(dice):
    return {"dice": dict.fromkeys(REGIONS_AND_MEAN, dice), "iou": dict.fromkeys(REGIONS_AND_MEAN, 0)}


METRICS = metrics_of(0.6)


def of_round(number, dice):
    metrics = metrics_of(dice)
    answers = [{"kind": "site", "round": number, "site": site, "accepted": True} for site in ("a", "b")]
    return [*metric_rows(number, "a", "received", metrics, 3), *answers]


def test_every_row_is_read_once_whole_and_mirrored(tmp_path):
    source, mirror = tmp_path / "rows.jsonl", tmp_path / "results" / "rows.jsonl"
    reader = RowsReader(source, mirror)
    assert reader.fresh() == []
    source.write_text(lines({"kind": "job"}) + '{"kind": "half')
    assert reader.fresh() == [{"kind": "job"}]
    assert reader.fresh() == []
    source.write_text(lines({"kind": "job"}, {"kind": "half a row"}))
    assert reader.fresh() == [{"kind": "half a row"}]
    assert mirror.read_text() == source.read_text()
    source.unlink()  # the job has ended and its folder is packed up
    assert reader.fresh() == []


def test_progress_tells_rounds_answers_and_what_is_left(tmp_path):
    source = tmp_path / "rows.jsonl"
    follower = Follower("fedavg", {"num_rounds": 4}, 2, RowsReader(source))
    assert follower.progress() is None
    with source.open("a") as stream:

        def progress_after(*rows):
            stream.write(lines(*rows))
            stream.flush()
            return follower.progress()

        begun = progress_after({"kind": "job"}, *of_round(0, 0.2)[:-1])
        assert (begun.rounds_done, begun.dice, begun.seconds_left) == (0, None, None)
        both = [of_round(0, 0.2)[-1], *metric_rows(0, "b", "received", METRICS, 1)]
        first = progress_after(*both, {"kind": "round", "round": 0, "seconds": 10.0})
        assert (first.rounds_done, first.answered, first.cases, first.seconds_left) == (1, 2, 4, 30.0)
        assert first.dice == pytest.approx((3 * 0.2 + 0.6) / 4)
        half = progress_after(*of_round(1, 0.5), {"kind": "round", "round": 1, "seconds": 20.0})
        assert (half.rounds_done, half.answered, half.dice) == (2, 2, None)  # one site said nothing
        assert half.seconds_left == pytest.approx(30.0)
    assert follower.progress() is None


def test_the_last_evaluation_is_foretold_by_what_the_sites_validated(tmp_path):
    def sites_of(number, validating):
        answers = [row for row in of_round(number, 0.5) if row["kind"] == "site"]
        for row, seconds in zip(answers, validating, strict=True):
            row["seconds"] = {"training": 3.0, "validating": seconds}
        return [*answers, {"kind": "round", "round": number, "seconds": 10.0}]

    source = tmp_path / "rows.jsonl"
    source.write_text(lines({"kind": "job"}, *sites_of(0, (2.0, 1.0)), *sites_of(1, (0.0, 0.0))))
    found = Follower("fedavg", {"num_rounds": 4}, 2, RowsReader(source)).progress()
    assert (found.rounds_done, found.last_seconds) == (2, None)  # nothing was validated in the last one
    source.write_text(lines({"kind": "job"}, *sites_of(0, (2.0, 1.0))))
    found = Follower("fedavg", {"num_rounds": 4}, 2, RowsReader(source)).progress()
    assert found.last_seconds == pytest.approx(16.0)  # two models as in the round, by eight images each
    assert found.seconds_left == pytest.approx(30.0)


def test_a_resumed_job_counts_the_rounds_before(tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text(lines({"kind": "job"}, {"kind": "resume", "round": 2}))
    assert Follower("fedavg", {"num_rounds": 6}, 2, RowsReader(source)).progress().rounds_done == 3
