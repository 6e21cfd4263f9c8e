"""Types of arguments that argparse does not have; what is not of the type is wrong usage, and exit status 2."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.cli.progress import say
from fedbrats.errors import ArgumentError, ConfigurationError
from fedbrats.run_folder import find_run, why_unfinished

if TYPE_CHECKING:
    from fedbrats.data.cases.names import OwnNames


def whole_number(least: int) -> Callable[[str], int]:
    """A whole number from `least` on."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < least:
            raise argparse.ArgumentTypeError(f"{text!r:.100} is not a whole number from {least}")
        return number

    return parse


def own_names(text: str) -> OwnNames:
    """A hospital's own names, as `t1ce=T1_KM,flair=dark-fluid`."""
    from fedbrats.data.cases.names import read_names

    try:
        return read_names(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def number(text: str) -> float:
    """A number; `nan` and `inf` are none, whatever float() says."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text!r:.100} is not a number")
    return found


def run_path(text: str) -> Path:
    """A results folder of a run, a file in one, `latest`, or the name of a job that has one run; which is said."""
    try:
        found = find_run(Path(text))
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found != Path(text):
        say(f"{text} is {found}")
    if status := why_unfinished(found):
        say(f"warning: {found} did not come to its end: {status}")
    return found


def one_run(paths: Sequence[Path]) -> Path:
    """The only run that is given. Raises: ArgumentError for several."""
    if len(paths) > 1:
        raise ArgumentError(f"one run is needed, and {len(paths)} are given: {', '.join(map(str, paths))}")
    return paths[0]
