"""A real executor that misbehaves: what it answers beside what an honest one answers."""

import numpy as np
import pytest
from nvflare.apis.dxo import from_shareable

from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.misbehaviour.executors import MisbehavingExecutor
from fedbrats.misbehaviour.updates import ABSURD_COUNT
from tests.faults.site import Site


@pytest.fixture(scope="module")
def answer_of(phantom_sites, tmp_path_factory):
    """The first answer of site-1 when the sites of a job misbehave in these ways; its prepared cases are shared."""
    root = tmp_path_factory.mktemp("misbehaving")

    def answer(**kinds):
        misbehaviour = {name.replace("_", "-"): kind for name, kind in kinds.items()}
        return from_shareable(Site(root, phantom_sites, kind=MisbehavingExecutor, misbehaviour=misbehaviour).answer())

    return answer


@pytest.fixture(scope="module")
def honest(answer_of):
    return answer_of(site_2="sign-flip")


def test_the_update_of_a_site_is_corrupted_and_that_of_no_other(answer_of, honest):
    flipped = answer_of(site_1="sign-flip").data
    assert any(value.any() for value in honest.data.values())
    assert all(np.array_equal(flipped[name], -value) for name, value in honest.data.items())


def test_the_cases_of_a_site_are_corrupted(answer_of, honest):
    bad = answer_of(site_1="missing-modality").data
    assert not all(np.array_equal(bad[name], value) for name, value in honest.data.items())


def test_a_copy_has_the_bits_of_the_site_that_it_copies(answer_of, honest):
    same = answer_of(site_1="copy:site-1").data
    assert all(np.array_equal(same[name], value) for name, value in honest.data.items())
    assert answer_of(site_1="copy:site-2").get_meta_prop(REPORT_KEY)["training_cases"] == 2


def test_an_absurd_number_of_cases_is_declared(answer_of, honest):
    assert answer_of(site_1="absurd-cases").get_meta_prop(REPORT_KEY)["training_cases"] == ABSURD_COUNT
    assert honest.get_meta_prop(REPORT_KEY)["training_cases"] == 4
