"""What it means when memory runs out: numpy and torch, on the CPU and on a GPU, say it in different ways."""

from __future__ import annotations

import torch

# numpy raises MemoryError; torch a RuntimeError: "can't allocate memory" on the CPU ("not enough memory" on Windows),
# "CUDA out of memory" on a GPU, CUDNN_STATUS_ALLOC_FAILED where a library of CUDA could not get any.
_SIGNS = ("allocate memory", "not enough memory", "out of memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, of the machine or of its GPU."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(sign in said for sign in _SIGNS))


def release_unused(device: torch.device) -> None:
    """Give back what torch keeps of a GPU's memory for later; call it where no error holds tensors any more."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
