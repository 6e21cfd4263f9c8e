"""Label values <-> the nested regions that BraTS scores: whole tumour, tumour core, enhancing tumour.

This is the only module with a label number. BraTS has changed them over the years, and a wrong guess yields an empty
region without any error, so a convention is always named; `check/conventions.py` finds out which a data set follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import DataError

REGIONS = ("WT", "TC", "ET")  # the channel order of every mask, each region inside the one before it
REGION_COLOURS = {"WT": "#4fc3f7", "TC": "#ffb300", "ET": "#ff5ca8"}  # apart for colour-blind eyes, bright on grey


@dataclass(frozen=True)
class LabelConvention:
    """What each label value of a segmentation means."""

    name: str
    meaning: str
    enhancing: int
    core: tuple[int, ...] = (1,)  # necrosis and other tumour core that does not enhance; written back as the first
    oedema: int = 2
    outside: tuple[int, ...] = ()  # labelled, but part of no tumour region

    @property
    def values(self) -> frozenset[int]:
        """Every value that a segmentation may hold, 0 (background) included."""
        return frozenset({0, self.oedema, self.enhancing, *self.core, *self.outside})

    @property
    def names(self) -> dict[int, str]:
        """Each label value with its name, for a datalist."""
        return (
            {0: "background", self.oedema: "oedema", self.enhancing: "enhancing tumour"}
            | dict.fromkeys(self.core, "tumour core without enhancement")
            | dict.fromkeys(self.outside, "outside the tumour")
        )

    @property
    def written_labels(self) -> dict[int, tuple[str, str]]:
        """Each value of a mask in this convention with its name and its colour, which is its outermost region's."""
        labels = {
            self.oedema: ("oedema", REGION_COLOURS["WT"]),
            self.core[0]: ("tumour core without enhancement", REGION_COLOURS["TC"]),
            self.enhancing: ("enhancing tumour", REGION_COLOURS["ET"]),
        }
        return dict(sorted(labels.items()))

    @property
    def written(self) -> str:
        """What a mask in this convention holds, in words."""
        values = {self.core[0]: "tumour core without enhancement", self.oedema: "oedema", self.enhancing: "ET"}
        return ", ".join(f"{value} = {name}" for value, name in sorted(values.items()))

    def __str__(self) -> str:
        return f"{self.name} ({self.meaning})"


BRATS_2015 = LabelConvention("brats-2015", "ET=4, 3 is non-enhancing core", enhancing=4, core=(1, 3))
BRATS_2018 = LabelConvention("brats-2018", "ET=4", enhancing=4)
BRATS_2023 = LabelConvention("brats-2023", "ET=3", enhancing=3)
BRATS_2024 = LabelConvention("brats-2024", "ET=3, 4 is resection cavity", enhancing=3, outside=(4,))
BRATS_PED_2024 = LabelConvention(
    "brats-ped-2024", "ET=1, 2 is non-enhancing core, 3 cysts, 4 oedema", enhancing=1, core=(2, 3), oedema=4
)
DECATHLON = LabelConvention("decathlon", "ET=3, 1 is oedema, 2 core", enhancing=3, core=(2,), oedema=1)
CONVENTIONS = {c.name: c for c in (BRATS_2015, BRATS_2018, BRATS_2023, BRATS_2024, BRATS_PED_2024, DECATHLON)}
COVERAGE = {  # for people who must choose
    BRATS_2015.name: "BraTS 2012 to 2015",
    BRATS_2018.name: "BraTS 2017 to 2021, UPENN-GBM, UCSF-PDGM",
    BRATS_2023.name: "BraTS 2023 and later without resection cavities: GLI, MEN, MET, SSA, GoAT, PED 2023",
    BRATS_2024.name: "BraTS 2024 and later with resection cavities: GLI, MET 2025",
    BRATS_PED_2024.name: "BraTS-PED 2024 and later",
    DECATHLON.name: "Medical Segmentation Decathlon, nnU-Net's conversion",
}


def get_convention(name: str) -> LabelConvention:
    """The convention of that name. Raises: DataError listing the names there are."""
    try:
        return CONVENTIONS[name]
    except KeyError:
        raise DataError(f"label convention {name!r} is not known; choose one of {', '.join(CONVENTIONS)}") from None


def labels_to_regions(labels: NDArray[np.generic], convention: LabelConvention) -> NDArray[np.uint8]:
    """Nested region masks, uint8 (3, X, Y, Z) in the order of REGIONS, of a label volume (X, Y, Z).

    Raises: DataError if the volume holds a value that the convention does not know.
    """
    unknown = sorted(set(np.unique(labels[labels != 0]).tolist()) - convention.values)  # most voxels are background
    if unknown:
        raise DataError(
            f"segmentation holds the label(s) {', '.join(f'{v:g}' for v in unknown)}, "
            f"but convention {convention} knows {', '.join(map(str, sorted(convention.values)))} only"
        )
    enhancing = labels == convention.enhancing
    core = enhancing | np.isin(labels, convention.core)
    whole = core | (labels == convention.oedema)
    return np.stack([whole, core, enhancing]).astype(np.uint8)  # (X, Y, Z) -> (3, X, Y, Z)


def regions_to_labels(mask: NDArray[np.generic], convention: LabelConvention) -> NDArray[np.uint8]:
    """The label volume, uint8 (X, Y, Z), of region masks (3, X, Y, Z).

    A predicted mask need not be nested: the innermost region that a voxel is in decides its label.
    """
    whole, core, enhancing = mask.astype(bool)
    labels = np.zeros(whole.shape, dtype=np.uint8)  # (3, X, Y, Z) -> (X, Y, Z)
    labels[whole] = convention.oedema
    labels[core] = convention.core[0]
    labels[enhancing] = convention.enhancing
    return labels
