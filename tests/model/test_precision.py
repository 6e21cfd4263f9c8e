"""Which precision a device gets: decided by its compute capability, so that no card emulates one."""

import pytest
import torch

from fedbrats.model.precision import autocast, precision_for, precision_of


@pytest.mark.parametrize(
    ("card", "capability", "dtype"),
    [
        ("P100", (6, 0), None),
        ("GTX 1080", (6, 1), None),
        ("V100", (7, 0), torch.float16),
        ("T4", (7, 5), torch.float16),
        ("A100", (8, 0), torch.bfloat16),
        ("RTX 4090", (8, 9), torch.bfloat16),
        ("H200", (9, 0), torch.bfloat16),
        ("B200", (10, 0), torch.bfloat16),
    ],
)
def test_a_card_computes_in_what_it_has_units_for(card, capability, dtype, monkeypatch):
    assert precision_for(capability) is dtype
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert precision_of(torch.device("cuda:1")) is dtype
    assert precision_of(torch.device("cuda:1"), mixed=False) is None


def test_a_cpu_computes_in_float32():
    cpu = torch.device("cpu")
    assert precision_of(cpu) is None
    with autocast(cpu, None):
        assert torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32
    with autocast(cpu, torch.bfloat16):
        assert torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
