"""The prepared cases of one site, by what they are used for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CachedCase, CacheSettings, RejectedCase, prepare_cases
from fedbrats.data.prepare.room import NO_LIMITS, PreparationLimits


@dataclass(frozen=True)
class SiteCases:
    """The prepared cases of one site.

    Attributes:
        name: the site, whose seed training takes.
        rejected: the cases of either section that could not be prepared.
    """

    name: str
    training: tuple[CachedCase, ...]
    validation: tuple[CachedCase, ...]
    rejected: tuple[RejectedCase, ...] = ()


def read_site(
    site_dir: Path,
    cache_dir: Path,
    preparation: CacheSettings,
    *,
    workers: int = 1,
    name: str | None = None,
    limits: PreparationLimits = NO_LIMITS,
) -> SiteCases:
    """Read a site's datalist and prepare its training and validation cases.

    Args:
        name: of the site; None takes that of its folder, whatever the datalist calls itself.
        limits: of what preparing may take.

    Raises: DataError; ConfigurationError where the cases would exceed the limits.
    """
    datalist = read_datalist(site_dir)
    wanted = (*datalist.training, *datalist.validation)
    prepared, rejected = prepare_cases(
        wanted, datalist.convention, cache_dir, preparation, workers=workers, limits=limits
    )
    by_name = {case.name: case for case in prepared}
    return SiteCases(
        name or site_dir.resolve().name,
        tuple(by_name[case.name] for case in datalist.training if case.name in by_name),
        tuple(by_name[case.name] for case in datalist.validation if case.name in by_name),
        tuple(rejected),
    )
