"""Share the patients of one data set out to sites; no patient is ever at two of them.

`schemes` lists the ways to do so, as `--by` names them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fedbrats.data.cases.case import Case
from fedbrats.errors import DataError

OTHERS = "others"  # the site that the smallest groups are joined to
LONGEST_NAME = 63  # of a site, in a certificate and in DNS
SIZE_RATIO = 0.6  # of one site to the one before, in an unequal partition
_DIRICHLET_DRAWS = 1000
_DIRICHLET_CLASSES = 4


@dataclass(frozen=True)
class Patient:
    """One patient with every case there is of them; they go everywhere together."""

    name: str
    cases: tuple[Case, ...]
    tumour_ml: float  # mean over the cases

    @property
    def size(self) -> int:
        """The number of cases."""
        return len(self.cases)


Sites = dict[str, list[Patient]]


def partition_equal(patients: Sequence[Patient], sites: int, rng: np.random.Generator) -> Sites:
    """Sites of the same number of cases, as far as patients can be dealt so."""
    return _deal(patients, np.full(sites, sum(p.size for p in patients) / sites), rng)


def partition_unequal(patients: Sequence[Patient], sites: int, rng: np.random.Generator) -> Sites:
    """Sites whose sizes fall geometrically, the first the largest."""
    return _deal(patients, np.array(geometric_sizes(sum(p.size for p in patients), sites), dtype=float), rng)


def partition_by_tumour_size(patients: Sequence[Patient], sites: int) -> Sites:
    """Sites of the same number of patients, ordered by tumour volume."""
    ordered = sorted(patients, key=lambda patient: (patient.tumour_ml, patient.name))
    parts = np.array_split(np.arange(len(ordered)), sites)
    return {name: [ordered[i] for i in part] for name, part in zip(_numbered(sites), parts, strict=True)}


def partition_dirichlet(patients: Sequence[Patient], sites: int, alpha: float, rng: np.random.Generator) -> Sites:
    """Sites whose tumour sizes differ by chance, the more the smaller `alpha`; drawn again until none is too small.

    Each quarter of the tumour sizes is shared out by proportions from a symmetric Dirichlet distribution, as labels are
    in Hsu 2019, arXiv 1909.06335.
    Raises: DataError if no draw gives every site two patients (one, where there are not two for each).
    """
    ordered = sorted(patients, key=lambda patient: (patient.tumour_ml, patient.name))
    fewest = min(2, len(patients) // sites)
    quarters = np.array_split(np.arange(len(ordered)), _DIRICHLET_CLASSES)
    for _ in range(_DIRICHLET_DRAWS):
        homes = np.concatenate([rng.choice(sites, len(q), p=rng.dirichlet(np.full(sites, alpha))) for q in quarters])
        if np.bincount(homes, minlength=sites).min() >= fewest:
            names = _numbered(sites)
            return {name: [ordered[i] for i in np.flatnonzero(homes == k)] for k, name in enumerate(names)}
    raise DataError(
        f"dirichlet:{alpha:g} leaves some of {sites} sites with fewer than {fewest} patients every time; "
        "take a larger number behind dirichlet: or fewer --sites"
    )


def partition_by_group(patients: Sequence[Patient], group_of: Callable[[Case], str], sites: int | None = None) -> Sites:
    """A site for each group; with `sites`, the smallest groups are joined as `others` to make that many.

    Raises: DataError if a patient's cases are of two groups, two groups would have one name as sites, one cannot be a
        site's name, or there are fewer groups than `sites`.
    """
    groups: Sites = defaultdict(list)
    spelt: dict[str, str] = {}  # a site's name -> the group that it is of
    for patient in patients:
        names = sorted({_name_site(group_of(case), spelt) for case in patient.cases})
        if len(names) > 1:
            raise DataError(f"patient {patient.name} would be at {' and '.join(names)}; a patient belongs to one site")
        groups[names[0]].append(patient)
    if sites and len(groups) < sites:
        raise DataError(f"there are only {len(groups)} groups ({', '.join(sorted(groups))}) for {sites} sites")
    by_size = sorted(groups, key=lambda name: (-sum(p.size for p in groups[name]), name))
    if not sites or len(groups) == sites:
        return {name: groups[name] for name in sorted(groups)}
    kept = [name for name in by_size if name != OTHERS][: sites - 1]  # a group of that name is joined, never replaced
    others = [patient for name in by_size if name not in kept for patient in groups[name]]
    return {name: groups[name] for name in sorted(kept)} | {OTHERS: others}


def geometric_sizes(total: int, sites: int) -> list[int]:
    """Sizes that sum to `total`, each SIZE_RATIO of the one before it, none below 2 (1 where there are not enough)."""
    least = min(2, total // sites)
    shares = SIZE_RATIO ** np.arange(sites)
    ideal = total * shares / shares.sum()
    sizes = np.maximum(np.floor(ideal).astype(int), least)
    while gap := total - sizes.sum():
        nearest = np.argmax(ideal - sizes) if gap > 0 else np.argmax(sizes)
        sizes[nearest] += np.sign(gap)
    return sorted(sizes.tolist(), reverse=True)


def site_name(text: str) -> str:
    """`text` as a site name that FLARE takes everywhere: lower-case letters, digits and dashes, a letter first.

    Accents are left out (Köln is koln). Raises: DataError for other letters, none at all, or more than 63.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    if strange := sorted({c for c in plain if c.isalnum() and not c.isascii()}):
        raise DataError(
            f"{text!r} cannot be the name of a site: FLARE and certificates carry only a-z, 0-9 and dashes, not "
            f"{''.join(strange[:5])}; give the table a column with such names"
        )
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not name or len(name) > LONGEST_NAME - len("site-"):
        raise DataError(
            f"{text!r} cannot be the name of a site: expected 1 to {LONGEST_NAME - 5} letters a-z, digits and dashes"
        )
    is_usable = name[:1].isalpha() and name not in ("server", "admin")  # roles of FLARE's own
    return name if is_usable else f"site-{name}"


def _name_site(group: str, spelt: dict[str, str]) -> str:
    """The site's name of a group; `spelt` remembers. Raises: DataError if another group has it."""
    name = site_name(group)
    if (first := spelt.setdefault(name, group)) != group:
        raise DataError(
            f"{first!r} and {group!r} would both be site {name}: give two hospitals names that differ in their "
            f"letters, and one hospital one spelling"
        )
    return name


def _deal(patients: Sequence[Patient], sizes: np.ndarray, rng: np.random.Generator) -> Sites:
    """Deal shuffled patients, many cases first, each to the site that lacks the largest share of its size."""
    shuffled = [patients[i] for i in rng.permutation(len(patients))]
    names = _numbered(len(sizes))
    dealt: Sites = {name: [] for name in names}
    lacking = sizes.copy()
    for patient in sorted(shuffled, key=lambda patient: -patient.size):
        k = int(np.argmax(lacking / sizes))
        dealt[names[k]].append(patient)
        lacking[k] -= patient.size
    return dealt


def _numbered(sites: int) -> list[str]:
    return [f"site-{k + 1}" for k in range(sites)]
