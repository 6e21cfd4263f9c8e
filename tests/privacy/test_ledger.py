"""The ledger: it only grows, a changed or missing line is found, and what it does not hold has not been paid for."""

import errno
import json
import os
import threading
from dataclasses import replace

import pytest

from fedbrats.errors import ConfigurationError, DataError
from fedbrats.privacy import ledger as ledger_module
from fedbrats.privacy.ledger import Entry, Ledger

ENTRY = Entry("2030-01-01T00:00:00+00:00", "job-1", 0, "a" * 64, 4.0, 1.0, 0.5, 8, 1e-3)


def allow(_entries):
    """No budget."""


@pytest.fixture
def ledger(tmp_path):
    """A ledger of four rounds."""
    made = Ledger(tmp_path / "site" / "privacy_ledger.jsonl")
    for number in range(4):
        made.charge(replace(ENTRY, round=number), allow)
    return made


def lines(ledger):
    return ledger.path.read_bytes().splitlines(keepends=True)


def test_it_keeps_what_was_written(ledger):
    assert [entry.round for entry in ledger.read()] == [0, 1, 2, 3]
    assert ledger.read()[0] == ENTRY
    assert Ledger(ledger.path.with_name("none.jsonl")).read() == ()
    assert ledger.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", range(4))
def test_a_line_that_is_taken_out_is_found(ledger, number):
    kept = lines(ledger)
    del kept[number]
    ledger.path.write_bytes(b"".join(kept))
    for use in (ledger.read, lambda: ledger.charge(ENTRY, allow)):
        with pytest.raises(DataError, match=r"privacy_ledger\.jsonl.*restore it"):
            use()


@pytest.mark.parametrize("number", range(4))
def test_a_line_that_is_altered_is_found(ledger, number):
    kept = lines(ledger)
    kept[number] = kept[number].replace(b'"noise": 4.0', b'"noise": 40.0')
    assert kept != lines(ledger)
    ledger.path.write_bytes(b"".join(kept))
    with pytest.raises(DataError, match=r"altered|not the one that was written"):
        ledger.read()


@pytest.mark.parametrize("content", [b"", b"{}\n", b"rubbish\n", b'{"before": 1}\n', b"\xff\n"])
def test_a_ledger_that_is_emptied_or_overwritten_is_found(ledger, content):
    ledger.path.write_bytes(content)
    with pytest.raises(DataError, match="restore it"):
        ledger.read()


def test_a_ledger_that_is_gone_is_not_a_new_one(ledger):
    ledger.path.unlink()
    with pytest.raises(DataError, match="has 0 lines and should have 4"):
        ledger.read()


def test_half_a_line_of_a_power_cut_paid_for_nothing(ledger):
    with ledger.path.open("ab") as stream:
        stream.write(b'{"noise": 4.0, "ro')
    assert len(ledger.read()) == 4
    ledger.charge(replace(ENTRY, round=4), allow)
    assert [entry.round for entry in ledger.read()] == [0, 1, 2, 3, 4]


def test_a_power_cut_between_line_and_head_costs_the_line(ledger, monkeypatch):
    def cut(*_args, **_mode):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ledger_module, "write_json_atomic", cut)
    with pytest.raises(OSError, match="No space left"):
        ledger.charge(replace(ENTRY, round=4), allow)
    monkeypatch.undo()
    assert len(ledger.read()) == 5  # counted, although nothing left: never the other way round
    ledger.charge(replace(ENTRY, round=5), allow)
    assert len(ledger.read()) == 6


def test_a_full_disk_leaves_the_ledger_as_it_was(ledger, monkeypatch):
    before = ledger.path.read_bytes()
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, line, at: write(descriptor, line[:10], at))
    with pytest.raises(OSError, match="No space left"):
        ledger.charge(ENTRY, allow)
    assert ledger.path.read_bytes() == before

    def fail(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        ledger.charge(ENTRY, allow)
    assert ledger.path.read_bytes() == before


def test_a_clock_that_went_back_stops_what_is_private(ledger):
    ledger.charge(replace(ENTRY, time="2029-12-31T23:58:00+00:00"), allow)  # set right by two minutes
    with pytest.raises(DataError, match="set the clock right"):
        ledger.charge(replace(ENTRY, time="2029-12-01T00:00:00+00:00"), allow)


def test_what_a_judge_refuses_is_not_written(ledger):
    def refuse(entries):
        raise ConfigurationError(f"{len(entries)} are too many")

    with pytest.raises(ConfigurationError, match="5 are too many"):
        ledger.charge(ENTRY, refuse)
    assert len(ledger.read()) == 4


def test_jobs_at_once_never_pass_the_limit_together(ledger):
    """Eight jobs want a line each where two more are allowed; each has the file open before any writes."""
    refused, gate = [], threading.Barrier(8)

    def limit(entries):
        if len(entries) > 6:
            raise ConfigurationError("too many")

    def run(number):
        gate.wait()
        try:
            Ledger(ledger.path).charge(replace(ENTRY, job=f"job-{number}"), limit)
        except ConfigurationError:
            refused.append(number)

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(refused) == 6
    assert len(ledger.read()) == 6


def test_a_line_holds_no_name_of_a_patient(ledger):
    assert set(json.loads(lines(ledger)[0])) == {
        "time", "job", "round", "patients", "noise", "clip", "rate", "steps", "delta", "before"
    }  # fmt: skip
