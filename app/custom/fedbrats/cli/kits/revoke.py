"""Shut a hospital or a person out of the federation, by the server, at once and until `fedbrats unrevoke`.

The server ends the connection of a hospital and lets it in no more. A person cannot log in, and a session that is open
is refused its next command; a download that runs ends. The server remembers this in
`disabled_clients.json` of its kit, which `fedbrats backup` takes along. The certificate itself stays valid until it
expires: renew the root at the next pause if a private key may be in wrong hands. Needs the kit of the project admin.

example:
  fedbrats revoke hospital-east --kit admin@university.example
  fedbrats unrevoke hospital-east --kit admin@university.example
"""

from __future__ import annotations

import argparse

from fedbrats.cli.kits.revoking import add_revoking_arguments, change_access


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_revoking_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Revoke."""
    return change_access(args, revoked=True)
