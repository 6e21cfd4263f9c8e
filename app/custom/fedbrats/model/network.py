"""The 3D U-Net, built from MONAI by a preset's name, and which of its parameters may stay at a site."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from fedbrats.data.cases.case import MODALITIES
from fedbrats.data.regions import REGIONS
from fedbrats.errors import ConfigurationError
from fedbrats.extensions.choice import Choice, read_choice
from fedbrats.extensions.loading import build, load_class
from fedbrats.model.monai_parts import SegResNetDS, UNet
from fedbrats.model.original import OriginalUNet
from fedbrats.model.presets import PRESETS

IN_CHANNELS, OUT_CHANNELS = len(MODALITIES), len(REGIONS)
NO_NAME = r"(?!)"  # matches no parameter
MOST_DIVISOR, MOST_NUMBERS = 256, 2**28  # of a network of somebody's own: a gigabyte
MOST_CHANNELS, MOST_STAGES = 512, 8  # of a network that a job may ask for: such a one takes half a gigabyte


@dataclass(frozen=True)
class Architecture:
    """A family of networks: how one is built, and how its parameters are named.

    divisor: what every side of an input must be a multiple of, from the options.
    head, decoder: regular expressions that match the start of a parameter's name.
    """

    build: Callable[..., nn.Module]
    divisor: Callable[[Mapping[str, Any]], int]
    head: str
    decoder: str


def _build_unet(channels: list[int], strides: list[int], residual_units: int, dropout: float, norm: Any) -> nn.Module:
    return UNet(
        3, IN_CHANNELS, OUT_CHANNELS, channels, strides, num_res_units=residual_units, dropout=dropout, norm=norm
    )


def _build_original(base: int, groups: int) -> nn.Module:
    return OriginalUNet(IN_CHANNELS, OUT_CHANNELS, base, groups)


def _build_segresnet(filters: int, blocks_down: list[int], heads: int, norm: Any) -> nn.Module:
    return SegResNetDS(3, filters, IN_CHANNELS, OUT_CHANNELS, norm=norm, blocks_down=tuple(blocks_down), dsdepth=heads)


ARCHITECTURES = {
    "unet": Architecture(
        _build_unet,
        divisor=lambda options: math.prod(options["strides"]),
        head=r"model\.2\.",
        decoder=r"model\.(1\.submodule\.)*2\.",
    ),
    "original": Architecture(
        _build_original,
        divisor=lambda _options: 16,
        head=r"head\.",
        decoder=r"(up|head)\.",
    ),
    "segresnet": Architecture(
        _build_segresnet,
        divisor=lambda options: 2 ** (len(options["blocks_down"]) - 1),
        head=r"up_layers\.\d+\.head\.",
        decoder=r"up_layers\.",
    ),
}


class SegmentationNetwork(nn.Module):
    """A network from four modalities to the logits of the three nested regions.

    Args:
        preset: `fast` for two cores at 2 mm, `large` for a GPU at 1 mm, `original` for the study that this grew out of,
            `tiny` for tests; or a class of somebody's own, alone or with its arguments, as `own_architecture` says.
        seed: of the first weights, which are the same wherever the network is built.
        changes: options of the preset to change, say `channels`.

    Raises: ConfigurationError for a preset or option that does not exist.
    """

    def __init__(self, preset: str | Mapping[str, Any] = "fast", seed: int = 0, **changes: Any) -> None:
        super().__init__()
        choice = read_choice(preset, "network")
        options = {} if choice.is_path else _options_of(choice.name, changes)
        self._architecture = own_architecture(choice) if choice.is_path else ARCHITECTURES[options.pop("architecture")]
        self.divisor = self._architecture.divisor(options)
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers go on as if nothing had been built
            torch.manual_seed(seed)
            self.net = self._architecture.build(**options)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 3, x, y, z) of images (B, 4, x, y, z) of any size."""
        return self.forward_deep(images)[0]

    def forward_deep(self, images: Tensor) -> list[Tensor]:
        """Logits at every supervised scale, each (B, 3, x, y, z) after upsampling; the network's answer comes first."""
        size = images.shape[2:]
        # Two voxels at least are left at the deepest level: one alone has no deviation to normalise by.
        padded = [max(2, math.ceil(side / self.divisor)) * self.divisor for side in size]
        padding = [p for side, target in zip(reversed(size), reversed(padded), strict=True) for p in (0, target - side)]
        outputs = self.net(pad(images, padding) if any(padding) else images)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        return [_fitted(output, size, padded) for output in outputs]

    def personal_names(self, kind: str) -> tuple[str, ...]:
        """Names of the parameters that stay at a site: `none`, `head`, `decoder`, `norm`, `all`, or prefixes.

        Several of head, decoder, norm and prefixes are separated by commas; a prefix ends at a dot (`net.model.0.`).
        Raises: ConfigurationError where a prefix matches nothing or does not end at a dot.
        """
        if kind == "none":  # asked with every update
            return ()
        names = tuple(self.state_dict())
        if kind == "all":
            return names
        found = {name for part in kind.split(",") for name in self._names_of(part.strip(), names)}
        return tuple(name for name in names if name in found)

    def _names_of(self, part: str, names: Sequence[str]) -> tuple[str, ...]:
        if part in ("head", "decoder"):
            pattern = re.compile(r"net\." + getattr(self._architecture, part))
            found = tuple(name for name in names if pattern.match(name))
            if not found:
                raise ConfigurationError(f"personal: the network's class does not say which parameters are its {part}")
            return found
        prefixes = self._norm_prefixes() if part == "norm" else _read_prefixes(part)
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in names):
                raise ConfigurationError(
                    f"personal: {prefix!r} matches no parameter; they begin {', '.join(names[:3])}, ..."
                )
        return tuple(name for name in names if name.startswith(prefixes))

    def _norm_prefixes(self) -> tuple[str, ...]:
        kinds = (nn.InstanceNorm3d, nn.GroupNorm, nn.LayerNorm)
        return tuple(f"{name}." for name, module in self.named_modules() if isinstance(module, kinds))


def own_architecture(choice: Choice) -> Architecture:
    """A network of somebody's own: an nn.Module from images (B, 4, x, y, z) to logits (B, 3, x, y, z).

    It may return a list of logits, the network's answer first, for deep supervision. Attributes of its class say what
    else there is to know: `divisor`, what every side of an input must be a multiple of (1 by default); `head_names` and
    `decoder_names`, regular expressions that match the start of those parameters' names, for jobs that keep them at the
    sites.

    Raises: ConfigurationError for a class that may not run here, or is no such module.
    """
    found = load_class("network", choice.name)
    divisor = getattr(found, "divisor", 1)
    if isinstance(divisor, bool) or not isinstance(divisor, int) or not 1 <= divisor <= MOST_DIVISOR:
        said = f"the divisor of {choice.name} is {divisor!r:.40}, expected 1 to {MOST_DIVISOR}"
        raise ConfigurationError(f"network: {said}")
    return Architecture(
        lambda **_none: require_sound_network(build("network", choice), choice.name),
        divisor=lambda _options: divisor,
        head=getattr(found, "head_names", NO_NAME),
        decoder=getattr(found, "decoder_names", NO_NAME),
    )


def require_sound_network(network: nn.Module, name: str) -> nn.Module:
    """A network of somebody's own that federated training can use. Raises: ConfigurationError."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ConfigurationError(
                f"network: {name} has batch normalisation, whose running means describe cases and mix hospitals; take "
                f"GroupNorm, or InstanceNorm with affine=True"
            )
    if other := [key for key, value in network.state_dict().items() if not value.is_floating_point()]:
        raise ConfigurationError(f"network: {name} keeps {other[0]} in its state, which is no floating number")
    numbers = sum(value.numel() for value in network.state_dict().values())
    if numbers > MOST_NUMBERS:
        raise ConfigurationError(f"network: {name} has {numbers} numbers, of {MOST_NUMBERS} at most")
    return network


def _options_of(preset: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    if preset not in PRESETS:
        raise ConfigurationError(f"network {preset!r} is not known; choose one of {', '.join(PRESETS)}")
    unknown = sorted(set(changes) - set(PRESETS[preset]))
    if unknown:
        raise ConfigurationError(
            f"network {preset!r} has no option {', '.join(unknown)}; it has {', '.join(PRESETS[preset])}"
        )
    _check_sizes(changes)
    return {**PRESETS[preset], **changes}


def _check_sizes(options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for a number or a list that would make a network of gigabytes: it comes from a job."""
    pending = list(options.items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, list | tuple | dict):
            if len(value) > MOST_STAGES:
                raise ConfigurationError(f"network: {name} has {len(value)} entries, expected at most {MOST_STAGES}")
            pending += [(name, each) for each in (value.values() if isinstance(value, dict) else value)]
        elif isinstance(value, int | float) and not 0 <= value <= MOST_CHANNELS:
            raise ConfigurationError(f"network: {name} has {value!r:.40}, expected 0 to {MOST_CHANNELS}")


def _read_prefixes(text: str) -> tuple[str, ...]:
    prefixes = tuple(part.strip() for part in text.split(","))
    for prefix in prefixes:
        if not prefix.endswith("."):
            raise ConfigurationError(
                f"personal: {prefix!r} is none of none, head, decoder, norm, all, nor a prefix ending at a dot"
            )
    return prefixes


def _fitted(logits: Tensor, size: Sequence[int], padded: list[int]) -> Tensor:
    """Logits on the grid of the input: upsampled where they are of a deeper level, without what was padded."""
    if list(logits.shape[2:]) != padded:
        logits = interpolate(logits, padded, mode="trilinear", align_corners=False)
    return logits[..., : size[0], : size[1], : size[2]]
