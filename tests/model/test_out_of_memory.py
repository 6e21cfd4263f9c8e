"""What memory that runs out is told by, from the real allocators."""

import numpy as np
import pytest
import torch

from fedbrats.model.out_of_memory import is_out_of_memory

FAULTS = {
    "numpy": (lambda: np.empty(2**52, np.uint8), True),
    "torch": (lambda: torch.empty(2**52, dtype=torch.uint8), True),
    "python": (lambda: bytearray(2**62), True),
    "shapes": (lambda: torch.ones(2) @ torch.ones(3), False),
    "values": (lambda: int("many"), False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_only_memory_is_taken_for_memory(name):
    work, expected = FAULTS[name]
    with pytest.raises((MemoryError, RuntimeError, ValueError)) as caught:
        work()
    assert is_out_of_memory(caught.value) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_says_it_too():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**45, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(caught.value)
