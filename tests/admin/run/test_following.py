"""A running job is followed by what is new in its rows."""

import json

import pytest

from fedbrats.admin.run.following import Follower, RowsReader
from fedbrats.rows import metric_rows


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def of_round(number, dice):
    metrics = {
        "dice": dict.fromkeys(("mean", "WT", "TC", "ET"), dice),
        "iou": dict.fromkeys(("mean", "WT", "TC", "ET"), 0),
    }
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


def test_progress_tells_rounds_answers_and_the_last_dice(tmp_path):
    source = tmp_path / "rows.jsonl"
    follower = Follower("fedavg", 3, 2, RowsReader(source))
    assert follower.progress() is None
    with source.open("a") as stream:
        stream.write(lines({"kind": "job"}, *of_round(0, 0.2)[:-1]))
        stream.flush()
        first = follower.progress()
        assert (first.rounds_done, first.answered, first.dice) == (0, 1, pytest.approx(0.2))
        stream.write(lines(of_round(0, 0.2)[-1], {"kind": "round", "round": 0}, *of_round(1, 0.5)))
        stream.flush()
        second = follower.progress()
        assert (second.rounds_done, second.answered, second.dice) == (1, 2, pytest.approx(0.5))
        stream.write(lines({"kind": "round", "round": 1}))
        stream.flush()
        third = follower.progress()
        assert (third.rounds_done, third.answered, third.dice) == (2, 0, pytest.approx(0.5))
    assert follower.progress() is None
