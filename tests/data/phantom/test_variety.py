"""Varied phantoms: whole, nested, the same for the same seed, with every kind of variation on and off."""

from dataclasses import fields

import numpy as np
import pytest

from fedbrats.data.phantom.stream import PhantomStream, drawn_ahead
from fedbrats.data.phantom.variety import Variety, draw_variety
from fedbrats.errors import ConfigurationError

COARSE_MM = 6.0
KINDS = [each.name for each in fields(Variety)]


def draw(seed, variety=None):
    return draw_variety(np.random.default_rng(seed), variety or Variety(), COARSE_MM)


@pytest.mark.parametrize("seed", range(12))
def test_a_phantom_is_a_case_as_training_reads_it(seed):
    image, mask = draw(seed)
    assert image.dtype == np.float32
    assert mask.dtype == np.uint8
    assert image.shape == (4, *mask.shape[1:])
    assert np.isfinite(image).all()
    assert (mask[0] >= mask[1]).all()
    assert (mask[1] >= mask[2]).all()
    for modality in image:
        shown = modality[modality != 0]
        assert abs(shown.mean()) < 0.01
        assert abs(shown.std() - 1) < 0.01


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_case():
    first, again, other = draw(3), draw(3), draw(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_variation_can_be_left_out_and_matters(kind):
    seeds = range(8)
    changed = [not np.array_equal(draw(seed)[0], draw(seed, Variety.without([kind]))[0]) for seed in seeds]
    assert any(changed)


def test_an_unknown_kind_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigurationError, match="there is no kind of variation 'colour'; there are contrast, kinds"):
        Variety.without(["colour"])


def test_a_stream_is_the_same_whoever_draws_it():
    stream = PhantomStream(seed=5, cases=1, variety=Variety())
    with drawn_ahead(stream, rounds=2, workers=1) as drawn:
        ahead = [cases[0] for cases in drawn]
    here = [stream.draw(number)[0] for number in range(2)]
    assert [case.name for case in ahead] == ["phantom-5-0-0", "phantom-5-1-0"]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(ahead, here, strict=True))
    assert not np.array_equal(here[0].image, here[1].image)
