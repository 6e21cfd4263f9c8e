"""Train a start on synthetic cases alone: the first weights of a federation, for which no patient is needed.

Phantoms of every kind are drawn in memory, none twice. The same command on the same machine and version of PyTorch
gives the same file; its checksum is printed. A job takes it with `--set start=FILE`. The weights that a job begins with
by default were made so (starts/fast.md).

example:
  fedbrats pretrain --out start.safetensors
  fedbrats poc run fedavg --data sites --set spacing_mm=2 --set start=start.safetensors
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from fedbrats import __version__
from fedbrats.cli.arguments import whole_number
from fedbrats.cli.output import print_json, print_line
from fedbrats.cli.progress import say

STEPS, CASES_A_ROUND = 9600, 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the start, a .safetensors file")
    parser.add_argument(
        "--start",
        default="none",
        help="weights to begin with: phantoms, none or a model (default: none, from the seed)",
    )
    parser.add_argument("--network", default="fast", help="preset of the network (default: fast)")
    parser.add_argument("--steps", type=whole_number(64), default=STEPS, help=f"training steps (default: {STEPS})")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of phantoms and training (default: 0)")
    parser.add_argument("--workers", type=whole_number(1), default=1, help="processes that draw phantoms (default: 1)")
    parser.add_argument(
        "--without",
        nargs="*",
        default=[],
        metavar="KIND",
        help="kinds of variation to leave out, to see what each is worth (see docs/results/start.md)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=whole_number(1), metavar="N", help="CPU threads (default: the machine's)")
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Draw, train, write."""
    import hashlib

    import torch

    from fedbrats.data.phantom.stream import PhantomStream
    from fedbrats.data.phantom.variety import Variety
    from fedbrats.jobs.start import check_start_file, read_start, weights_sha256, write_start
    from fedbrats.model.settings import TrainingSettings
    from fedbrats.model.training.pretraining import STEPS_A_ROUND, pretrain

    check_start_file(args.out)
    began, rounds = time.perf_counter(), -(-args.steps // STEPS_A_ROUND)
    variety, network = Variety.without(args.without), {"preset": args.network, "seed": args.seed}
    start = read_start(args.start, network)

    def show(number: int, loss: float) -> None:
        if (number + 1) % 5 == 0 or number + 1 == rounds:
            left = (time.perf_counter() - began) / (number + 1) * (rounds - number - 1) / 60
            steps = f"{(number + 1) * STEPS_A_ROUND}/{rounds * STEPS_A_ROUND}"
            say(f"pretrain: step {steps}, loss {loss:.3f}, {left:.0f} min left")

    trainer = pretrain(
        network,
        TrainingSettings.from_json({}),
        PhantomStream(args.seed, CASES_A_ROUND, variety),
        rounds,
        start=start,
        workers=args.workers,
        threads=args.threads,
        device=args.device,
        on_round=show,
    )
    about = {
        "made_by": f"fedbrats {__version__} pretrain",
        "steps": str(rounds * STEPS_A_ROUND),
        "phantoms": str(rounds * CASES_A_ROUND),
        "seed": str(args.seed),
        "torch": torch.__version__,
        "without": " ".join(args.without),
        **({"start_sha256": weights_sha256(start)} if start else {}),
    }
    write_start(args.out, trainer.get_weights(), args.network, about)
    digest = hashlib.sha256(args.out.read_bytes()).hexdigest()
    document = {**about, "network": args.network, "out": str(args.out), "sha256": digest}
    document["seconds"] = round(time.perf_counter() - began, 1)
    if args.json:
        print_json(document)
    else:
        print_line(f"wrote {args.out} (sha256 {digest})")
    return 0
