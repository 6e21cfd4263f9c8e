"""Where the planes of an overlay cut."""

import numpy as np

from fedbrats.report.page.overlays import centre_of_tumour


def test_planes_go_through_the_tumour_and_not_through_a_speck_at_its_edge():
    regions = np.zeros((3, 20, 20, 20), dtype=np.uint8)
    regions[0, 4:16, 4:16, 4:16] = 1  # the whole tumour
    regions[1, 8:14, 8:14, 8:14] = 1  # a core of 13 % of it
    regions[2, 8, 8, 8] = 1  # a speck that enhances
    assert all(8 <= index < 14 for index in centre_of_tumour(regions))
    speck = regions.copy()
    speck[1] = speck[2]
    assert all(4 <= index < 16 for index in centre_of_tumour(speck))
    speck[2, 10:15, 9:16, 9:16] = 1
    speck[1] |= speck[2]
    assert centre_of_tumour(speck) == [10, 9, 9]
    assert centre_of_tumour(np.zeros_like(regions)) == [10, 10, 10]
