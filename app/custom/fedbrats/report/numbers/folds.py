"""Runs that are folds of one cross-validation count as one method: together they score every patient once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from fedbrats.report.numbers.results import Patient, Results
from fedbrats.rows import Row


def pool_folds(runs: Sequence[Results]) -> list[Results]:
    """The runs, those of one method that have no patient in common put together, each at its first one's place.

    Runs with other variables, other sites or sites of other sizes (another cohort), whose single cases are not known,
    or that share a patient (another split) stay apart.
    """
    families: dict[str, list[Results]] = defaultdict(list)
    for run in runs:
        families[run.method].append(run)
    pooled = {method: _pool(method, family) for method, family in families.items() if _are_folds(family)}
    found: dict[str, Results] = {}
    for run in runs:
        entry = pooled.get(run.method, run)
        found.setdefault(entry.name, entry)
    return list(found.values())


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
    return replace(family[0], name=name, rows=rows, cases=dict(cases), evaluation=None)
