"""The answers that a report begins with: whether federating helped, and which model each hospital should use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedbrats.report.numbers.comparison import Cell, compare, difference_of
from fedbrats.report.numbers.results import ALL_SITES, Results, match_patients
from fedbrats.report.numbers.roles import ALONE_ROLE, FEDERATED, POOLED, role_of
from fedbrats.report.numbers.statistics import PairedDifference, holm

_MEAN = ("mean",)


@dataclass(frozen=True)
class Benefit:
    """A federated method against each hospital alone, on the patients that both were scored on.

    Attributes:
        method: The federated method.
        alone: The training of each hospital alone.
        difference: Of the mean Dice over regions, with its interval; None below six patients, or where single cases
            are not known. Its p is corrected for the number of federated methods (Holm).
        values: The difference of each patient, in the order of their names; empty where single cases are not known.
        sites: Hospital -> the difference of its mean.
        methods: How many federated methods were compared.
    """

    method: Results
    alone: Results
    difference: PairedDifference | None
    values: tuple[float, ...]
    sites: Mapping[str, float]
    methods: int

    @property
    def is_clear(self) -> bool:
        """Whether these patients tell the two apart."""
        return self.difference is not None and not self.difference.is_tie


@dataclass(frozen=True)
class Advice:
    """What to use at a hospital.

    Attributes:
        site: The hospital.
        patients: How many of its patients were scored; of its cases, where single ones are not known.
        cells: Method -> its Dice there, all methods.
        method: The name of the model to use; None where there is none to choose.
        is_own: Whether this hospital's own patients tell it from every other choice.
    """

    site: str
    patients: int
    cells: Mapping[str, Cell]
    method: str | None
    is_own: bool


def find_benefit(methods: Sequence[Results]) -> Benefit | None:
    """The best federated method against each hospital alone; None where one of the two is missing, or where no patient
    was scored by both."""
    alone = next((each for each in _honest(methods) if role_of(each) == ALONE_ROLE), None)
    federated = [each for each in _honest(methods) if role_of(each) == FEDERATED]
    if alone is None:
        return None
    comparable = [each for each in federated if _mean_of(each) is not None and _overlap(each, alone)]
    if not comparable or _mean_of(alone) is None:
        return None
    found = [difference_of(each, alone, "mean") for each in comparable]
    corrected = holm([each.p for each in found if each])[::-1]
    tested = [replace(each, p=corrected.pop()) if each else None for each in found]
    number = max(range(len(comparable)), key=lambda n: _mean_of(comparable[n]) or 0.0)
    method = comparable[number]
    ours, theirs = match_patients(method.mean_dice, alone.mean_dice)
    values = tuple(ours[key] - theirs[key] for key in sorted(ours.keys() & theirs.keys()))
    return Benefit(method, alone, tested[number], values, _by_site(method, alone), len(comparable))


def advise(methods: Sequence[Results]) -> list[Advice]:
    """What each hospital should use.

    It is the method with the highest mean over all hospitals' patients, unless the hospital's own patients tell another
    one from every choice. All data in one place is no choice: hospitals that could have it need no federation. Neither
    is a run in which a site did harm on purpose.
    """
    choices = find_choices(methods)
    order = rank(choices)
    return [_advise_at(site, methods, choices, order) for site in _sites_of(methods)]


def find_choices(methods: Sequence[Results]) -> list[Results]:
    """The methods whose models a hospital can choose; all data in one place where there is nothing else."""
    honest = _honest(methods)
    return [each for each in honest if role_of(each) != POOLED] or honest


def in_order(methods: Sequence[Results]) -> list[Results]:
    """The methods in the order in which a report recommends them; those that no hospital can choose come last."""
    choices = find_choices(methods)
    order = rank(choices)
    first = sorted((each for each in choices if each.name in order), key=lambda each: order.index(each.name))
    taken = {each.name for each in first}
    return [*first, *(each for each in methods if each.is_training and each.name not in taken)]


def rank(methods: Sequence[Results]) -> list[str]:
    """The names of the methods that were scored on the same patients, the highest mean first."""
    cells = {name: found["mean"] for name, found in compare(methods, _MEAN).items() if "mean" in found}
    ranked = [name for name, cell in cells.items() if cell.is_ranked]
    return sorted(ranked, key=lambda name: -cells[name].dice)


def share_of_pooled(method: Results, methods: Sequence[Results]) -> float | None:
    """The Dice of a method over that of all data in one place, on the same patients; None without such a training."""
    for pooled in methods:
        if role_of(pooled) == POOLED and pooled is not method and pooled.has_patients_of(method):
            ours, theirs = _mean_of(method), _mean_of(pooled)
            return ours / theirs if ours is not None and theirs else None
    return None


def _advise_at(site: str, methods: Sequence[Results], choices: Sequence[Results], order: Sequence[str]) -> Advice:
    there = [each.at_site(site) for each in methods]
    cells = {name: found["mean"] for name, found in compare(there, _MEAN).items() if "mean" in found}
    own = compare([each.at_site(site) for each in choices], _MEAN)
    clear = next((name for name, found in own.items() if "mean" in found and found["mean"].is_clear), None)
    usable = [name for name in order if name in cells]
    patients = max((each.scored for each in there), default=0)
    return Advice(site, patients, cells, clear or next(iter(usable), None), clear is not None)


def _honest(methods: Sequence[Results]) -> list[Results]:
    return [each for each in methods if each.is_training and not each.misbehaviour]


def _sites_of(methods: Sequence[Results]) -> list[str]:
    """The hospitals with a score."""
    found = {site for each in methods for site in (*each.cases, *each.final_dice("mean"))}
    return sorted(found - {ALL_SITES})


def _mean_of(run: Results) -> float | None:
    values = run.mean_dice.values()
    return sum(values) / len(values) if values else (run.summary.get("dice") or {}).get("mean")


def _overlap(a: Results, b: Results) -> bool:
    ours, theirs = match_patients(a.mean_dice, b.mean_dice)
    return bool(ours.keys() & theirs.keys()) if ours or theirs else a.has_patients_of(b)


def _by_site(a: Results, b: Results) -> dict[str, float]:
    ours, theirs = ({site: _mean_of(each.at_site(site)) for site in _sites_of([each])} for each in (a, b))
    both = {site: (ours[site], theirs[site]) for site in ours if site in theirs}
    return {site: x - y for site, (x, y) in both.items() if x is not None and y is not None}
