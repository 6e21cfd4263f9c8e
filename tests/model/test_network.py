"""Networks: the same first weights everywhere, any input size, and which names are personal."""

import pytest
import torch

from fedbrats.errors import ConfigurationError
from fedbrats.model.network import PRESETS, SegmentationNetwork

TINY = SegmentationNetwork("tiny")


@pytest.mark.parametrize("preset", ["tiny", "fast"])
def test_the_same_seed_gives_the_same_weights_and_leaves_other_random_numbers_alone(preset):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = SegmentationNetwork(preset, seed=7).state_dict()
    assert torch.equal(torch.rand(1), expected)
    other = SegmentationNetwork(preset, seed=7).state_dict()
    third = SegmentationNetwork(preset, seed=8).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[name], third[name]) for name in one)


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 9, 21)])
@pytest.mark.parametrize("preset", ["tiny", "fast"])
def test_logits_have_the_size_of_the_image(preset, size):
    with torch.no_grad():
        assert SegmentationNetwork(preset)(torch.zeros(1, 4, *size)).shape == (1, 3, *size)


def test_large_answers_at_every_supervised_scale_on_the_grid_of_the_image():
    network = SegmentationNetwork("large", filters=8)
    with torch.no_grad():
        outputs = network.forward_deep(torch.zeros(1, 4, 24, 16, 17))
    assert [tuple(output.shape) for output in outputs] == [(1, 3, 24, 16, 17)] * PRESETS["large"]["heads"]


def test_original_is_the_unet_of_the_study():
    network = SegmentationNetwork("original")
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(2.51e6, rel=0.005)
    with torch.no_grad():
        assert network(torch.zeros(1, 4, 32, 32, 32)).shape == (1, 3, 32, 32, 32)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_has_batch_statistics_which_do_not_average(preset):
    network = SegmentationNetwork(preset)
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize("preset", PRESETS)
def test_head_is_inside_decoder_and_both_leave_the_encoder_shared(preset):
    network = SegmentationNetwork(preset)
    names, head, decoder = network.personal_names("all"), *map(network.personal_names, ("head", "decoder"))
    assert head
    assert set(head) < set(decoder) < set(names)


def test_norm_names_every_parameter_of_a_normalisation_and_no_other():
    names = SegmentationNetwork("fast").personal_names("norm")
    assert names
    assert all(".N." in name for name in names)


def test_prefixes_name_what_they_begin():
    assert TINY.personal_names("none") == ()
    assert TINY.personal_names("net.model.0., net.model.2.") == tuple(
        name for name in TINY.state_dict() if name.startswith(("net.model.0.", "net.model.2."))
    )


@pytest.mark.parametrize(
    ("kind", "said"), [("net.model.9.", "matches no parameter"), ("net.model", "ending at a dot"), ("", "dot")]
)
def test_what_matches_nothing_is_refused(kind, said):
    with pytest.raises(ConfigurationError, match=said):
        TINY.personal_names(kind)


def test_unknown_presets_and_options_are_refused():
    with pytest.raises(ConfigurationError, match="choose one of fast"):
        SegmentationNetwork("huge")
    with pytest.raises(ConfigurationError, match="no option width"):
        SegmentationNetwork("fast", width=3)


@pytest.mark.parametrize("number", [-1, 513, 4000, 10**9, 1e308, float("nan")])
def test_a_network_of_gigabytes_is_refused_before_it_is_built(number):
    for options in (
        {"channels": [16, number]},
        {"residual_units": number},
        {"norm": ("group", {"num_groups": number})},
    ):
        with pytest.raises(ConfigurationError, match=r"network: .* expected 0 to 512"):
            SegmentationNetwork("tiny", **options)
    with pytest.raises(ConfigurationError, match="9 entries, expected at most 8"):
        SegmentationNetwork("tiny", channels=[4] * 9)
