"""A synthetic federation: sites whose scanners and tumours differ, written as a sites folder ready to train on."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedbrats.atomic import write_bytes_atomic
from fedbrats.data.cases.case import MODALITIES, SEGMENTATION, Case
from fedbrats.data.cases.datalist import Datalist, write_datalist
from fedbrats.data.phantom.anatomy import PHANTOM_CONVENTION, TumourStatistics
from fedbrats.data.phantom.scanner import Scanner, SiteProfile, make_case
from fedbrats.data.split.partitions import Patient, geometric_sizes
from fedbrats.data.split.plan import divide, make_datalist
from fedbrats.errors import ConfigurationError


@dataclass(frozen=True)
class CohortSettings:
    """The numbers that make a cohort; the same ones make the same files."""

    sites: int = 5
    cases: int = 8  # at each site; the mean over sites where they are unequal
    unequal: bool = False
    seed: int = 0
    spacing_mm: float = 3.0
    noise: float = 1.0  # multiplies every scanner's
    validation_share: float = 0.2

    def __post_init__(self) -> None:
        """Raises: ConfigurationError naming the setting that cannot be."""
        if self.sites < 1 or self.cases < 1:
            raise ConfigurationError("--sites and --cases must be at least 1")
        if not 0 <= self.noise < math.inf:
            raise ConfigurationError(f"--noise is {self.noise:g}, expected a number from 0")
        if not 0 <= self.validation_share < 1:
            raise ConfigurationError(
                f"--validation-share is {self.validation_share:g}, expected a part of 1, such as 0.2"
            )

    @property
    def sizes(self) -> list[int]:
        """The number of cases of each site."""
        return geometric_sizes(self.sites * self.cases, self.sites) if self.unequal else [self.cases] * self.sites


def draw_profiles(sites: int, seed: int, noise: float = 1.0) -> list[SiteProfile]:
    """One profile a site; every property is spread evenly over the sites in an order of its own.

    A Latin hypercube: few sites still differ in everything, and no two properties go together.
    """
    rng = np.random.default_rng([seed, 0])

    def spread(low: float, high: float) -> NDArray[np.float64]:
        return low + (high - low) * (rng.permutation(sites) + 0.5) / sites

    radius, oedema, ring = spread(9, 22), spread(6, 15), spread(2.5, 5.5)
    enhancing = np.minimum(spread(0, 2), 1)  # some site has mostly tumours without enhancement, half have none such
    side, front, height = spread(-25, 25), spread(-35, 35), spread(0, 25)
    gain = np.exp([spread(*np.log([1.0, 30.0])) for _ in MODALITIES])
    gamma = np.array([spread(0.8, 1.3) for _ in MODALITIES])
    noises, bias = spread(2, 8), spread(0.03, 0.2)
    blur, slice_blur = spread(0.5, 1.5), spread(0.7, 3.0)
    return [
        SiteProfile(
            Scanner(
                gain=tuple(gain[:, k].tolist()),
                gamma=tuple(gamma[:, k].tolist()),
                noise=float(noise * noises[k]),
                bias=float(bias[k]),
                blur_mm=float(blur[k]),
                slice_blur_mm=float(slice_blur[k]),
            ),
            TumourStatistics(
                radius_mm=float(radius[k]),
                oedema_mm=float(oedema[k]),
                enhancing_share=float(enhancing[k]),
                ring_mm=float(ring[k]),
                centre_mm=(float(side[k]), float(front[k]), float(height[k])),
            ),
        )
        for k in range(sites)
    ]


def write_cohort(sites_dir: Path, settings: CohortSettings) -> Iterator[Datalist]:
    """Write every site's cases and datalist into `sites_dir`; gives each datalist when its site is written."""
    profiles = draw_profiles(settings.sites, settings.seed, settings.noise)
    for number, (profile, size) in enumerate(zip(profiles, settings.sizes, strict=True), start=1):
        yield _write_site(sites_dir, number, profile, size, settings)


def write_case(folder: Path, name: str, rng: np.random.Generator, profile: SiteProfile, spacing_mm: float) -> Case:
    """Write one phantom into `folder`, named as BraTS 2018 names its files."""
    images, labels, affine = make_case(rng, profile, spacing_mm)
    paths = {role: folder / f"{name}_{role}.nii.gz" for role in (*MODALITIES, SEGMENTATION)}
    for modality in MODALITIES:
        write_nifti(paths[modality], images[modality], affine)
    write_nifti(paths[SEGMENTATION], labels, affine)
    label = paths.pop(SEGMENTATION)
    return Case(name, name, paths, label)


def write_nifti(path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    """Write a `.nii.gz` whose bytes follow from its content alone (gzip would add the time)."""
    import nibabel

    content = nibabel.Nifti1Image(voxels, affine).to_bytes()
    write_bytes_atomic(path, lambda stream: stream.write(gzip.compress(content, compresslevel=1, mtime=0)))


def _write_site(sites_dir: Path, number: int, profile: SiteProfile, size: int, settings: CohortSettings) -> Datalist:
    site = f"site-{number}"
    patients = []
    for k in range(1, size + 1):
        name = f"Phantom_{site}_{k:03d}"
        rng = np.random.default_rng([settings.seed, number, k])
        case = write_case(sites_dir / site / name, name, rng, profile, settings.spacing_mm)
        patients.append(Patient(case.patient, (case,), tumour_ml=0.0))
    sections = divide(patients, settings.validation_share, 0, np.random.default_rng([settings.seed, number]))
    datalist = make_datalist(site, PHANTOM_CONVENTION, sections)
    write_datalist(sites_dir / site, datalist)
    return datalist
