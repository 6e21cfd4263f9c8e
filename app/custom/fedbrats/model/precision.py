"""In which precision a network computes on a device."""

from __future__ import annotations

import torch

AMPERE, VOLTA = (8, 0), (7, 0)  # CUDA compute capabilities


def precision_of(device: torch.device, mixed: bool = True) -> torch.dtype | None:
    """What `torch.autocast` computes in on this device; None for plain float32.

    Args:
        mixed: whether less than float32 is wanted at all.
    """
    if not mixed or device.type != "cuda":
        return None
    return precision_for(torch.cuda.get_device_capability(device))


def precision_for(capability: tuple[int, int]) -> torch.dtype | None:
    """bfloat16 from Ampere on, whose range needs no scaling of the loss; float16 on Volta and Turing, which have units
    for it and emulate bfloat16, slowly; float32 on older cards, which have units for neither."""
    if capability >= AMPERE:
        return torch.bfloat16
    return torch.float16 if capability >= VOLTA else None


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """The context in which a network computes in `dtype`; None leaves it in float32."""
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
