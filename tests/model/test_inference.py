"""Inference: nested probabilities, the mean over mirror images, the window and the whole agree."""

import numpy as np
import torch

from fedbrats.model.inference import keep_main_tumour, predict_mask, predict_probabilities
from fedbrats.model.network import SegmentationNetwork

CPU = torch.device("cpu")
NETWORK = SegmentationNetwork("tiny", seed=2)


def test_probabilities_are_nested_and_on_the_grid_of_the_case(prepared):
    probabilities = predict_probabilities(NETWORK, prepared[0], device=CPU)
    assert probabilities.shape == prepared[0].mask.shape
    assert (np.diff(probabilities, axis=0) <= 0).all()
    mask = predict_mask(NETWORK, prepared[0], device=CPU)
    np.testing.assert_array_equal(mask, probabilities >= 0.5)


def test_flips_give_a_mirrored_case_the_mirrored_answer(prepared):
    case = prepared[0]
    image = case.image[:, :16, :16, :16]  # an even side: strides then meet the same voxels from either end
    mirrored = type(case)("m", "m", image[:, ::-1].copy(), None, case.geometry)
    plain = type(case)("p", "p", image.copy(), None, case.geometry)
    one, other = (predict_probabilities(NETWORK, c, device=CPU, flips=True) for c in (plain, mirrored))
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-5)


def test_a_window_as_large_as_the_case_is_the_whole(prepared):
    case = prepared[0]
    cropped = type(case)("c", "c", case.image[:, :16, :16, :16], None, case.geometry)
    whole = predict_probabilities(NETWORK, cropped, device=CPU)
    window = predict_probabilities(NETWORK, cropped, device=CPU, window=(16, 16, 16))
    np.testing.assert_allclose(window, whole, atol=1e-5)


def test_smaller_windows_cover_the_whole_case(prepared):
    probabilities = predict_probabilities(NETWORK, prepared[0], device=CPU, window=(8, 8, 8))
    assert probabilities.shape == prepared[0].mask.shape
    assert (probabilities > 0).all()


def test_the_network_is_left_as_it_was(prepared):
    NETWORK.train()
    predict_probabilities(NETWORK, prepared[0], device=CPU)
    assert NETWORK.training


def test_parts_away_from_the_main_tumour_are_left_out_whole_and_counted():
    probabilities = np.zeros((3, 12, 6, 6), np.float32)
    probabilities[:, :4] = 0.9  # 4 * 36 voxels
    probabilities[:, 6:8] = 0.8  # half as many
    probabilities[:, 11, 0, 0] = 0.7  # one
    for share, dropped in ((0.0, 0), (0.4, 1), (0.6, 73), (1.0, 73)):
        kept, count = keep_main_tumour(probabilities, share)
        assert count == dropped
        assert int((kept[0] >= 0.5).sum()) == 6 * 36 + 1 - dropped
        assert ((kept == 0) | (kept == probabilities)).all()  # what stays is as it was, in every region


def test_the_part_that_the_network_is_surest_of_stays_beside_one_with_more_core():
    probabilities = np.zeros((3, 12, 6, 6), np.float32)
    probabilities[0, :4], probabilities[1, 0] = 0.99, 0.6
    probabilities[:2, 6:10] = 0.7
    for share in (0.3, 1.0):
        kept, count = keep_main_tumour(probabilities, share)
        assert count == 0
        np.testing.assert_array_equal(kept, probabilities)


def test_a_larger_piece_without_core_is_not_the_main_tumour():
    probabilities = np.zeros((3, 12, 6, 6), np.float32)
    probabilities[0, :5] = 0.9
    probabilities[:2, 7:9] = 0.8
    kept, count = keep_main_tumour(probabilities, 1.0)
    assert count == 5 * 36
    assert np.array_equal(np.flatnonzero(kept[0].any(axis=(1, 2))), [7, 8])


def test_nothing_found_is_nothing_to_leave_out():
    kept, count = keep_main_tumour(np.zeros((3, 4, 4, 4), np.float32), 1.0)
    assert count == 0
    assert not kept.any()
