"""The kinds of classes that a job may name, and those of this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A place where a class of somebody's own may stand.

    Attributes:
        variable: the job's variable that names it.
        group: the entry points by which an installed package makes its classes known.
        base: the class that it must be a subclass of, `module:Class`.
        shipped: the classes of this package that may stand there.
    """

    variable: str
    group: str
    base: str
    shipped: tuple[str, ...] = ()


AGGREGATORS = (
    "fedbrats.flare.server.fedce.FedCE",
    "fedbrats.methods.contribution.ContributionFactor",
    "fedbrats.methods.fedavg.WeightedFedAvg",
    "fedbrats.methods.feddyn.FedDyn",
    "fedbrats.methods.geometric_median.GeometricMedian",
    "fedbrats.methods.multi_krum.MultiKrum",
    "fedbrats.methods.robust_means.CoordinateMedian",
    "fedbrats.methods.robust_means.TrimmedMean",
    "fedbrats.methods.scaffold.Scaffold",
    "fedbrats.methods.server_optimisers.FedAdam",
    "fedbrats.methods.server_optimisers.FedYogi",
)
HOOKS = (
    "fedbrats.methods.ditto.Ditto",
    "fedbrats.methods.feddyn.FedDynSite",
    "fedbrats.methods.fedrep.HeadThenBody",
    "fedbrats.methods.scaffold.ScaffoldSite",
)

KINDS: Mapping[str, Kind] = {
    kind.variable: kind
    for kind in (
        Kind("aggregator", "fedbrats.aggregators", "fedbrats.federation.aggregator:Aggregator", AGGREGATORS),
        Kind("network", "fedbrats.networks", "torch.nn:Module"),
        Kind("loss", "fedbrats.losses", "torch.nn:Module"),
        Kind("hooks", "fedbrats.hooks", "fedbrats.site.hooks.hook:SiteHook", HOOKS),
    )
}
