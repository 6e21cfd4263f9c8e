"""Score means of the probabilities of several models of each hospital, on its validation patients of one fold.

The models are of runs that `fedbrats sweep --keep` has kept. NAME=RUN takes a hospital's own weights of the run;
NAME=RUN:shared takes the model that its sites share. All means of up to three models are scored, over mirror images.
The rows of the fold are added to the file, in place of earlier ones of it.

example:
  python experiments/means.py build/sweep/sites/institution/fold-0 own=RUN fitted=OTHER_RUN common=OTHER_RUN:shared
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedbrats.atomic import write_json_atomic
from fedbrats.data.cases.datalist import find_sites
from fedbrats.data.prepare.room import PreparationLimits
from fedbrats.data.prepare.site_cases import read_site
from fedbrats.model.inference import THRESHOLD, keep_main_tumour, predict_probabilities
from fedbrats.model.metrics import score_case
from fedbrats.model.saved import SavedModel, load_model
from fedbrats.report.numbers.records import number_patients
from fedbrats.run_folder import PERSONAL_FILE

OUT = Path(__file__).parent / "results" / "means.json"
MOST = 3  # models of a mean
CPU = torch.device("cpu")


def main() -> None:
    """Add the rows of a fold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sites", type=Path, help="the sites folder of the fold")
    parser.add_argument("models", nargs="+", metavar="NAME=RUN", help="a run's folder, as the sweep kept it")
    parser.add_argument("--cache", type=Path, default=Path("build/means"))
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs = dict(word.split("=", 1) for word in args.models)
    fold = json.loads((args.sites / "split.json").read_text())["settings"]["fold"]
    rows = json.loads(args.out.read_text())["rows"] if args.out.exists() else []
    fresh = [{"fold": fold, **row} for row in score_sites(args.sites, runs, args.cache)]
    kept = [row for row in rows if row["fold"] != fold]
    write_json_atomic(args.out, {"rows": sorted([*kept, *fresh], key=lambda row: (row["fold"], row["models"]))})


def score_sites(folder: Path, runs: Mapping[str, str], cache: Path) -> Iterator[dict[str, Any]]:
    """A row for every validation patient of every site and every mean."""
    numbers = number_patients(folder)
    for site in find_sites(folder):
        models = {name: open_model(run, site.name) for name, run in runs.items()}
        first = next(iter(models.values()))
        limits = PreparationLimits(10**9, None)
        for case in read_site(site, cache, first.preparation, workers=1, name=site.name, limits=limits).validation:
            assert case.mask is not None
            found = {
                name: predict_probabilities(model.network, case, device=CPU, flips=True)
                for name, model in models.items()
            }
            for names in (each for count in range(1, MOST + 1) for each in combinations(found, count)):
                mean = np.stack([found[name] for name in names]).mean(axis=0).astype(np.float32)
                kept, _ = keep_main_tumour(mean, first.component_share)
                dice = score_case(case.name, case.patient, kept >= THRESHOLD, case.mask).dice
                rounded = {region: round(value, 5) for region, value in dice.items()}
                models_of = {"models": " + ".join(names), "patient": numbers[case.patient]}
                yield {"site": site.name, **models_of, "dice": rounded}


def open_model(run: str, site: str) -> SavedModel:
    """A site's model of a run, or the shared one."""
    path, _, shared = run.partition(":")
    return load_model(Path(path), None if shared else Path(path) / "sites" / site / PERSONAL_FILE)


if __name__ == "__main__":
    main()
