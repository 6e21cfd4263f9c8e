"""What a split did to numbers, in words: sites that cannot validate or test, and shares that few patients change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fedbrats.data.cases.datalist import Datalist

FEW = 2  # patients that say something of a site; one alone says nothing of the others
_NEAR = 0.05  # how far a share may be from what was asked for


class Remark(NamedTuple):
    """One sentence about a site's numbers."""

    is_warning: bool
    text: str


def remarks_on_numbers(
    sites: Sequence[Datalist], validation_share: float | None, test_share: float
) -> Iterator[Remark]:
    """What a person should know of the numbers of each site.

    validation_share: as asked for; None where a fold was held out.
    """
    for site in sites:
        patients = {s: len({case.patient for case in getattr(site, s)}) for s in ("training", "validation", "test")}
        total, validation = sum(patients.values()), patients["validation"]
        if not validation and validation_share != 0:
            why = "it has one patient, who trains" if total == 1 else "none of its patients is in this fold"
            yield Remark(True, f"{site.site} has no validation case: {why}; its score will be missing in every table")
        elif 0 < validation < FEW:
            yield Remark(True, f"{site.site} validates on 1 of {total} patients, whose score says little of the others")
        for asked, section in ((validation_share, "validation"), (test_share, "test")):
            share = patients[section] / total
            if asked and patients[section] >= FEW and abs(share - asked) > _NEAR:
                has = f"{patients[section]} of {total} patients ({share:.0%}, asked: {asked:.0%})"
                yield Remark(False, f"{site.site}: {section} has {has}")
        if test_share and not patients["test"]:
            yield Remark(True, f"{site.site} has no test case: too few patients are left")
