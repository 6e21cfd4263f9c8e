"""Write one HTML page about one or several runs: did federating help, which model to use, and how sure is that.

RESULTS are results folders of `fedbrats poc run`, `fedbrats simulate` or `fedbrats train`. The page is one file, and
needs no network and no script. It follows the light or dark setting of the reader's device, and can be printed.

The first question needs a federated run and one of the job `local_only`; the page says which command makes a run that
it lacks. The numbers, curves, rounds and settings behind the answers are on the same page.

With --data, a sites folder, it also shows pictures of the best, the median and the worst validation case of the model
that it recommends. Where a site's personal weights are not on this machine it takes the next model and says so. It
shows phantoms only; with --pictures you say that everyone who will see the page may see these scans.

--live writes the page again and again while a job runs; the browser reloads it, and the command ends with the job.
`fedbrats poc run` and `fedbrats simulate` print the results folder of each job when it starts.

example:
  fedbrats report results/local_only results/fedavg results/train --out report.html
  fedbrats report results/fedavg --data sites --out report.html
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.api.pictures import require_matplotlib
from fedbrats.api.reporting import report, write_report
from fedbrats.cli.arguments import run_path
from fedbrats.cli.output import print_json, print_line
from fedbrats.cli.progress import never_silent, say, steps
from fedbrats.errors import DataError

if TYPE_CHECKING:
    from fedbrats.report.numbers.results import Results

POLL_S = 2.0
PATIENCE = 5  # polls in which nothing could be read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("results", nargs="+", type=run_path, metavar="RESULTS", help="results folders")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file of the page (default: report.html)")
    parser.add_argument("--title", default="Federated brain-tumour segmentation", help="title of the page")
    parser.add_argument("--data", type=Path, metavar="SITES_DIR", help="show pictures of cases of this sites folder")
    parser.add_argument("--pictures", action="store_true", help="show pictures of real scans too")
    parser.add_argument("--live", action="store_true", help="follow a running job")
    parser.add_argument("--json", action="store_true", help="print {report, runs, pictures}")


def run(args: argparse.Namespace) -> int:
    """Read, draw, write; with --live again and again."""
    require_matplotlib("the report")
    if args.live:
        _follow(args)
    with steps() as progress, never_silent("report"):
        done = report(
            args.results, args.out, title=args.title, data=args.data, pictures=args.pictures, progress=progress
        )
    if args.json:
        print_json({"report": str(done.file), "runs": list(done.runs), "pictures": done.pictures})
    else:
        print_line(f"wrote {done.file}")
    return 0


def _follow(args: argparse.Namespace) -> None:
    """Write the page anew until every run has ended."""
    said, failures = "", 0
    while True:
        try:
            runs = _read_begun(args.results)
            failures = 0
        except (OSError, DataError):  # a job that ends packs its folder up, for which a second poll waits
            failures += 1
            if failures == PATIENCE:
                raise
            time.sleep(POLL_S)
            continue
        if runs and not any(results.is_running for results in runs):
            return
        if runs:
            write_report(runs, args.out, args.title, is_live=any(results.is_running for results in runs))
            saying = f"report: {args.out} shows {max(len(results.of_kind('round')) for results in runs)} rounds"
        else:
            saying = f"report: waiting for {', '.join(map(str, args.results))} to begin"
        if saying != said:
            say(saying)
            said = saying
        time.sleep(POLL_S)


def _read_begun(folders: list[Path]) -> list[Results]:
    """The runs, once all of them have begun; until then none."""
    from fedbrats.report.numbers.results import has_begun, read_results

    return read_results(folders) if all(map(has_begun, folders)) else []
