"""How `provision` comes to the root's private key where it lies apart, and how it is put there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.output import print_json, print_line

if TYPE_CHECKING:
    from fedbrats.admin.provision.root_key import Root

STDIN = Path("-")


def add_root_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what an action needs that signs with the root's key."""
    parser.add_argument(
        "--root-key",
        type=Path,
        metavar="FILE",
        help="the root's encrypted private key (default: root.key beside the certificates)",
    )
    add_passphrase_argument(parser, "has its passphrase (default: it is asked for)")


def add_lock_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `lock` needs."""
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="the file to write, such as on a disk that is kept apart (default: "
        "root.key beside the certificates)",
    )  # fmt: skip
    add_passphrase_argument(parser, "has a passphrase of your own (default: one is made and printed)")


def add_passphrase_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare --passphrase-file."""
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help=f"its first line {what}; - is standard input"
    )


def root_to_sign(args: argparse.Namespace, project: Mapping[str, Any]) -> Root | None:
    """The root where its key lies apart, so that its passphrase is asked for once; None where FLARE finds it.

    Raises: ConfigurationError where the key is not there, or is not opened by what was given.
    """
    from fedbrats.admin.provision.root_key import Unlock, is_locked, open_root

    if not is_locked(project, args.out):
        return None
    return open_root(project, args.out, Unlock(args.root_key, lambda path: _ask(path, args.passphrase_file)))


def lock(args: argparse.Namespace) -> int:
    """`provision lock`."""
    from fedbrats.admin.provision.consortium import read_project
    from fedbrats.admin.provision.root_key import lock_root

    passphrase, made = new_passphrase(args.passphrase_file)
    path = lock_root(read_project(args.project), args.out, passphrase, args.to)
    if args.json:
        print_json({"root_key": str(path), "passphrase": made})
        return 0
    print_line(f"{path}: the root's private key, encrypted; what signs asks for its passphrase")
    say_passphrase(made)
    return 0


def new_passphrase(given: Path | None) -> tuple[str, str]:
    """A passphrase for a key that is to be locked, and what of it has to be told: itself where it was made here.

    Raises: ConfigurationError for a file that cannot be read or has a short one.
    """
    from fedbrats.admin.provision.pack import make_passphrase
    from fedbrats.admin.provision.root_key import check_passphrase

    passphrase = _first_line(given) if given else make_passphrase()
    check_passphrase(passphrase)
    return passphrase, "" if given else passphrase


def say_passphrase(passphrase: str) -> None:
    """Print a passphrase that was made."""
    if passphrase:
        print_line(f"passphrase  {passphrase}    (it is stored nowhere: without it nothing can be signed any more)")


def _ask(path: Path, given: Path | None) -> str:
    from getpass import getpass

    from fedbrats.errors import ConfigurationError

    if given:
        return _first_line(given)
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"the root's private key {path} needs its passphrase, and there is no terminal to ask on: give "
            "--passphrase-file FILE, or - for standard input"
        )
    return getpass(f"passphrase of {path}: ")


def _first_line(path: Path) -> str:
    from fedbrats.errors import ConfigurationError

    try:
        text = sys.stdin.readline() if path == STDIN else path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read the passphrase from {path}: {error}") from None
    return text.partition("\n")[0].rstrip("\r")
