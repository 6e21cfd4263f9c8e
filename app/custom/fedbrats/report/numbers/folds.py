"""Runs that are folds of one cross-validation count as one method: together they score every patient once.

So do runs of one method with several seeds on the same patients: each patient has a score by every seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from fedbrats.report.numbers.results import Patient, Results
from fedbrats.rows import Row


def pool_folds(runs: Sequence[Results]) -> list[Results]:
    """The runs, those of one method that have no patient in common put together, each at its first one's place; then
    those with other seeds on the same patients, which share them all.

    Runs with other variables, other sites or sites of other sizes (another cohort), whose single cases are not known,
    or that share a patient (another split) stay apart.
    """
    families: dict[tuple[str, Any], list[Results]] = defaultdict(list)
    for run in runs:
        families[run.method, _seed_of(run)].append(run)
    several = {method for method, _ in families if len([1 for other, _ in families if other == method]) > 1}
    pooled: dict[int, Results] = {}
    for (method, seed), family in families.items():
        if _are_folds(family):
            together = _pool(f"{method}, seed {seed}" if method in several else method, family)
            pooled |= {id(run): together for run in family}
    for method in several:
        by_seed = [pooled.get(id(own[0]), own[0]) for (other, _), own in families.items() if other == method]
        are_whole = all(len(own) == 1 or id(own[0]) in pooled for (name, _), own in families.items() if name == method)
        if are_whole and _are_seeds(by_seed):
            folds = max(len(own) for (name, _), own in families.items() if name == method)
            said = f"{folds} folds, {len(by_seed)} seeds" if folds > 1 else f"{len(by_seed)} seeds"
            rows = [row for each in by_seed for row in each.rows]
            folders = tuple(folder for each in by_seed for folder in each.all_folders)
            name = f"{method} ({said})"
            together = replace(by_seed[0], name=name, rows=rows, by_seed=tuple(by_seed), folders=folders)
            pooled |= {id(run): together for run in runs if run.method == method}
    found: dict[str, Results] = {}
    for run in runs:
        entry = pooled.get(id(run), run)
        found.setdefault(entry.name, entry)
    return list(found.values())


def _seed_of(run: Results) -> Any:
    return (run.summary.get("variables") or {}).get("seed")


def _are_seeds(family: Sequence[Results]) -> bool:
    """Whether runs differ in their seeds alone, and were scored on the same patients, who are known."""
    variables = [{**(run.summary.get("variables") or {}), "resume": None, "seed": None} for run in family]
    patients = [set(run.mean_dice) for run in family]
    return all(each == variables[0] for each in variables) and all(each == patients[0] and each for each in patients)


def _are_folds(family: Sequence[Results]) -> bool:
    variables = [{**(run.summary.get("variables") or {}), "resume": None} for run in family]
    if any(each != variables[0] for each in variables) or not all("job" in run.summary for run in family):
        return False
    if any(run.site_sizes != family[0].site_sizes for run in family):
        return False
    patients = [set(run.mean_dice) for run in family]
    return len(family) > 1 and all(patients) and not any(_share(a, b) for a, b in combinations(patients, 2))


def _share(first: set[Patient], second: set[Patient]) -> bool:
    """Whether two runs have a patient in common, who may be at another site in another split.

    A name that each run has once is one patient; where hospitals call different patients alike, the site belongs to it.
    """
    names = [[name for _, name in each] for each in (first, second)]
    by_name = all(len(each) == len(set(each)) for each in names) or any(site is None for site, _ in first | second)
    return bool(set(names[0]) & set(names[1])) if by_name else bool(first & second)


def _pool(method: str, family: Sequence[Results]) -> Results:
    cases: dict[str, list[Row]] = defaultdict(list)
    for run in family:
        for site, rows in run.cases.items():
            cases[site] += rows
    rows = [row for run in family for row in run.rows]
    name = f"{method} ({len(family)} folds)"
    folders = tuple(run.folder for run in family)
    return replace(family[0], name=name, rows=rows, cases=dict(cases), evaluation=None, folders=folders)
