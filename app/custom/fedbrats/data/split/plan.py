"""Plan a federation from one data set: which case goes to which site, and what it is used for there.

Everything follows from the cases, the settings and the seed. A patient, known by name or by identical images, is in one
section of one site only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedbrats.data.cases.datalist import Datalist
from fedbrats.data.cases.table import CaseTable
from fedbrats.data.check.checks import Examination
from fedbrats.data.check.conventions import settle_convention
from fedbrats.data.check.problems import ERROR, Problem
from fedbrats.data.check.segmentations import LabelVolumes, tumour_ml
from fedbrats.data.check.survey import judge_cases, labels_of
from fedbrats.data.regions import LabelConvention
from fedbrats.data.split.identity import name_patients
from fedbrats.data.split.numbers import FEW, Remark, remarks_on_numbers
from fedbrats.data.split.partitions import Patient, Sites
from fedbrats.data.split.schemes import read_scheme, share_out
from fedbrats.errors import ArgumentError, DataError

FOLD_COLUMN = "fold"


@dataclass(frozen=True)
class SplitSettings:
    """How a data set is split; see `schemes` for what `by` may be."""

    by: str = "equal"
    sites: int | None = None
    seed: int = 0
    fold: int | None = None  # the fold that is held out as validation; None: a share of the patients is
    folds: int = 3
    validation_share: float = 0.2
    test_share: float = 0.0
    patient: str | None = None  # who is who, where case names do not tell it; see `identity`

    def __post_init__(self) -> None:
        """Raises: ArgumentError naming the setting that cannot be."""
        if self.sites is not None and self.sites < 1:
            raise ArgumentError(f"--sites is {self.sites}, expected at least 1")
        if self.folds < 2:
            raise ArgumentError(f"--folds is {self.folds}, expected at least 2")
        if not (0 <= self.validation_share < 1 and 0 <= self.test_share < 1):
            raise ArgumentError("--validation-share and --test-share are parts of 1, such as 0.2")
        if self.validation_share + self.test_share >= 1:
            raise ArgumentError("--validation-share and --test-share leave nothing to train on")


@dataclass(frozen=True)
class SplitPlan:
    """The datalists of every site, their paths still where the cases were found."""

    sites: tuple[Datalist, ...]
    labels: Mapping[str, LabelVolumes]  # by case name
    dropped: Mapping[str, str]  # case name -> why it is at no site
    convention_reason: str
    findings: tuple[Problem, ...] = ()  # of all cases, those that were dropped too
    remarks: tuple[Remark, ...] = ()  # on the numbers of the sites


def plan_split(
    examinations: Sequence[Examination], settings: SplitSettings, chosen: LabelConvention | None = None
) -> SplitPlan:
    """Sites, sections and what was dropped, of examined cases.

    Raises: DataError if the convention cannot be told, no case is fit to train on, too few patients are left, or a site
    could not train; ArgumentError if `by` means nothing.
    """
    labels = labels_of(examinations)
    if not labels:
        raise _nothing_fit(_find_unfit(examinations, chosen))
    settled = settle_convention(labels, chosen, [e.anatomy for e in examinations])
    dropped = _find_unfit(examinations, settled.convention)
    fit = [e for e in examinations if e.case.name not in dropped]
    if not fit:
        raise _nothing_fit(dropped)
    scheme = read_scheme(settings.by, [e.case for e in fit])
    if table := scheme.table:
        unlisted = {e.case.name: f"{table.path.name} has no row for it" for e in fit if e.case.name not in table.rows}
        dropped |= unlisted
        fit = [e for e in fit if e.case.name not in unlisted]
    fit = name_patients(fit, settings.patient, table)
    patients = group_patients(fit, settled.convention)
    # A generator of its own for each purpose: another number of folds leaves the sites as they were.
    homes = share_out(patients, scheme, settings.sites, np.random.default_rng([settings.seed, 0]))
    datalists = _divide_sites(homes, settings, table, settled.convention)
    _, findings = judge_cases(examinations, chosen)
    share = settings.validation_share if settings.fold is None else None
    remarks = remarks_on_numbers(datalists, share, settings.test_share)
    return SplitPlan(datalists, labels, dropped, settled.reason, tuple(findings), tuple(remarks))


def group_patients(examinations: Sequence[Examination], convention: LabelConvention) -> list[Patient]:
    """Cases grouped by patient: those with one patient's name, and those that hold an identical image."""
    owner: dict[str, int] = {}  # a patient's name or an image's fingerprint -> a group
    groups: list[list[Examination]] = []
    for examination in examinations:
        keys = [f"patient {examination.case.patient}", *examination.fingerprints.values()]
        joined = sorted({owner[key] for key in keys if key in owner})
        members = [member for k in joined for member in groups[k]] + [examination]
        for k in joined:
            groups[k] = []
        groups.append(members)
        for member in members:
            for key in (f"patient {member.case.patient}", *member.fingerprints.values()):
                owner[key] = len(groups) - 1
    return [_make_patient(group, convention) for group in groups if group]


def divide(
    patients: Sequence[Patient], validation_share: float, test_share: float, rng: np.random.Generator, least: int = 1
) -> dict[str, list[Patient]]:
    """Training, validation and test patients of one site; one at least of each asked for, while training keeps one.

    least: the fewest that validate, where training keeps twice as many.
    """
    shuffled = [patients[i] for i in rng.permutation(len(patients))]
    validation = _count_of(validation_share, len(patients), len(patients) - 1)
    if 0 < validation < least and len(patients) >= 3 * least:
        validation = least
    test = _count_of(test_share, len(patients), len(patients) - 1 - validation)
    return {
        "validation": shuffled[:validation],
        "test": shuffled[validation : validation + test],
        "training": shuffled[validation + test :],
    }


def draw_test(homes: Sites, settings: SplitSettings) -> Sites:
    """The test patients of each site, the same in every fold; two at least are left to train and validate on."""
    # No fold moves this generator: test patients that changed with the fold would be trained on in another one.
    rng = np.random.default_rng([settings.seed, 2])
    counts = {site: _count_of(settings.test_share, len(own), len(own) - 2) for site, own in homes.items()}
    return {site: [own[i] for i in rng.permutation(len(own))[: counts[site]]] for site, own in homes.items()}


def make_folds(homes: Sites, folds: int, rng: np.random.Generator) -> dict[str, int]:
    """Patient name -> fold, each site's patients spread evenly over the folds and so are all patients together."""
    order = [site[i] for site in homes.values() for i in rng.permutation(len(site))]
    return {patient.name: k % folds for k, patient in enumerate(order)}


def make_datalist(site: str, convention: LabelConvention, sections: Mapping[str, list[Patient]]) -> Datalist:
    """The datalist of a site, by name within each section. Raises: DataError if nothing is left to train on."""
    cases: dict[str, Any] = {
        section: tuple(sorted((case for patient in patients for case in patient.cases), key=lambda case: case.name))
        for section, patients in sections.items()
    }
    if not cases["training"]:
        raise DataError(f"site {site} would have no training case; take fewer sites, another fold or other shares")
    return Datalist(site, convention, **cases)


def _find_unfit(examinations: Sequence[Examination], convention: LabelConvention | None) -> dict[str, str]:
    """Case name -> why it cannot be trained on."""
    _, problems = judge_cases(examinations, convention)
    unfit = {e.case.name: "there is no segmentation" for e in examinations if e.case.label is None}
    return unfit | {p.case: f"{p.kind}: {p.message}" for p in reversed(problems) if p.severity == ERROR}


def _nothing_fit(dropped: Mapping[str, str]) -> DataError:
    """What to say where every case was dropped: the kinds of reasons and how often each was."""
    kinds = Counter(reason.partition(":")[0] for reason in dropped.values())
    counts = ", ".join(f"{kind}: {count}" for kind, count in kinds.most_common())
    return DataError(
        f"none of the {len(dropped)} cases can be trained on ({counts}); run `fedbrats check` on the folder, which "
        f"says what is wrong with each"
    )


def _make_patient(examinations: Sequence[Examination], convention: LabelConvention) -> Patient:
    name = min(examination.case.patient for examination in examinations)
    volumes = [tumour_ml(examination.labels or {}, convention) for examination in examinations]
    return Patient(name, tuple(replace(e.case, patient=name) for e in examinations), float(np.mean(volumes)))


def _divide_sites(
    homes: Sites, settings: SplitSettings, table: CaseTable | None, convention: LabelConvention
) -> tuple[Datalist, ...]:
    rng = np.random.default_rng([settings.seed, 1])
    test = draw_test(homes, settings) if settings.fold is not None else {}
    rest = {site: [p for p in patients if p not in test.get(site, ())] for site, patients in homes.items()}
    if table and table.has_column(FOLD_COLUMN):
        folds = {} if settings.fold is None else _read_folds(rest, table)
    else:  # drawn for no fold too, so that what is drawn next does not depend on there being one
        folds = make_folds(rest, settings.folds, rng)
    if settings.fold is not None and settings.fold not in folds.values():
        raise ArgumentError(f"no case is in fold {settings.fold}; the folds are {sorted(set(folds.values()))}")
    datalists = []
    for site, patients in rest.items():
        if settings.fold is None:
            sections = divide(patients, settings.validation_share, settings.test_share, rng, FEW)
        else:
            sections = {
                "training": [patient for patient in patients if folds[patient.name] != settings.fold],
                "validation": [patient for patient in patients if folds[patient.name] == settings.fold],
                "test": test[site],
            }
        datalists.append(make_datalist(site, convention, sections))
    return tuple(datalists)


def _read_folds(homes: Sites, table: CaseTable) -> dict[str, int]:
    folds = {}
    for patient in (patient for site in homes.values() for patient in site):
        values = {table.value(case, FOLD_COLUMN) for case in patient.cases}
        if len(values) > 1 or not (value := values.pop()).isdecimal():
            raise DataError(f"{table.path} must give patient {patient.name} one fold, a whole number")
        folds[patient.name] = int(value)
    return folds


def _count_of(share: float, total: int, most: int) -> int:
    return max(0, min(max(1, round(share * total)), most)) if share > 0 else 0
