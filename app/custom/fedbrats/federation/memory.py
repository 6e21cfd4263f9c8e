"""What the contribution factor remembers of each site from round to round, as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from fedbrats.errors import ConfigurationError

_FORMAT = 1


@dataclass(frozen=True)
class SiteMemory:
    """One site's record.

    `alignment` and `usefulness` are running evidence in log units (0 is neutral), `scores` the site's robust alignment
    scores of recent coherent rounds, oldest first; `way` is how far the federation has come while the site took part,
    `pull` how much of it the site pulled along; `rounds` is how often it was counted.
    """

    alignment: float = 0.0
    usefulness: float = 0.0
    scores: tuple[float, ...] = ()
    way: float = 0.0
    pull: float = 0.0
    quarantined: bool = False
    rounds: int = 0

    @property
    def standing(self) -> float:
        """The site's mean alignment over the way that the federation has come, 0 before the first step."""
        return self.pull / self.way if self.way > 0.0 else 0.0


@dataclass(frozen=True)
class Memory:
    """The records of all sites that were ever counted; it is never changed, each round gives a new one."""

    sites: Mapping[str, SiteMemory] = field(default_factory=dict)

    def of(self, site: str) -> SiteMemory:
        """The record of `site`, a blank one where it is new."""
        return self.sites.get(site, SiteMemory())

    def to_bytes(self) -> bytes:
        """JSON in UTF-8; every float comes back with the same bits."""
        sites = {site: asdict(record) for site, record in sorted(self.sites.items())}
        return json.dumps({"format": _FORMAT, "sites": sites}, allow_nan=False).encode("utf-8")

    @classmethod
    def from_bytes(cls, content: bytes) -> Memory:
        """Raises: ConfigurationError where `content` is not a memory that this version wrote."""
        try:
            document = json.loads(content)
            if document["format"] != _FORMAT:
                raise ValueError(f"format {document['format']}")
            return cls({site: _record(values) for site, values in document["sites"].items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"The contribution memory cannot be read ({error}); restore it from a checkpoint, or remove it so that "
                "every site starts again at its prior weight."
            ) from error


def _record(values: dict) -> SiteMemory:
    return SiteMemory(**{**values, "scores": tuple(float(score) for score in values["scores"])})
