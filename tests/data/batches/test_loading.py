"""Batches: the same for the same seed, round and step; patches where the tumour is; nothing left running."""

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbrats.data.batches.augmentation import augment
from fedbrats.data.batches.loading import Loader
from fedbrats.data.batches.settings import Augmentation
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CachedCase, CacheSettings, prepare_cases
from fedbrats.errors import DataError

UNCHANGED = Augmentation(flips=False, intensity=0, noise=0, rotation_degrees=0, scaling=0, modality_dropout=0)
EVERYTHING = Augmentation(
    intensity=0.2, noise=0.1, rotation_degrees=20, scaling=0.2, spatial_share=1, modality_dropout=0.5
)


@pytest.fixture(scope="module")
def cases(phantom_sites, tmp_path_factory) -> list[CachedCase]:
    site = read_datalist(phantom_sites / "site-1")
    prepared, _ = prepare_cases(site.training, site.convention, tmp_path_factory.mktemp("cache"), CacheSettings())
    return prepared


def loader(cases, **changes) -> Loader:
    options = {"patch_size": (16, 16, 16), "batch_size": 2, "foreground_share": 0.5, "augmentation": EVERYTHING}
    return Loader(cases, **{**options, "seed": 3, **changes})


def test_a_batch_depends_on_seed_round_and_step_alone(cases):
    one, another = loader(cases), loader(cases)
    list(another.batches(0, 2))  # what came before must not matter
    for mine, theirs in zip(one.batches(5, 3), another.batches(5, 3), strict=True):
        np.testing.assert_array_equal(mine.images, theirs.images)
        np.testing.assert_array_equal(mine.masks, theirs.masks)
    first = next(iter(one.batches(5, 1))).images
    assert (first != next(iter(one.batches(6, 1))).images).any()
    assert (first != next(iter(loader(cases, seed=4).batches(5, 1))).images).any()


def test_shapes_and_types(cases):
    batch = loader(cases).draw(0, 0)
    assert (batch.images.shape, batch.images.dtype) == ((2, 4, 16, 16, 16), np.float32)
    assert (batch.masks.shape, batch.masks.dtype) == ((2, 3, 16, 16, 16), np.float32)
    assert set(np.unique(batch.masks)) <= {0, 1}


def test_whole_volumes_hold_every_voxel_of_every_case_once_in_an_epoch(cases):
    whole = loader(cases, patch_size=None, batch_size=1, augmentation=UNCHANGED)
    found = sorted(float(whole.draw(0, step).masks.sum()) for step in range(len(cases)))
    assert found == sorted(float(case.mask.sum()) for case in cases)
    assert all(side % 16 == 0 for side in whole.draw(0, 0).images.shape[2:])


def test_patches_meet_the_tumour_when_they_should(cases):
    around = loader(cases, foreground_share=1.0, augmentation=UNCHANGED, patch_size=(8, 8, 8))
    assert all(mask[0].any() for step in range(10) for mask in around.draw(0, step).masks)


def test_image_and_mask_stay_together(cases):
    """A picture of the tumour stays one: flips, turns and zooms move image and mask alike."""
    case = cases[0]
    image, mask = case.image.astype(np.float32), case.mask.astype(np.float32)
    image[3] = mask[0]
    moving = UNCHANGED.changed(flips=True, rotation_degrees=30, scaling=0.3, spatial_share=1)
    for seed in range(5):
        moved, moved_mask = augment(image.copy(), mask.copy(), moving, np.random.default_rng(seed))
        assert np.corrcoef(moved[3].ravel(), moved_mask[0].ravel())[0, 1] > 0.6
        assert 0.3 < moved_mask[0].sum() / mask[0].sum() < 3
        assert (moved_mask[1] <= moved_mask[0]).all()


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(4, 24)] * 3), patch=st.tuples(*[st.integers(4, 24)] * 3), seed=st.integers(0, 2**31)
)
def test_any_patch_of_any_case_can_be_drawn(shape, patch, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(4, *shape)).astype(np.float16)
    mask = (rng.random((3, *shape)) < 0.1).astype(np.uint8)
    case = CachedCase("case", "patient", image, mask, None)
    batch = loader([case], patch_size=patch, augmentation=UNCHANGED, seed=seed).draw(0, 0)
    whole = [-(-side // 16) * 16 for side in shape]
    assert batch.images.shape == (2, 4, *np.minimum(patch, whole))  # a larger patch would hold nothing more
    if all(p >= n for p, n in zip(patch, shape, strict=True)):
        assert batch.masks.sum() == 2 * mask.sum()


def test_leaving_a_round_early_harms_neither_it_nor_the_next(cases):
    some = loader(cases)
    expected = [loader(cases).draw(number, 0).images for number in (0, 1)]
    for _ in some.batches(0, 50):
        break
    for number in (0, 1):
        np.testing.assert_array_equal(next(some.batches(number, 50)).images, expected[number])


def test_a_loader_that_is_gone_leaves_no_thread(cases):
    some = loader(cases)
    list(some.batches(0, 3))
    [thread] = some._reader._threads
    del some
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_the_next_round_is_read_ahead(cases):
    some = loader(cases)
    list(some.batches(0, 3))
    assert {(1, 0), (1, 1)} <= set(some._requested)
    batch = next(some.batches(1, 3))
    np.testing.assert_array_equal(batch.images, loader(cases).draw(1, 0).images)


def test_a_case_without_segmentation_cannot_be_trained_on(cases):
    bare = CachedCase("bare", "patient", cases[0].image, None, cases[0].geometry)
    with pytest.raises(DataError, match="bare has no segmentation"):
        loader([bare])


def test_an_error_while_reading_reaches_the_consumer(cases):
    broken = CachedCase("broken", "patient", cases[0].image, cases[0].mask[0], cases[0].geometry)
    with pytest.raises(DataError, match="none of the 1 training cases can be read any more: its mask lies on a grid"):
        list(loader([broken]).batches(0, 2))


def test_a_broken_case_changes_no_batch_that_it_is_not_in(cases):
    whole = loader(cases, batch_size=1)
    first = whole._index(0, 0)
    broken = [replace(case, files=((Path("/nowhere"), 1),)) if i == first else case for i, case in enumerate(cases)]
    mending = loader(broken, batch_size=1)
    expected, found = [[one.draw(0, step).images for step in range(len(cases))] for one in (whole, mending)]
    same = [np.array_equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True)]
    assert same == [False] + [True] * (len(cases) - 1)
    assert [case.name for case in mending.rejected] == [cases[first].name]
    assert len(list(mending.batches(1, 2 * len(cases)))) == 2 * len(cases)
