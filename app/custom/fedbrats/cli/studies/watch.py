"""Show a live page in a browser: who is there, rounds, Dice, weights, refusals, seconds, bytes, certificates, disks.

With the kit of a server or a site it shows this machine: its health, and at a server each job that runs. With the kit
of a person it shows the consortium, as the server reports it. Of a job it says which sites do not run it, and why. The
page needs no script and nothing from elsewhere; no request changes anything. It is for you alone: its address has a
secret part. With --tls it is for others too: over TLS with the kit's own certificate, and only for browsers that have a
certificate of the consortium. End it with Ctrl-C.

example:
  fedbrats watch fl.brain-consortium.example
  fedbrats watch lead@university.example --port 8080
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fedbrats.cli.arguments import whole_number
from fedbrats.cli.output import print_json, print_line

ASK_SERVER_S = 30.0  # the server writes every question into its audit trail


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="the startup kit of a server, a site or a person")
    parser.add_argument("--port", type=whole_number(0), default=0, help="(default: any that is free)")
    parser.add_argument("--tls", metavar="ADDRESS", help="listen on this address of the machine, with TLS")
    parser.add_argument("--json", action="store_true", help="print one JSON document: url")


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    from fedbrats.admin.kits import open_kit
    from fedbrats.admin.operate.overview import look_around
    from fedbrats.admin.operate.page_server import LOOPBACK, PageServer, is_revoked_in, tls_of
    from fedbrats.admin.operate.watching import REFRESH_S, page_of_consortium, page_of_machine
    from fedbrats.admin.run.sessions import person_session

    kit = open_kit(args.kit)
    tls = tls_of(kit) if args.tls else None
    hosts = [args.tls, kit.name] if args.tls else ()
    server = PageServer(args.tls or LOOPBACK, args.port, hosts, tls, is_revoked_in(kit))
    url = f"{'https' if tls else 'http'}://{args.tls or LOOPBACK}:{server.server_port}{server.path}"
    print_json({"url": url}) if args.json else print_line(f"open {url} in a browser; Ctrl-C ends it")
    sys.stdout.flush()  # a script that reads it through a pipe must not wait for more
    if kit.kind != "admin":
        server.keep_fresh(lambda: page_of_machine(kit), REFRESH_S)
        return 0
    with person_session(args.kit) as session:
        server.keep_fresh(lambda: page_of_consortium(kit, look_around(session, args.kit)), ASK_SERVER_S)
    return 0
