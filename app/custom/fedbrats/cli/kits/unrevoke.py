"""Let a hospital or a person in again that `fedbrats revoke` shut out. Needs the kit of the project admin.

A hospital connects again by itself within a minute if it runs, or when it is started.

example:
  fedbrats unrevoke hospital-east --kit admin@university.example
"""

from __future__ import annotations

import argparse

from fedbrats.cli.kits.revoking import add_revoking_arguments, change_access


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_revoking_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Let them in."""
    return change_access(args, revoked=False)
