"""Pictures of the best, the median and the worst case of a run, for people who may see the scans anyway."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.model.prediction import Predictor, read_truth
from fedbrats.report.numbers.results import ALL_SITES, Results
from fedbrats.report.page.overlays import draw_overlay

Key = tuple[str, str]  # site and case: two sites may call their cases alike


@dataclass(frozen=True)
class GalleryItem:
    """One picture with its words."""

    title: str
    png: bytes
    alt: str
    said: str


def draw_gallery(
    run: Results, sites_dir: Path, predictor_of: Callable[[str], Predictor], name: str = ""
) -> list[GalleryItem]:
    """Predict the best, the median and the worst validation case of a run anew, and draw each with its truth.

    Args:
        run: The run, whose ranking of the cases is taken.
        sites_dir: Where its cases are.
        predictor_of: Gives the model that a site uses: with its personal weights where it has some, and with mirror
            images where the run's Dice was measured with them.
        name: What the page calls the run.

    Returns: Nothing where the scores of single cases are not known.

    Raises: DataError for a sites folder or case that cannot be read; what `predictor_of` raises.
    """
    sites = {site.name: read_datalist(site) for site in find_sites(sites_dir)}
    known = {(name, case.name): (site.convention, case) for name, site in sites.items() for case in site.validation}
    called = name or run.name
    items = []
    for place, (dice, (site_name, case_name)) in _choose(rank_cases(run, known)):
        convention, case = known[site_name, case_name]
        predictor = predictor_of(site_name)
        prediction = predictor.predict(case)
        volumes = ", ".join(f"{region} {volume:.1f} mL" for region, volume in prediction.volumes_ml.items())
        title = f"{called}: {place} case, Dice {dice:.3f}"
        alt = (
            f"{place.capitalize()} case {case_name} of {site_name}: axial, coronal and sagittal slices through the "
            "tumour on FLAIR and T1ce, the predicted regions as solid and the true ones as dashed contours. Predicted: "
            f"{volumes}."
        )
        png = draw_overlay(prediction, read_truth(case, convention), called)
        how = "Predicted with mirror images" if predictor.flips else "Predicted"
        said = f"{case_name} of {site_name}. {how}: {volumes}."
        items.append(GalleryItem(title, png, alt, said))
    return items


def rank_cases(run: Results, known: Collection[Key]) -> list[tuple[float, Key]]:
    """Mean Dice and key of each case of a run that is known, from worst to best.

    Where a run does not say its sites, a case is known by its name alone, unless two sites have one of that name.
    """
    ranked = []
    for site, rows in run.cases.items():
        for row in rows:
            keys = [key for key in known if key[1] == row["case"] and site in (key[0], ALL_SITES)]
            if len(keys) == 1:
                ranked.append((float(np.mean(list(row["dice"].values()))), keys[0]))
    return sorted(ranked)


def _choose(ranked: Sequence[tuple[float, Key]]) -> list[tuple[str, tuple[float, Key]]]:
    """The best, the median and the worst of a ranking from worst to best; each case once."""
    places = {0: "worst", len(ranked) // 2: "median", len(ranked) - 1: "best"}
    return [(places[index], ranked[index]) for index in sorted(places, reverse=True)] if ranked else []
