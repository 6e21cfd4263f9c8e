"""Ask a command as a person would, and hold it to its promise: it does its work, or says in one sentence why not."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

from fedbrats.cli.main import main
from fedbrats.errors import FedbratsError

Result = TypeVar("Result")

# A fixed seed: the same inputs everywhere. No deadline of hypothesis: `within` is the one that counts.
GENERATED = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), max_examples=50
)
TOO_LONG_S = 120  # for what takes a second on a quiet machine


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    status: int
    out: str
    err: str


class Hang(BaseException):
    """Took longer than anything may take; not caught by what catches exceptions."""


@contextmanager
def within(seconds: int = TOO_LONG_S) -> Iterator[None]:
    """Raise Hang in the main thread if the block takes longer."""

    def give_up(*_: Any) -> None:
        raise Hang(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)  # of pytest's own limit
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)


def attempt(function: Callable[..., Result], *arguments: Any) -> tuple[Result | None, str]:
    """(result, "") or (None, the sentence of the refusal); anything else that is raised fails the test."""
    with within():
        try:
            return function(*arguments), ""
        except FedbratsError as error:
            return None, str(error)


def ask(*words: object) -> Answer:
    """Run `fedbrats WORDS` in this process; anything but an exit status and a sentence is a failure of the test."""
    out, err = io.StringIO(), io.StringIO()
    with within(), redirect_stdout(out), redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as error:  # argparse, which says what is wrong with the arguments
            status = int(error.code or 0)
    answer = Answer(status, out.getvalue(), err.getvalue())
    assert "Traceback" not in answer.out + answer.err, answer
    assert status in (0, 1, 2), answer
    if status == 2 or (status == 1 and not answer.out):
        assert answer.err.strip(), "it failed without a word"
    return answer
