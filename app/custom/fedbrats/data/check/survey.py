"""What only a whole data set tells of its cases: the label convention, and the patients that are there twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from fedbrats.data.cases.case import Case
from fedbrats.data.cases.patients import find_look_alikes, find_other_spellings
from fedbrats.data.check.checks import Examination, judge_labels
from fedbrats.data.check.conventions import SettledConvention, settle_convention
from fedbrats.data.check.problems import Problem, and_more, make_problem
from fedbrats.data.check.segmentations import LabelVolumes
from fedbrats.data.regions import LabelConvention
from fedbrats.errors import DataError


def judge_cases(
    examinations: Sequence[Examination], chosen: LabelConvention | None = None, left_over: Iterable[Problem] = ()
) -> tuple[SettledConvention | None, list[Problem]]:
    """The data set's label convention (None: it could not be settled) and all problems, ordered by case.

    left_over: what was found of files and folders that are of no case; see `left_over.py`.
    """
    problems = [problem for examination in examinations for problem in examination.problems]
    labels = labels_of(examinations)
    settled = None
    try:
        settled = settle_convention(labels, chosen, [e.anatomy for e in examinations]) if labels else None
    except DataError as error:
        problems.append(make_problem("", None, "unsettled-convention", str(error)))
    if settled:
        problems += [p for examination in examinations for p in judge_labels(examination, settled.convention)]
        if settled.doubt:
            problems.append(make_problem("", None, "assumed-convention", settled.doubt))
    problems += _find_repetitions(examinations)
    problems += _find_similar_names(examinations)
    problems += [*left_over, *_tell_of_joined([examination.case for examination in examinations])]
    return settled, sorted(problems, key=lambda problem: problem.case)


def labels_of(examinations: Sequence[Examination]) -> dict[str, LabelVolumes]:
    """The labels of every case that has a map of a tumour, by the case's name; a map of tissues tells no convention."""
    without = {e.case.name for e in examinations if any(p.kind == "no-tumour-map" for p in e.problems)}
    return {e.case.name: e.labels for e in examinations if e.labels is not None and e.case.name not in without}


def _find_repetitions(examinations: Sequence[Examination]) -> Iterator[Problem]:
    """Cases of one name, of one patient, or with one image: training on one and testing on the other would cheat."""
    cases = [examination.case for examination in examinations]
    for case, first in _repeats(cases, lambda case: [case.name]):
        text = f"this case is also in {_folder_of(first)}; keep one"
        yield make_problem(case.name, _folder_of(case), "doubled-case", text)
    for case, first in _repeats(cases, lambda case: [case.patient]):
        if case.name != first.name:
            text = f"of the same patient ({case.patient}) as {first.name}; they must stay together"
            yield make_problem(case.name, None, "same-patient", text)
    prints = {id(e.case): sorted(e.fingerprints.values()) for e in examinations}
    for case, first in _repeats(cases, lambda case: prints[id(case)]):
        yield make_problem(case.name, None, "same-images", f"holds an image that {first.name} holds too")


def _find_similar_names(examinations: Sequence[Examination]) -> Iterator[Problem]:
    """One problem a kind of likeness for the whole data set: its names are all of one making."""
    # A table or a pattern may have told the patients. It may spell one in two ways, and need not say of sessions.
    alone = [e.case.name for e in examinations if e.case.patient == e.case.name]
    kinds = (
        (
            find_look_alikes(alone),
            "{} differ only in their last part{}; if that is one patient twice, say so to `fedbrats split` with "
            "--patient",
        ),
        (
            find_other_spellings(e.case.patient for e in examinations),
            "patients {} differ only in spelling{}; if that is one patient, give it one name, or say so to `fedbrats "
            "split` with --patient",
        ),
    )
    for groups, text in kinds:
        if groups:
            said = text.format(" and ".join(groups[0][:2]), and_more(len(groups), "group"))
            yield make_problem("", None, "similar-names", said)


def _tell_of_joined(cases: Sequence[Case]) -> Iterator[Problem]:
    apart = [case for case in cases if len({path.parent for path in case.files.values()}) > 1]
    if apart:
        text = f"the files of {apart[0].name}{and_more(len(apart), 'case')} were put together by their names"
        yield make_problem("", _folder_of(apart[0]), "several-folders", text)


def _repeats(cases: Sequence[Case], keys_of: Callable[[Case], Sequence[str]]) -> Iterator[tuple[Case, Case]]:
    """Each case that shares a key with an earlier one, with the earliest of those."""
    owner: dict[str, Case] = {}
    for case in cases:
        earlier = [owner[key] for key in keys_of(case) if key in owner and owner[key] is not case]
        if earlier:
            yield case, earlier[0]
        for key in keys_of(case):
            owner.setdefault(key, case)


def _folder_of(case: Case) -> Path:
    return next(iter(case.files.values())).parent
