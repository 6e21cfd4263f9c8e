"""`fedbrats`: finds the subcommand, imports its module only, and turns expected errors into one sentence."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper

from fedbrats import __version__
from fedbrats.account import name_the_account
from fedbrats.cli.output import print_line
from fedbrats.errors import ArgumentError, FedbratsError

# name -> its room and one line of help; the module is fedbrats.cli.<room>.<name with _>
COMMANDS = {
    "check": ("cases", "find every BraTS case in a folder and report what is wrong with it"),
    "split": ("cases", "divide a data set into one folder per site, with training, validation and test cases"),
    "plan": ("studies", "plan a training from its data: voxel size, patch, network, memory, minutes"),
    "phantom": ("cases", "make synthetic sites with phantom brains, in the layout of BraTS"),
    "train": ("models", "train without a federation: on the data of all sites together, or of one site"),
    "evaluate": ("models", "score a model on cases that have segmentations, by site"),
    "audit": ("models", "ask a model who was in its training data: membership of patients, with controls"),
    "predict": ("models", "predict the tumour regions of cases, on each scan's own grid"),
    "personalise": ("models", "fit a trained model to one hospital: train its personal part only"),
    "pretrain": ("models", "train first weights on synthetic cases only: a start that needs no patient"),
    "export": ("models", "write a model as a MONAI bundle or as ONNX"),
    "report": ("studies", "write one HTML page about one or several runs"),
    "job": ("studies", "build and list FLARE jobs, and advise their timeouts"),
    "simulate": ("studies", "run a job with all its sites in one process"),
    "sweep": ("studies", "run an experiment: methods by splits, folds, seeds and variables; resumable"),
    "compare": ("studies", "compare methods over folds and seeds: terminal, CSV, Markdown, LaTeX, JSON"),
    "new": ("studies", "write a package of your own: a method, a network, a loss or a hook, with a test that passes"),
    "site": ("kits", "write a hospital's own settings into its startup kit"),
    "poc": ("studies", "run jobs in a real FLARE POC federation on this machine"),
    "provision": ("kits", "build the startup kits of a consortium; add hospitals and people; renew certificates"),
    "privacy": ("kits", "plan what differential privacy costs, and show what a site has spent"),
    "doctor": ("kits", "check a startup kit and this machine before anything starts"),
    "health": ("kits", "say in one line how the server or the site of this machine is; numbers for Prometheus"),
    "support-bundle": ("kits", "write one archive for somebody who helps from elsewhere, without keys and cases"),
    "clean": ("kits", "list what ended jobs have left on this machine, and remove it"),
    "stop": ("kits", "stop the server or a site on this machine, for maintenance"),
    "revoke": ("kits", "shut a hospital or a person out of the federation"),
    "unrevoke": ("kits", "let a hospital or a person in again"),
    "backup": ("kits", "write one file from which a server or a site is restored on an empty disk"),
    "restore": ("kits", "make a server or a site from that file"),
    "submit": ("studies", "submit a job to a federation with a person's startup kit"),
    "status": ("studies", "show who takes part in a federation, who is missing, and the jobs"),
    "watch": ("studies", "show a live page: who is there, rounds, Dice, refusals, certificates, disks"),
    "fetch": ("studies", "download the result of a finished job"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status: 0 done, 1 failed and said why, 2 wrong arguments, 130 interrupted.

    A terminated command (SIGTERM; SIGHUP of a terminal that was closed) stops what it started, and exits with 128 and
    the signal's number.
    """
    _print_any_sign()
    name_the_account()
    parser = argparse.ArgumentParser(
        prog="fedbrats",
        description="Federated 3D brain-tumour segmentation on BraTS data. Research software, not a medical device.",
        epilog="`fedbrats COMMAND --help` shows a command's arguments and an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fedbrats {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    module, command = None, parser
    for name, (room, help_line) in COMMANDS.items():
        if name == chosen:  # importing only this module keeps `fedbrats --help` and every command quick
            module = importlib.import_module(f"fedbrats.cli.{room}.{name.replace('-', '_')}")
            command = commands.add_parser(
                name,
                help=help_line,
                description=module.__doc__,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            module.add_arguments(command)
        else:
            commands.add_parser(name, help=help_line)
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    args, unknown = parser.parse_known_args(arguments)
    if unknown:  # with the usage of the command, and not that of `fedbrats`
        split = not any(word.startswith("-") for word in unknown)  # an option stood between the other words
        order = "; options stand before or after all other words, and not between them" if split else ""
        command.error(f"unrecognized arguments: {' '.join(unknown)}{order}")
    assert module is not None
    try:
        with _ended_by_signals():
            return int(module.run(args) or 0)
    except ArgumentError as error:
        return _fail(str(error), 2)
    except FedbratsError as error:
        return _fail(str(error), 1)
    except MemoryError:
        return _fail("not enough memory on this machine; try fewer threads, smaller patches or a smaller window", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our output went away (`| head`): not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", 1)


def _print_any_sign() -> None:
    """A locale without the letters of a name must not end a command: what it cannot print is written as its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turn the signals that end a process into its exit, so that whoever has something to clean up does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        for each in signals:  # a terminal that closes signals twice, and cleaning up must not be interrupted
            signal.signal(each, signal.SIG_IGN)
        with suppress(OSError):  # the terminal may be gone
            os.write(2, f"fedbrats: {signal.Signals(number).name}: stopping\n".encode())
        raise SystemExit(128 + number)

    signals = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(message: str, status: int) -> int:
    print_line(f"fedbrats: {message}", sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
