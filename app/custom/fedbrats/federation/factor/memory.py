"""What the contribution factor remembers of each site from round to round, as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from fedbrats.errors import ConfigurationError

_FORMAT = 4


@dataclass(frozen=True)
class SiteMemory:
    """One site's record.

    `alignment` and `usefulness` are running evidence in log units (0 is neutral); `distance` is how far the model has
    moved while the site took part, `aligned_distance` the same with each round times the site's alignment in it;
    `farthest` is the length of its longest update; `rounds` is how often it was counted, `coherent_rounds` how often in
    a round that counts for quarantine.
    """

    alignment: float = 0.0
    usefulness: float = 0.0
    distance: float = 0.0
    aligned_distance: float = 0.0
    farthest: float = 0.0
    quarantined: bool = False
    rounds: int = 0
    coherent_rounds: int = 0

    @property
    def standing(self) -> float:
        """The site's mean alignment over the distance that the model has moved, 0 before the first round."""
        return self.aligned_distance / self.distance if self.distance > 0.0 else 0.0


Sites = Mapping[str, SiteMemory]


@dataclass(frozen=True)
class Memory:
    """The records of all sites that were ever counted; it is never changed, each round gives a new one.

    `sites` are the records after round `round_number`, `earlier` those before it: a server that was stopped between
    weighing a round and saving its model weighs that round again, and must not learn from it twice.
    """

    sites: Sites = field(default_factory=dict)
    earlier: Sites = field(default_factory=dict)
    round_number: int = -1

    def before(self, round_number: int) -> Sites:
        """The records to weigh a round with: none in round 0, those of the first time where the round is repeated."""
        if round_number == 0:
            return {}
        return self.earlier if round_number <= self.round_number else self.sites

    def to_bytes(self) -> bytes:
        """JSON in UTF-8; every float comes back with the same bits."""
        document = {
            "format": _FORMAT,
            "round_number": self.round_number,
            "sites": _as_document(self.sites),
            "earlier": _as_document(self.earlier),
        }
        return json.dumps(document, allow_nan=False).encode("utf-8")

    @classmethod
    def from_bytes(cls, content: bytes) -> Memory:
        """Raises: ConfigurationError where `content` is not a memory that this version wrote."""
        try:
            document = json.loads(content, parse_constant=_refuse_constant)
            if document["format"] != _FORMAT:
                raise ValueError(f"its format is {document['format']!r}, and this version reads {_FORMAT}")
            return cls(_as_sites(document["sites"]), _as_sites(document["earlier"]), int(document["round_number"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"The contribution memory cannot be read ({error}); restore it from a checkpoint, or remove it so that "
                "every site starts again at its prior weight."
            ) from error


def _as_document(sites: Sites) -> dict[str, dict]:
    return {site: asdict(record) for site, record in sorted(sites.items())}


def _as_sites(document: Mapping[str, dict]) -> dict[str, SiteMemory]:
    return {site: _as_record(values) for site, values in document.items()}


def _as_record(values: dict) -> SiteMemory:
    return SiteMemory(
        alignment=float(values["alignment"]),
        usefulness=float(values["usefulness"]),
        distance=float(values["distance"]),
        aligned_distance=float(values["aligned_distance"]),
        farthest=float(values["farthest"]),
        quarantined=bool(values["quarantined"]),
        rounds=int(values["rounds"]),
        coherent_rounds=int(values["coherent_rounds"]),
    )


def _refuse_constant(text: str) -> float:
    raise ValueError(f"it holds {text}")
