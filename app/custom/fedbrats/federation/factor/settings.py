"""Every constant of the Contribution Factor, with its meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FactorSettings:
    """The constants of docs/reference/contribution.md; the defaults are those that its simulations were run with."""

    clip_multiple: float = 2.0  # an update longer than this many median lengths is shortened to them
    copy_threshold: float = 0.98  # updates with a higher cosine are copies ...
    copy_ratio: float = 0.1  # ... if they are also this much closer than sites usually are
    coherence_scale: float = 0.10  # the median site's alignment from which alignment is full evidence
    memory: float = 0.7  # how much of the evidence so far stays when a round is added
    usefulness_limit: float = 0.3  # a change of Dice beyond this is taken as this
    alignment_deviation: float = 0.05  # sites whose alignments differ by less than this are alike
    usefulness_deviation: float = 0.03  # the same for usefulness, in Dice
    least_evidence: float = -3.0  # what one round can say against a site at most, in log units
    smallest_factor: float = 0.5
    largest_factor: float = 2.0
    smallest_share: float = 0.5  # a site that is heard keeps at least this share of its prior weight
    largest_weight: float = 0.5  # no site weighs more, unless its cases alone say so
    window: int = 10  # coherent rounds in which stability is judged
    stability_scale: float = 3.0  # alignment scores that vary by this deviation halve the stability
    stability_rounds: int = 3  # a site is stable until it has answered this many coherent rounds
    coherent: float = 0.5  # the coherence from which a round counts for stability and quarantine
    way_length: float = 2.0  # the way that is remembered; a round in which all sites agree is a step of 1
    quarantine_rounds: int = 2  # coherent rounds before which nobody is quarantined
    quarantine_share: float = 0.25  # a standing below this share of the median site's is quarantined ...
    release_share: float = 0.5  # ... until it is above this share
    sketched: bool = False  # cosines from sketches of 4096 numbers instead of whole updates
