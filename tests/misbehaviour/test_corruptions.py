"""Trouble-makers do what their names say."""

import argparse
import re

import numpy as np
import pytest

from fedbrats.cli.studies.job import add_trouble_argument
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CacheSettings, prepare_cases
from fedbrats.errors import ConfigurationError
from fedbrats.misbehaviour.cases import corrupt_cases
from fedbrats.misbehaviour.kinds import KINDS, check_misbehaviour
from fedbrats.misbehaviour.updates import UPDATE_CORRUPTIONS, corrupt_update


@pytest.fixture(scope="module")
def cases(phantom_sites, tmp_path_factory):
    site = read_datalist(phantom_sites / "site-1")
    prepared, rejected = prepare_cases(
        site.training, site.convention, tmp_path_factory.mktemp("cache"), CacheSettings()
    )
    assert not rejected
    return prepared


def test_what_a_kind_does_not_concern_is_left_alone(cases):
    assert corrupt_cases(cases, "noise") == list(cases)
    update = {"a": np.ones(3, np.float32)}
    assert corrupt_update(update, "swapped-labels", 0) is update


def test_exchanged_modalities_are_t1ce_and_flair(cases):
    bad = corrupt_cases(cases, "exchanged-modalities")[0].image
    good = cases[0].image
    assert np.array_equal(bad, good[[0, 3, 2, 1]])


def test_a_missing_modality_is_empty_and_the_others_are_not(cases):
    bad = corrupt_cases(cases, "missing-modality")[0].image
    assert not bad[3].any()
    assert np.array_equal(bad[:3], cases[0].image[:3])


def test_flipped_anatomy_parts_the_scan_from_its_segmentation(cases):
    bad = corrupt_cases(cases, "flipped-anatomy")[0]
    assert np.array_equal(bad.image[..., ::-1], cases[0].image)
    assert np.array_equal(bad.mask, cases[0].mask)


def test_swapped_labels_exchange_core_and_enhancement_and_keep_the_regions_nested(cases):
    good, bad = cases[0].mask, corrupt_cases(cases, "swapped-labels")[0].mask
    assert np.array_equal(bad[:2], good[:2])
    assert np.array_equal(bad[2] + good[2], good[1])


def test_shuffled_labels_belong_to_another_case(cases):
    bad = corrupt_cases(cases, "shuffled-labels")
    for one, other in zip(bad, cases, strict=True):
        assert one.mask.shape == other.mask.shape
        assert not np.array_equal(one.mask, other.mask)
    alone = corrupt_cases(cases[:1], "shuffled-labels")[0]
    assert not np.array_equal(alone.mask, cases[0].mask)


@pytest.mark.parametrize("kind", UPDATE_CORRUPTIONS)
def test_corrupted_updates_keep_their_form_and_differ(kind):
    rng = np.random.default_rng(0)
    update = {"a": rng.normal(size=(3, 4)).astype(np.float32), "b": rng.normal(size=5).astype(np.float32)}
    bad = corrupt_update(update, kind, seed=1)
    assert {name: (value.shape, value.dtype) for name, value in bad.items()} == {
        name: (value.shape, value.dtype) for name, value in update.items()
    }
    assert any(not np.array_equal(bad[name], update[name]) for name in update)


def test_a_misbehaviour_that_does_not_exist_is_refused_with_those_that_do():
    for kind in (*KINDS, "copy:site-2"):
        check_misbehaviour({"site-1": kind})
    with pytest.raises(ConfigurationError, match=r"'lies'.*sign-flip"):
        check_misbehaviour({"site-1": "lies"})


def test_the_commands_name_every_kind():
    parser = argparse.ArgumentParser()
    add_trouble_argument(parser)
    (action,) = [each for each in parser._actions if each.dest == "misbehave"]
    assert set(KINDS) <= set(re.findall(r"[a-z-]+", action.help))
