"""Types of arguments that argparse does not have; what is not of the type is wrong usage, and exit status 2."""

from __future__ import annotations

import argparse
from collections.abc import Callable


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
