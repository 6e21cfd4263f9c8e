"""Phantoms among the patches of a site: as many as the share says, the same every time, counted as nobody."""

import numpy as np
import pytest

from fedbrats.data.batches.company import PATCHES_EACH, Company
from fedbrats.data.batches.loading import Loader
from fedbrats.data.batches.settings import Augmentation
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CacheSettings, prepare_cases
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer


@pytest.fixture(scope="module")
def cases(phantom_sites, tmp_path_factory):
    site = read_datalist(phantom_sites / "site-1")
    settings = CacheSettings(spacing_mm=8.0)
    return prepare_cases(site.training, site.convention, tmp_path_factory.mktemp("cache"), settings)[0]


def loader(cases, share):
    options = {"patch_size": (16, 16, 16), "batch_size": 1, "foreground_share": 0.5, "augmentation": Augmentation()}
    return Loader(cases, **options, seed=3, phantom_share=share)


@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 7, 1 / 3, 0.5, 0.9])
def test_the_share_holds_from_the_first_patches_on(share):
    company = Company(share, 0, None)
    counts = np.array([company.before(place) for place in range(200)])
    assert np.abs(counts - share * np.arange(200)).max() <= 1
    assert set(np.diff(counts)) <= {0, 1}


def test_cases_keep_their_order_beside_phantoms_and_phantoms_have_no_number(cases):
    alone, third = loader(cases, 0.0), loader(cases, 1 / 3)
    numbers = [third.draw(2, step).cases for step in range(12)]
    assert sum(not each for each in numbers) == 4
    assert [each for each in numbers if each] == [alone.draw(2, step).cases for step in range(8)]


def test_a_batch_with_phantoms_depends_on_seed_round_and_step_alone(cases):
    one, another = loader(cases, 0.5), loader(cases, 0.5)
    one.draw(0, 3)  # what came before must not matter
    for step in (1, 0):
        mine, theirs = one.draw(4, step), another.draw(4, step)
        np.testing.assert_array_equal(mine.images, theirs.images)
        np.testing.assert_array_equal(mine.masks, theirs.masks)


def test_phantoms_have_the_voxels_of_the_cases_and_change_from_round_to_round():
    company = Company(0.5, 0, 8.0)
    first = company.phantom(0, 0)
    assert first.geometry.spacing_mm == pytest.approx((8, 8, 8))
    assert max(first.image.shape[1:]) <= 192 / 8
    assert company.phantom(0, PATCHES_EACH - 1) is first
    assert not np.array_equal(company.phantom(0, PATCHES_EACH).image, first.image)
    assert company.phantom(1, 0).image.shape[0] == 4
    assert not np.array_equal(company.phantom(1, 0).mask, first.mask)


def test_a_round_with_phantoms_counts_patients_alone_and_writes_nothing(cases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = TrainingSettings(phantom_share=0.5, local_steps=8, patch_size=(16, 16, 16))
    trainer = Trainer({"preset": "tiny", "seed": 0}, settings, cases, seed=1, device="cpu")
    outcome = trainer.train_round(0, 1)
    assert outcome.cases == len(cases) == trainer.usable_training_cases
    assert outcome.loss_cases <= min(4, len(cases))
    assert outcome.steps == 8
    assert list(tmp_path.iterdir()) == []
