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
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.cli.arguments import run_path
from fedbrats.cli.output import print_json, print_line
from fedbrats.cli.pictures import require_matplotlib
from fedbrats.cli.progress import say
from fedbrats.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from fedbrats.model.prediction import Predictor
    from fedbrats.report.numbers.results import Results
    from fedbrats.report.page.gallery import GalleryItem

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
    from fedbrats.report.numbers.results import read_results

    if args.live:
        _follow(args)
    runs = read_results(_leave_out_others(args.results))
    gallery, undrawn = _draw_gallery(args, runs) if args.data else ([], [])
    try:
        _write(args, runs, gallery, undrawn)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        folders = ", ".join(map(str, args.results))
        raise DataError(
            f"no page can be made of {folders}: a row, the summary or the provenance there is not what a run writes "
            f"({type(error).__name__}: {error!s:.200}); fetch the results again"
        ) from error
    if args.json:
        print_json({"report": str(args.out), "runs": [results.name for results in runs], "pictures": len(gallery)})
    else:
        print_line(f"wrote {args.out}")
    return 0


def _leave_out_others(folders: list[Path]) -> list[Path]:
    """The runs among several folders, for `results/*` holds other things too; what is left out is said."""
    from fedbrats.report.numbers.results import find_rows

    others = [folder for folder in folders if folder.exists() and find_rows(folder) is None]
    if len(others) == len(folders):
        return folders  # to be refused with a sentence
    for folder in others:
        say(f"report: {folder} has no rows of a run and is left out")
    return [folder for folder in folders if folder not in others]


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
            _write(args, runs)
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


def _write(
    args: argparse.Namespace, runs: list[Results], gallery: Sequence[GalleryItem] = (), undrawn: Sequence[str] = ()
) -> None:
    from fedbrats.atomic import write_text_atomic
    from fedbrats.report.page.page import write_page

    is_live = args.live and any(results.is_running for results in runs)
    write_text_atomic(args.out, write_page(runs, args.title, gallery=gallery, undrawn=undrawn, is_live=is_live))


def _draw_gallery(args: argparse.Namespace, runs: list[Results]) -> tuple[list[GalleryItem], list[str]]:
    """Pictures of the method that the page recommends, and why methods before it in that order have none.

    Raises: ConfigurationError for scans of patients without --pictures.
    """
    from fedbrats.report.numbers.answers import in_order
    from fedbrats.report.numbers.folds import pool_folds
    from fedbrats.report.numbers.roles import with_plain_names
    from fedbrats.report.page.gallery import draw_gallery, holds_phantoms_only

    if not (args.pictures or holds_phantoms_only(args.data)):
        raise ConfigurationError(
            f"{args.data} has real scans; add --pictures if everyone who will see {args.out} may see them"
        )
    undrawn: list[str] = []
    by_folder = {run.folder: run for run in runs}
    for method in in_order(with_plain_names(pool_folds(runs))):
        first = by_folder[method.all_folders[0]]
        if first.is_running:
            continue
        try:
            items = draw_gallery(first, args.data, _predictors(first), method.name)
        except (ConfigurationError, DataError) as error:
            undrawn.append(f"No pictures of {method.name}: {error}.")
            continue
        if items:
            return items, undrawn
        undrawn.append(f"No pictures of {method.name}: {args.data} has none of the cases that it was scored on.")
    return [], undrawn


def _predictors(run: Results) -> Callable[[str], Predictor]:
    """A function that gives the model of each site of a run, as its Dice was measured."""
    from fedbrats.cli.model_arguments import load_each
    from fedbrats.model.device import choose_device
    from fedbrats.model.prediction import Predictor
    from fedbrats.report.numbers.roles import is_personal

    @cache
    def load(site: str | None) -> Predictor:
        model = load_each(run.folder, site)
        return Predictor(model, choose_device("auto"), flips=model.final_flips)

    return lambda site: load(site if is_personal(run) else None)
