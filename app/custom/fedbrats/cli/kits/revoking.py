"""What `revoke` and `unrevoke` have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.output import print_json, print_line


def add_revoking_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", help="of a hospital or a person, as in project.yml")
    parser.add_argument("--kit", type=Path, required=True, help="startup kit of the project admin")
    parser.add_argument("--json", action="store_true", help="print one JSON document: name, revoked")


def change_access(args: argparse.Namespace, *, revoked: bool) -> int:
    """Ask the server to let somebody in no more, or again.

    Raises: FedbratsError where the server refuses, or where somebody would shut themselves out.
    """
    from fedbrats.admin.kits import open_kit
    from fedbrats.admin.run.sessions import person_session, quiet
    from fedbrats.errors import FedbratsError

    person = open_kit(args.kit)
    if revoked and args.name == person.name:
        raise FedbratsError(f"{args.name} is you: nobody would be left who can undo it")
    with person_session(args.kit) as session, quiet():
        session.disable_client(args.name) if revoked else session.enable_client(args.name)
    if args.json:
        print_json({"name": args.name, "revoked": revoked})
    else:
        print_line(f"{args.name} is shut out" if revoked else f"{args.name} is let in again")
    return 0
