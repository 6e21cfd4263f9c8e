"""One HTML page about one or several runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.api.html import html_table
from fedbrats.api.pictures import require_matplotlib
from fedbrats.api.progress import Progress, Watch
from fedbrats.api.runs import Run, Study
from fedbrats.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from fedbrats.model.prediction import Predictor
    from fedbrats.report.numbers.results import Results
    from fedbrats.report.page.gallery import GalleryItem


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        file: Where it is.
        runs: The names of its runs.
        pictures: How many pictures of cases it has.
    """

    file: Path
    runs: tuple[str, ...]
    pictures: int

    def _repr_html_(self) -> str:
        return html_table(("report", "runs", "pictures"), [(self.file, ", ".join(self.runs), self.pictures)])


def report(
    runs: Iterable[str | Path | Run | Study],
    out: str | Path = Path("report.html"),
    *,
    title: str = "Federated brain-tumour segmentation",
    data: str | Path | None = None,
    pictures: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write one page about runs: results with intervals, curves, sites, weights, rounds, provenance.

    Args:
        runs: Results of `train` or `federate`, or results folders.
        out: The file of the page, which needs no network and no script.
        title: Of the page.
        data: A sites folder, to show pictures of validation cases; of phantoms only, unless `pictures`.
        pictures: Whether everyone who will see the page may see these scans.
        progress: Gets a sentence about each folder that is left out.

    Raises: DataError for results that cannot be read; ConfigurationError for real scans without `pictures`, and where
        matplotlib is not installed.

    >>> report(["trained"], "page.html").runs
    ('train like fedavg',)
    """
    if data and not pictures:
        _require_phantoms(Path(data), Path(out))
    require_matplotlib("the report")
    from fedbrats.report.numbers.results import read_results

    given = [each for item in runs for each in (item.runs if isinstance(item, Study) else (item,))]
    folders = [each.folder if isinstance(each, Run) else Path(each) for each in given]
    watch, file = Watch(progress), Path(out)
    found = read_results(_leave_out_others(folders, watch))
    gallery, undrawn = _draw_gallery(found, Path(data), watch) if data else ([], [])
    try:
        write_report(found, file, title, gallery=gallery, undrawn=undrawn)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        named = ", ".join(map(str, folders))
        raise DataError(
            f"no page can be made of {named}: a row, the summary or the provenance there is not what a run writes "
            f"({type(error).__name__}: {error!s:.200}); fetch the results again"
        ) from error
    return Report(file, tuple(results.name for results in found), len(gallery))


def write_report(
    runs: Sequence[Results],
    file: Path,
    title: str,
    *,
    gallery: Sequence[GalleryItem] = (),
    undrawn: Sequence[str] = (),
    is_live: bool = False,
) -> None:
    """Write the page; a live one is loaded anew by the browser."""
    from fedbrats.atomic import write_text_atomic
    from fedbrats.report.page.page import write_page

    write_text_atomic(file, write_page(runs, title, gallery=gallery, undrawn=undrawn, is_live=is_live))


def _leave_out_others(folders: list[Path], watch: Watch) -> list[Path]:
    """The runs among several folders, for `results/*` holds other things too; what is left out is said."""
    from fedbrats.report.numbers.results import find_rows

    others = [folder for folder in folders if folder.exists() and find_rows(folder) is None]
    if len(others) == len(folders):
        return folders  # to be refused with a sentence
    for folder in others:
        watch.say(f"report: {folder} has no rows of a run and is left out")
    return [folder for folder in folders if folder not in others]


def _require_phantoms(data: Path, out: Path) -> None:
    """Raises: ConfigurationError for scans of patients."""
    from fedbrats.data.split.sites import holds_phantoms_only

    if not holds_phantoms_only(data):
        raise ConfigurationError(f"{data} has real scans; add --pictures if everyone who will see {out} may see them")


def _draw_gallery(runs: Sequence[Results], data: Path, watch: Watch) -> tuple[list[GalleryItem], list[str]]:
    """Pictures of the method that the page recommends, and why methods before it in that order have none."""
    from fedbrats.report.numbers.answers import in_order
    from fedbrats.report.numbers.folds import pool_folds
    from fedbrats.report.numbers.roles import with_plain_names
    from fedbrats.report.page.gallery import draw_gallery

    undrawn: list[str] = []
    by_folder = {run.folder: run for run in runs}
    for method in in_order(with_plain_names(pool_folds(runs))):
        first = by_folder[method.all_folders[0]]
        if first.is_running:
            continue
        try:
            items = draw_gallery(first, data, _predictors(first, watch), method.name)
        except (ConfigurationError, DataError) as error:
            undrawn.append(f"No pictures of {method.name}: {error}.")
            continue
        if items:
            return items, undrawn
        undrawn.append(f"No pictures of {method.name}: {data} has none of the cases that it was scored on.")
    return [], undrawn


def _predictors(run: Results, watch: Watch) -> Callable[[str], Predictor]:
    """A function that gives the model of each site of a run, as its Dice was measured."""
    from fedbrats.api.models import load_each
    from fedbrats.model.device import choose_device
    from fedbrats.model.prediction import Predictor
    from fedbrats.report.numbers.roles import is_personal

    @cache
    def load(site: str | None) -> Predictor:
        model = load_each(run.folder, site, watch)
        return Predictor(model, choose_device("auto"), flips=model.final_flips)

    return lambda site: load(site if is_personal(run) else None)
