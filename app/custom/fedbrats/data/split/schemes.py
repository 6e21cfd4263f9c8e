"""The schemes of `--by`, which divide a data set into sites:

equal          the same number of cases everywhere, at random
unequal        at random, each site with 0.6 times the cases of the one before it
tumour-size    the smallest tumours at the first site, the largest at the last
dirichlet:A    tumour sizes mixed at random: sites differ much with A below 1, and little with 100
institution    by the institution in the case names (BraTS 2017-2019)
grade          by the folders HGG and LGG (BraTS 2017-2019)
FILE.csv:COL   by a column of a table that has another column with the case names; if the table has a column
               `fold`, --fold takes its folds; a column `patient` names the patients
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedbrats.data.cases.case import Case
from fedbrats.data.cases.table import CaseTable, read_case_table
from fedbrats.data.split import partitions
from fedbrats.data.split.partitions import Patient, Sites
from fedbrats.errors import ArgumentError, DataError

_NUMBERED = ("equal", "unequal", "tumour-size", "dirichlet")  # these make as many sites as asked for
_NAMED = ("institution", "grade")  # these find their sites in the data


@dataclass(frozen=True)
class Scheme:
    """One way to share out, read from the words of `--by`."""

    kind: str
    alpha: float = float("nan")  # of dirichlet
    table: CaseTable | None = None  # of FILE.csv:COL
    column: str = ""


def read_scheme(by: str, cases: list[Case]) -> Scheme:
    """The scheme that `by` names; a table is read here, for `cases`.

    Raises: ArgumentError if `by` means nothing; DataError if the table cannot be used.
    """
    kind, _, argument = by.rpartition(":")
    if kind.lower().endswith(".csv"):
        return Scheme("table", table=read_case_table(Path(kind), cases, argument), column=argument)
    if kind == "dirichlet":
        return Scheme(kind, alpha=_read_alpha(argument))
    if by in _NUMBERED + _NAMED and by != "dirichlet":
        return Scheme(by)
    raise ArgumentError(
        f"--by {by} is not known; choose equal, unequal, tumour-size, dirichlet:ALPHA, institution, grade "
        "or FILE.csv:COLUMN"
    )


def share_out(patients: Sequence[Patient], scheme: Scheme, sites: int | None, rng: np.random.Generator) -> Sites:
    """The patients of each site.

    Raises: ArgumentError if the scheme needs `sites`; DataError if the patients cannot be shared out so.
    """
    if scheme.kind not in _NUMBERED:
        return partitions.partition_by_group(patients, _grouping_of(scheme), sites)
    if sites is None:
        raise ArgumentError(f"--by {scheme.kind} needs --sites N")
    if len(patients) < sites:
        raise DataError(f"{len(patients)} patient(s) cannot be shared out to {sites} sites")
    if scheme.kind == "equal":
        return partitions.partition_equal(patients, sites, rng)
    if scheme.kind == "unequal":
        return partitions.partition_unequal(patients, sites, rng)
    if scheme.kind == "tumour-size":
        return partitions.partition_by_tumour_size(patients, sites)
    return partitions.partition_dirichlet(patients, sites, scheme.alpha, rng)


def institution_of(case: Case) -> str:
    """The institution in the name of a BraTS 2017-2019 case. Raises: DataError for other names."""
    if match := re.match(r"brats_?(?:20)?(?:17|18|19)_(?P<institution>[a-z0-9]+)_", case.name, re.IGNORECASE):
        return match["institution"].upper()  # the years do not spell it alike
    raise DataError(
        f"the name of case {case.name} tells no institution; use --by equal --sites N, or --by "
        f"FILE.csv:COLUMN with a table of your own"
    )


def grade_of(case: Case) -> str | None:
    """HGG or LGG if one of the folders around the case is called so."""
    parts = {part.upper() for path in case.files.values() for part in path.parts}
    return next((grade for grade in ("HGG", "LGG") if grade in parts), None)


def _grouping_of(scheme: Scheme) -> Callable[[Case], str]:
    if table := scheme.table:
        return lambda case: table.value(case, scheme.column)
    return institution_of if scheme.kind == "institution" else _need_grade


def _need_grade(case: Case) -> str:
    if grade := grade_of(case):
        return grade
    raise DataError(f"no folder of case {case.name} is called HGG or LGG; use --by FILE.csv:COLUMN instead")


def _read_alpha(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = float("nan")
    if not 0 < alpha < float("inf"):
        raise ArgumentError(f"--by dirichlet:{text} is not dirichlet:ALPHA with ALPHA above 0, such as dirichlet:0.5")
    return alpha
