"""A package of somebody else's, as pip leaves it: a module and its metadata on Python's path."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from fedbrats.extensions import loading
from fedbrats.extensions.template import write_package

EXAMPLES = Path(__file__).parents[2] / "examples"
BAD_HOOKS = Path(__file__).with_name("bad_hooks.py")
KINDS = ("method", "network", "loss", "hook")

SOURCE = '''
"""A package of somebody's own."""

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from fedbrats.federation.aggregator import Aggregator, Combined, shares_of_cases, weighted_rows
from fedbrats.federation.said import SaidArray, SaidNumber
from fedbrats.federation.updates import weighted_mean
from fedbrats.site.hooks.hook import SiteHook


class Mean(Aggregator):
    """The mean.

    Args:
        momentum: How much of the last step
            is added.
        kind: One of two.
    """

    def __init__(self, momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9, kind: Literal["a", "b"] = "a"):
        self.momentum = momentum

    def combine(self, contributions, round_number):
        shares = shares_of_cases(contributions)
        update = weighted_mean([each.update for each in contributions], list(shares.values()))
        return Combined(update, weighted_rows(contributions, shares))


class Unkept(Mean):
    """Keeps what cannot be kept."""

    def state(self):
        return {"rng": np.random.default_rng(0)}


class Broken(Mean):
    """Gives NaN."""

    def combine(self, contributions, round_number):
        combined = super().combine(contributions, round_number)
        return Combined({name: value * np.nan for name, value in combined.update.items()}, combined.rows)


class Tabled(Mean):
    """Returns a table in the place of Combined."""

    def combine(self, contributions, round_number):
        return {"update": super().combine(contributions, round_number).update}


class Unannotated(Mean):
    """Says nothing of its argument."""

    def __init__(self, size=3):
        super().__init__()


class Net(nn.Module):
    """A network.

    Args:
        width: Channels.
    """

    def __init__(self, width: Annotated[int, Field(ge=1, le=8)] = 2):
        super().__init__()
        self.body = nn.Conv3d(4, width, 3, padding=1)
        self.last = nn.Conv3d(width, 3, 1)

    def forward(self, images):
        return self.last(torch.relu(self.body(images)))


class BatchNormed(Net):
    """Mixes hospitals."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm3d(3)


class Flat(Net):
    """Has the wrong shape of logits."""

    def forward(self, images):
        return super().forward(images)[:, :2]


class Endless(Net):
    """Its logits are NaN."""

    def forward(self, images):
        return super().forward(images) * float("nan")


class Torn(Net):
    """Raises."""

    def forward(self, images):
        return super().forward(images[:, :3])


class Squared(nn.Module):
    """A loss."""

    def forward(self, logits, masks):
        return ((torch.sigmoid(logits) - masks) ** 2).mean()


class Unfinite(nn.Module):
    """A loss that is none."""

    def forward(self, logits, masks):
        return (logits * 0).sum() / 0


class Voxelwise(nn.Module):
    """A loss of every voxel."""

    def forward(self, logits, masks):
        return (torch.sigmoid(logits) - masks) ** 2


class Counted(nn.Module):
    """A loss without a gradient."""

    def forward(self, logits, masks):
        return ((logits > 0) != (masks > 0)).float().mean()


class Clipped(SiteHook):
    """A hook.

    Args:
        most: The largest absolute value of an update.
    """

    name = "clipped"

    def __init__(self, most: Annotated[float, Field(gt=0, le=10)] = 1.0):
        self._most = most

    def change_update(self, update):
        return {name: np.clip(value, -self._most, self._most) for name, value in update.items()}
'''
ENTRIES = """\
[fedbrats.aggregators]
mean = mine:Mean
[fedbrats.networks]
net = mine:Net
[fedbrats.losses]
squared = mine:Squared
[fedbrats.hooks]
clipped = mine:Clipped
"""


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """The module `mine`, version 1.2, installed; this process has not allowed anything of it yet."""
    site = tmp_path / "site-packages"
    (site / "mine").mkdir(parents=True)
    (site / "mine" / "__init__.py").write_text(SOURCE + BAD_HOOKS.read_text())
    about = site / "mine-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    (about / "RECORD").write_text("mine/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(loading, "_allowed", {})
    monkeypatch.setattr(loading, "_sound", set())
    importlib.invalidate_caches()
    yield site / "mine"
    sys.modules.pop("mine", None)


@pytest.fixture(scope="package")
def environment(tmp_path_factory):
    """Python where this one's packages are seen, and the examples and a template of one's own are installed by pip."""
    folder = tmp_path_factory.mktemp("environment")
    for kind in KINDS:
        write_package(kind, f"own_{kind}", folder / "packages")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    [site] = (folder / "venv").glob("lib/python3.*/site-packages")
    (site / "seen.pth").write_text("\n".join(path for path in sys.path if Path(path).is_dir()))
    packages = [*(EXAMPLES / kind for kind in KINDS), *(folder / "packages" / f"own_{kind}" for kind in KINDS)]
    python = folder / "venv" / "bin" / "python"
    options = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", *options, *map(str, packages)], check=True)
    return python, packages, folder
