"""Phantoms look as BraTS scans do in what matters, follow from their seed, and differ between sites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedbrats.data.cases.case import MODALITIES, find_cases
from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.data.phantom.anatomy import (
    PHANTOM_CONVENTION,
    PhantomBox,
    Tissue,
    TumourStatistics,
    draw_anatomy,
)
from fedbrats.data.phantom.cohort import CohortSettings, draw_profiles, write_cohort
from fedbrats.data.phantom.scanner import Scanner, SiteProfile, make_case
from fedbrats.data.regions import labels_to_regions
from fedbrats.data.volumes import read_volume
from fedbrats.errors import ConfigurationError, DataError

QUIET = Scanner(noise=0, bias=0, blur_mm=0.01, slice_blur_mm=0.01)


def draw(seed: int, spacing_mm: float = 3.0, profile: SiteProfile | None = None) -> tuple[dict, NDArray, NDArray]:
    return make_case(np.random.default_rng(seed), profile or SiteProfile(), spacing_mm)


def test_a_case_has_the_form_of_brats() -> None:
    images, labels, affine = draw(0)
    assert tuple(images) == MODALITIES
    assert labels.shape == (56, 64, 56)
    assert labels.dtype == np.uint8
    np.testing.assert_allclose(np.abs(np.diag(affine)), [3, 3, 3, 1])
    np.testing.assert_allclose(affine[:3] @ [*(np.array(labels.shape) - 1) / 2, 1], 0, atol=1e-9)
    brains = [image > 0 for image in images.values()]
    assert all(image.dtype == np.int16 and image.min() == 0 for image in images.values())
    assert all((brain == brains[0]).all() for brain in brains)
    assert not (labels[~brains[0]] > 0).any()
    assert 1100 < brains[0].sum() * 0.027 < 1800  # mL


@pytest.mark.parametrize("seed", range(5))
def test_every_case_has_a_tumour_of_a_plausible_size(seed: int) -> None:
    _, labels, _ = draw(seed)
    whole_ml = labels_to_regions(labels, PHANTOM_CONVENTION)[0].sum() * 0.027
    assert 2 < whole_ml < 450


def test_the_seed_makes_the_case() -> None:
    (one, labels, _), (same, same_labels, _), (other, _, _) = draw(3), draw(3), draw(4)
    np.testing.assert_array_equal(labels, same_labels)
    assert all((one[m] == same[m]).all() for m in MODALITIES)
    assert not (one["t1"] == other["t1"]).all()


def test_the_anatomy_does_not_depend_on_the_voxel_size() -> None:
    _, fine, _ = draw(5, spacing_mm=2.0)
    _, coarse, _ = draw(5, spacing_mm=4.0)
    halved = (fine.reshape(42, 2, 48, 2, 42, 2).transpose(0, 2, 4, 1, 3, 5) > 0).mean(axis=(3, 4, 5)) > 0.5
    overlap = 2 * (halved & (coarse > 0)).sum() / (halved.sum() + (coarse > 0).sum())
    assert overlap > 0.85


def test_contrasts_are_those_of_the_modalities() -> None:
    rng = np.random.default_rng(1)
    anatomy = draw_anatomy(rng, PhantomBox(3.0), TumourStatistics())
    images, labels, _ = make_case(np.random.default_rng(1), SiteProfile(QUIET), 3.0)
    np.testing.assert_array_equal(labels, anatomy.labels)

    def mean(modality: str, tissue: Tissue) -> float:
        return float(images[modality][anatomy.tissues == tissue].mean())

    assert mean("t1", Tissue.CSF) < mean("t1", Tissue.GREY) < mean("t1", Tissue.WHITE)
    assert mean("t2", Tissue.CSF) > mean("t2", Tissue.GREY) > mean("t2", Tissue.WHITE)
    assert mean("flair", Tissue.CSF) < mean("flair", Tissue.WHITE) < mean("flair", Tissue.OEDEMA)
    assert mean("t1ce", Tissue.ENHANCING) > 1.2 * mean("t1ce", Tissue.WHITE)
    assert mean("t1", Tissue.ENHANCING) < mean("t1", Tissue.WHITE)


def test_sites_differ_in_scanner_and_tumours() -> None:
    profiles = draw_profiles(5, seed=0)
    assert profiles == draw_profiles(5, seed=0) != draw_profiles(5, seed=1)
    for values in zip(*[(p.tumours.radius_mm, p.scanner.noise, p.scanner.gain[0]) for p in profiles], strict=True):
        assert len(set(values)) == 5
        assert max(values) > 1.8 * min(values)
    shares = [p.tumours.enhancing_share for p in profiles]
    assert min(shares) < 0.3
    assert max(shares) == 1.0


def test_a_site_without_enhancement_has_hardly_any() -> None:
    calm = SiteProfile(tumours=TumourStatistics(enhancing_share=0.0))
    masks = [labels_to_regions(draw(seed, 4.0, calm)[1], PHANTOM_CONVENTION) for seed in range(6)]
    _, core, enhancing = np.sum([mask.sum(axis=(1, 2, 3)) for mask in masks], axis=0)
    assert enhancing < 0.1 * core


def test_a_bad_spacing_is_refused() -> None:
    with pytest.raises(DataError, match=r"0\.5 to 6 mm, not 0 mm"):
        draw(0, spacing_mm=0)


@pytest.mark.parametrize("wrong", [{"sites": 0}, {"cases": 0}, {"noise": -1.0}, {"validation_share": 1.0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="--"):
        CohortSettings(**wrong)


def test_a_cohort_has_its_datalists_and_the_same_bytes_again(tmp_path: Path) -> None:
    settings = CohortSettings(sites=2, cases=4, unequal=True, spacing_mm=6.0, seed=7)
    first, second = tmp_path / "first", tmp_path / "second"
    datalists = list(write_cohort(first, settings))
    list(write_cohort(second, settings))
    assert datalists == [read_datalist(site) for site in find_sites(first)]
    assert [len(d.cases) for d in datalists] == settings.sizes == [5, 3]
    assert [len(d.validation) for d in datalists] == [1, 1]
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    assert len(files) == 8 * 5 + 2
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)


def test_cases_are_named_and_found_as_brats_cases(phantom_sites: Path) -> None:
    cases = find_cases(phantom_sites)
    assert len(cases) == 8
    assert all(len(case.files) == 5 and not case.doubled and case.patient == case.name for case in cases)
    assert cases[0].name == "Phantom_site-1_001"
    assert read_volume(cases[0].images["t1"]).spacing_mm == pytest.approx((4.0, 4.0, 4.0))
