"""Which label convention a data set follows: case names, label values and the anatomy must agree, or it is asked.

A wrong guess exchanges regions without any error, so nothing is settled against one of the three.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fedbrats.data.check.anatomy import Anatomy, contradicts, encloses
from fedbrats.data.regions import (
    BRATS_2015,
    BRATS_2018,
    BRATS_2023,
    BRATS_2024,
    BRATS_PED_2024,
    CONVENTIONS,
    DECATHLON,
    LabelConvention,
)
from fedbrats.errors import DataError

CHOICE = f"--convention {'|'.join(CONVENTIONS)}"
_ALL_VALUES = frozenset().union(*(convention.values for convention in CONVENTIONS.values()))
_UNNAMED = (BRATS_2018, BRATS_2023)  # what values alone can tell apart, where names tell nothing
_FEW = 3  # cases that are named where they alone make a conflict


class Family(NamedTuple):
    """A data set that case names tell, and the conventions that it may follow; none: its labels are no such regions."""

    name: str
    pattern: re.Pattern[str]
    conventions: tuple[LabelConvention, ...]


FAMILIES = tuple(
    Family(name, re.compile(pattern, re.IGNORECASE), conventions)
    for name, pattern, conventions in (
        ("BraTS 2012 to 2015", r"brats_?(2012|2013|2015)_|vsd\.brain", (BRATS_2015,)),
        ("BraTS 2017 to 2021", r"brats_?(20)?(17|18|19|20|21)_", (BRATS_2018,)),
        ("phantoms", r"phantom_", (BRATS_2018,)),
        ("UPENN-GBM", r"upenn-gbm-\d", (BRATS_2018,)),
        ("UCSF-PDGM", r"ucsf-pdgm-\d", (BRATS_2018,)),
        ("Medical Segmentation Decathlon", r"brats_\d{3}$", (DECATHLON,)),
        ("BraTS-MEN-RT, whose one label is a volume to irradiate", r"brats-men-rt-\d", ()),
        ("BraTS-PED", r"brats-ped-\d", (BRATS_2023, BRATS_PED_2024)),
        ("BraTS 2023 and later", r"brats-[a-z]+-\d", (BRATS_2023, BRATS_2024)),
    )
)


@dataclass(frozen=True)
class SettledConvention:
    """The label convention of a data set and why it is this one.

    doubt: what a person should look at, half a sentence; empty where names, values and anatomy say the same.
    """

    convention: LabelConvention
    reason: str
    doubt: str = ""


def settle_convention(
    labels: Mapping[str, Mapping[int, float]],
    chosen: LabelConvention | None = None,
    anatomies: Sequence[Anatomy] = (),
) -> SettledConvention:
    """The convention of a data set, from the label volumes of all its cases by case name; `chosen` overrules.

    anatomies: of its segmentations. Raises: DataError that asks for a convention.
    """
    if chosen:
        return SettledConvention(chosen, "as chosen")
    uses = Counter(value for volumes in labels.values() for value in volumes)
    known = {value for value in uses if value in _ALL_VALUES}  # a stray value is its case's problem, not the data set's
    families = families_of(labels)
    allowed = _allowed(families)
    of_names = len(families) == 1 and families[0] is not None
    enhancing = [c for c in allowed if known <= c.values and c.enhancing in known]
    if enhancing and _agree(enhancing, known):
        settled = SettledConvention(enhancing[0], f"the labels seen are {_listed(known)}")
    elif by_names := _settle_by_names(allowed if of_names else (), known, families):
        settled = by_names
    else:
        raise DataError(_complain(labels, known, families))
    if objection := contradicts(settled.convention, anatomies):
        raise DataError(
            f"{objection}, which speaks against convention {settled.convention} ({settled.reason})"
            f"{_advise(known, anatomies)}; choose one with {CHOICE}"
        )
    if settled.convention is DECATHLON:
        text = "labels are in the order of nnU-Net and the Decathlon, where BraTS has 1 and 2 exchanged"
        return SettledConvention(settled.convention, settled.reason, text)
    return settled


def convention_of_names(names: Iterable[str]) -> LabelConvention | None:
    """The convention of cases without labels; None where names tell none.

    Raises: DataError for a known data set whose names leave it open.
    """
    families = families_of(names)
    if len(families) != 1 or (family := families[0]) is None:
        return None
    if family.conventions in ((), (BRATS_2023, BRATS_PED_2024)):
        raise DataError(
            f"the case names are of {family.name}, which leaves open what labels mean; choose with {CHOICE}"
        )
    return family.conventions[0]


def families_of(names: Iterable[str]) -> list[Family | None]:
    """The data sets that case names are of, each once; None stands for names that tell none."""
    found = (next((f for f in FAMILIES if f.pattern.match(name)), None) for name in names)
    return list(dict.fromkeys(found))


def _allowed(families: Sequence[Family | None]) -> tuple[LabelConvention, ...]:
    """What the names leave open; names that tell nothing leave open what values can tell."""
    found = [convention for family in families for convention in (family.conventions if family else _UNNAMED)]
    return tuple(dict.fromkeys(found))


def _agree(conventions: Sequence[LabelConvention], values: Iterable[int]) -> bool:
    """Whether all give each of the values the same meaning."""
    return all(len({c.names.get(value) for c in conventions}) == 1 for value in values)


def _settle_by_names(
    allowed: Sequence[LabelConvention], known: set[int], families: Sequence[Family | None]
) -> SettledConvention | None:
    """Where no label tells: what all conventions of the one data set say of the values that there are."""
    fitting = [c for c in allowed if known <= c.values]
    if not fitting or not _agree(fitting, known) or any(c.enhancing in known for c in fitting) or 4 in known:
        return None
    name = families[0].name if families[0] else ""
    reason = f"no enhancing tumour is seen; the case names are of {name}"
    return SettledConvention(fitting[0], reason, f"label convention {fitting[0]} is assumed: {reason}")


def _complain(labels: Mapping[str, Mapping[int, float]], known: set[int], families: Sequence[Family | None]) -> str:
    three, four = ([name for name, volumes in labels.items() if value in volumes] for value in (3, 4))
    if len(families) == 1 and (family := families[0]):
        may_be = " or ".join(str(c) for c in family.conventions) or "no convention of tumour regions"
        return (
            f"the case names are of {family.name}, which has {may_be}, but the labels seen are {_listed(known)}: names "
            f"and labels do not settle a convention; choose one with {CHOICE}"
        )
    if three and four:
        return (
            f"label 3 is in {_counted(three)} and label 4 in {_counted(four)} of {len(labels)} segmentations, which "
            f"fits several conventions or a mixture; choose one with {CHOICE}"
        )
    if len(families) > 1 and (three or four):
        names = ", ".join(family.name if family else "no known data set" for family in families)
        return f"the case names are of {names}, which do not label alike; check them apart or choose with {CHOICE}"
    return (
        f"no segmentation holds enhancing tumour (label 3 or 4) and the case names tell no year; "
        f"choose the label convention with {CHOICE}"
    )


def _advise(known: set[int], anatomies: Sequence[Anatomy]) -> str:
    """The convention that anatomy would have, where it is one that the values allow."""
    if known <= DECATHLON.values and encloses(1, 2, anatomies):
        return f"; this is how {DECATHLON} labels"
    return ""


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if len(names) <= _FEW else str(len(names))


def _listed(values: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(values)))
