"""What the model uses of MONAI, imported without libraries that only MONAI's other parts use.

`import monai` imports all of MONAI, which imports matplotlib, scipy.signal and TensorBoard for its plots and its
ultrasound tools: about half of the time of the import and 50 MB, in every process of every site. They are imported at
their first use instead.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

LATER = ("matplotlib", "matplotlib.pyplot", "scipy.signal", "torch.utils.tensorboard")


class Later(ModuleType):
    """Stands for a module that is imported when one of its members is used."""

    def __getattr__(self, name: str) -> Any:
        """A stand-in for a member; raises AttributeError for what Python's import looks up."""
        if name.startswith("__"):
            raise AttributeError(name)
        return LaterMember(self.__name__, name)


class LaterMember:
    """Stands for a function, a class or an object of such a module."""

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import the module and call the member."""
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """An attribute of the member; raises AttributeError for what Python looks up by itself."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)


@contextmanager
def imported_later(*names: str) -> Iterator[None]:
    """What is imported inside gets a stand-in for these modules; what is imported after it gets the real ones.

    A package comes before its modules. Modules that are imported already stay as they are.
    """
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        package, _, module = name.rpartition(".")
        sys.modules[name] = Later(name)
        if isinstance(sys.modules.get(package), Later):
            setattr(sys.modules[package], module, sys.modules[name])
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with imported_later(*LATER):
    from monai.inferers import sliding_window_inference
    from monai.losses import DeepSupervisionLoss, DiceLoss
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice
    from monai.networks.nets import SegResNetDS, UNet
    from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
    from monai.networks.utils import eval_mode

__all__ = [
    "DeepSupervisionLoss",
    "DiceLoss",
    "Down",
    "SegResNetDS",
    "TwoConv",
    "UNet",
    "UpCat",
    "compute_hausdorff_distance",
    "compute_surface_dice",
    "eval_mode",
    "sliding_window_inference",
]
