"""How a function of the API says what it is at: a callback that gets steps. `print` is one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from fedbrats.outside import show_lines

Item = TypeVar("Item")
LONGEST_TEXT = 4000
_log = logging.getLogger("fedbrats.api")


@dataclass(frozen=True)
class Step:
    """Something that long work says: a sentence, or how many of its parts are done.

    Attributes:
        text: The sentence, or what is being done.
        done: The parts that are done; None of a sentence.
        total: All parts.
        is_warning: Whether a person should read it.
        is_in_result: Whether the result will say it too.
    """

    text: str
    done: int | None = None
    total: int | None = None
    is_warning: bool = False
    is_in_result: bool = False

    def __str__(self) -> str:
        text = show_lines(self.text, LONGEST_TEXT)
        return text if self.done is None else f"{text}: {self.done}/{self.total}"


Progress = Callable[[Step], None]


def log_step(step: Step) -> None:
    """What happens where nobody gives a callback: warnings are logged as such, all else as information."""
    _log.log(logging.WARNING if step.is_warning else logging.INFO, "%s", step)


class Watch:
    """What a function of the API tells its caller by.

    Args:
        progress: The caller's callback; None logs.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._show = progress or log_step

    def say(self, text: str) -> None:
        """Tell how far things are."""
        self._show(Step(text))

    def warn(self, text: str, *, is_in_result: bool = False) -> None:
        """Tell what a person should read."""
        self._show(Step(text, is_warning=True, is_in_result=is_in_result))

    def follow(self, items: Iterable[Item], total: int, doing: str) -> Iterator[Item]:
        """`items` as they come; a step before the first and after each."""
        self._show(Step(doing, 0, total))
        for done, item in enumerate(items, start=1):
            yield item
            self._show(Step(doing, done, total))


def time_left(rounds_s: float, last_s: float | None) -> str:
    """How long a job still takes; last_s: its last evaluation, None where that is not known."""
    if last_s is None:
        return f"about {duration(rounds_s)} of rounds left, then the last evaluation"
    return f"about {duration(rounds_s + last_s)} left, {duration(last_s)} of it for the last evaluation"


def duration(seconds: float) -> str:
    """A time as a person says it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
