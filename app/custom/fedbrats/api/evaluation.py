"""Score a model on cases that have segmentations, on each scan's own grid."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.cases import own_names
from fedbrats.api.findings import tell_findings, tell_recorded
from fedbrats.api.html import html_table
from fedbrats.api.models import open_predictor, require_models
from fedbrats.api.progress import Progress, Watch
from fedbrats.data.cases.case import SEGMENTATION
from fedbrats.data.cases.names import NO_OWN_NAMES, OwnNames
from fedbrats.data.check.problems import ERROR, FINDINGS, Problem, make_problem
from fedbrats.data.check.recorded import as_documents
from fedbrats.data.regions import get_convention
from fedbrats.errors import DataError

if TYPE_CHECKING:
    from fedbrats.data.cases.case import Case
    from fedbrats.data.cases.datalist import Datalist
    from fedbrats.model.metrics import DetailedScore
    from fedbrats.model.prediction import Predictor

Unsafe = Mapping[tuple[str, str], str]  # (site, case) -> why it should not be scored

SECTIONS = ("training", "validation", "test", "all")

UNFINISHED = "partial"  # in --out: what there is of an evaluation, while a whole earlier one is in --out itself


@dataclass(frozen=True)
class Metric:
    """One metric of one region, over patients.

    Attributes:
        mean: Over patients.
        low: The lower end of the 95 % bootstrap interval; None below six patients.
        high: Its upper end.
        median: Over patients.
        worst_site: The site with the worst mean; None where there is one site only.
        sites: Site -> mean.
    """

    mean: float
    low: float | None
    high: float | None
    median: float
    worst_site: str | None
    sites: Mapping[str, float]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        cases: How many were scored.
        patients: Of how many patients.
        rejected: (site, case, why) of cases that could not be scored, or are not safe to score.
        forced: The same of those that were scored all the same.
        document: What `fedbrats evaluate --json` prints, with the scores of every case.
    """

    cases: int
    patients: int
    rejected: tuple[tuple[str, str, str], ...]
    forced: tuple[tuple[str, str, str], ...]
    document: dict[str, Any]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Evaluation:
        """The evaluation of a document."""
        rejected, forced = (
            tuple((e["site"], e["case"], e["reason"]) for e in document[key]) for key in ("rejected", "forced")
        )
        return cls(document["cases"], document["patients"], rejected, forced, document)

    def metric(self, name: str = "dice", region: str = "mean") -> Metric | None:
        """A metric of a region (WT, TC, ET, mean); None where it is defined for no patient.

        Raises: KeyError for another name or region.
        """
        found = self.document["metrics"][name][region]
        return found and Metric(**{key: found[key] for key in Metric.__dataclass_fields__})

    def _repr_html_(self) -> str:
        rows = [
            (metric, region, found["mean"], found["low"], found["high"], found["median"], found["worst_site"])
            for metric, regions in self.document["metrics"].items()
            for region, found in regions.items()
            if found
        ]
        columns = ("metric", "region", "mean", "low", "high", "median", "worst site")
        return html_table(columns, rows, f"{self.cases} cases of {self.patients} patients")


@dataclass(frozen=True)
class _Asked:
    """Which cases of folders are scored, and how those without a datalist are read."""

    section: str
    convention: str | None
    names: OwnNames


def evaluate(
    model: str | Path | Sequence[str | Path],
    data: str | Path | Sequence[str | Path],
    *,
    section: str = "validation",
    personal: str | None = None,
    flips: bool = False,
    window: Sequence[int] | None = None,
    device: str = "auto",
    threads: int | None = None,
    convention: str | None = None,
    names: OwnNames | Mapping[str, str] = NO_OWN_NAMES,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model on cases that have segmentations, by site.

    Args:
        model: A results folder or a model file; several are an ensemble.
        data: A sites folder, site folders, or a folder of cases, which is one site.
        section: `training`, `validation`, `test` or `all` of the datalists.
        personal: As of `predict`; so are flips, window, device and threads.
        flips: Whether probabilities are averaged over eight mirror images.
        window: Three edges of a sliding window in prepared voxels.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: On the CPU; None takes all cores.
        convention: What label values of cases without a datalist mean, if unclear.
        names: As of `check`.
        out: Where evaluation.json and evaluation.csv are written; a report finds them in a results folder.
        force: Whether cases are scored too that are not safe to score.
        progress: Gets a step a case, and warnings about cases.

    Raises: DataError, ConfigurationError, UpdateError for what concerns the model or all cases.

    >>> found = evaluate("trained", "sites/site-1", threads=1)
    >>> found.cases, 0 <= found.metric("dice", "WT").mean <= 1
    (1, True)
    """
    watch, asked = Watch(progress), _Asked(section, convention, own_names(names))
    models, folders = (
        [Path(each) for each in ([given] if isinstance(given, str | Path) else given)] for given in (model, data)
    )
    require_models(models)
    findings = tell_recorded(watch, "evaluate", folders)
    sites, unsafe = _read_sites(folders, asked, findings, watch)
    how: dict[str, Any] = {"personal": personal, "window": window, "device": device, "threads": threads}
    predictor = open_predictor(models, watch, flips=flips, **how)
    tally = _Tally(_choose_cases(sites, section), unsafe, is_forced=force)
    about = {
        "model": predictor.name,
        "sha256": predictor.sha256,
        "personal": predictor.model.is_personal,
        "section": section,
        "flips": flips,
        FINDINGS: as_documents(findings),
    }
    watch.say(f"evaluate: {_why_other_than_the_job(predictor)}")
    return Evaluation.of(_carry_out(predictor, tally, about, Path(out) if out else None, watch))


def _carry_out(
    predictor: Predictor, tally: _Tally, about: dict[str, Any], out: Path | None, watch: Watch
) -> dict[str, Any]:
    """Score, and write what was scored, also where it ends early."""
    unfinished = out / UNFINISHED if out and _holds_whole(out) else out
    try:
        _score_cases(predictor, tally, unfinished, watch)
    except BaseException:  # a person's Ctrl-C too: what was scored may have taken hours
        if unfinished and tally.scores:
            _save(tally, about, unfinished)
            watch.warn(f"evaluate: ended before {tally.unreached} of the cases; the others are in {unfinished}")
        raise
    document = _save(tally, about, out)
    _save_table(tally, out)
    if unfinished and unfinished != out:
        shutil.rmtree(unfinished, ignore_errors=True)
    return document


def _why_other_than_the_job(predictor: Predictor) -> str:
    """Why these scores are not quite those of the job's own table for the same model and cases."""
    model = predictor.model
    size = model.preparation.spacing_mm
    grid = f"voxels of {size:g} mm" if size else "the prepared grid"
    if predictor.flips == model.final_flips:
        return f"scores are on the grid of the scans; the job's own table has those on {grid}"
    by_flips = "over mirror images, as with --flips" if model.final_flips else "without mirror images"
    return f"scores are on the grid of the scans; the job's own table has those on {grid}, {by_flips}"


def _holds_whole(out: Path) -> bool:
    """Whether a folder has an evaluation of all its cases, which one that may not come to its end must not replace."""
    from fedbrats.report.numbers.evaluation import EVALUATION_FILE

    try:
        return not json.loads((out / EVALUATION_FILE).read_text(encoding="utf-8")).get("unreached")
    except (OSError, ValueError, AttributeError):
        return False


@dataclass
class _Tally:
    """The cases to score, each with its site, and how far things are: scores by site, and why a case has none.

    Attributes:
        unsafe: why a case should not be scored.
        is_forced: whether such a case is scored all the same; `forced` then has it.
    """

    wanted: list[tuple[Datalist, Case]]
    unsafe: Unsafe
    is_forced: bool
    scores: dict[str, list[DetailedScore]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)
    forced: list[dict[str, str]] = field(default_factory=list)

    @property
    def unreached(self) -> int:
        """How many cases are still to come."""
        return len(self.wanted) - len(self.rejected) - sum(map(len, self.scores.values()))


def _read_sites(
    folders: Sequence[Path], asked: _Asked, findings: list[Problem], watch: Watch
) -> tuple[list[Datalist], Unsafe]:
    """The sites, and what makes cases unsafe that no `fedbrats split` has checked; `findings` gets what was found."""
    from fedbrats.data.cases.datalist import DATALIST_NAME, find_sites, read_datalist

    sites: list[Datalist] = []
    unsafe: dict[tuple[str, str], str] = {}
    for folder in folders:
        if (folder / DATALIST_NAME).exists():
            sites.append(read_datalist(folder))
        elif any(folder.glob(f"*/{DATALIST_NAME}")):
            sites += [read_datalist(site) for site in find_sites(folder)]
        else:
            site, found = _read_cases(folder, asked, watch)
            sites.append(site)
            findings += found
            for finding in found:
                if finding.case and finding.severity == ERROR:
                    unsafe.setdefault((site.site, finding.case), finding.message)
    names = [site.site for site in sites]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"site {twice} is given twice; its cases would count double")
    return sites, unsafe


def _read_cases(folder: Path, asked: _Asked, watch: Watch) -> tuple[Datalist, list[Problem]]:
    """A folder of BraTS cases as one site, all of it to evaluate, and what was found of them, which is told."""
    from fedbrats.data.cases.case import find_cases
    from fedbrats.data.cases.datalist import Datalist
    from fedbrats.data.check.checks import examine_case
    from fedbrats.data.check.conventions import settle_convention
    from fedbrats.data.check.survey import judge_cases, labels_of

    there = find_cases(folder, asked.names)
    cases = tuple(case for case in there if case.label)
    examined = [examine_case(case) for case in cases]
    settled, findings = judge_cases(examined, get_convention(asked.convention) if asked.convention else None)
    findings += [_without_label(case) for case in there if not case.label]
    tell_findings(watch, "evaluate", findings, folder)
    if settled is None:  # for its words
        settled = settle_convention(labels_of(examined), anatomies=[each.anatomy for each in examined])
    own: dict[str, Any] = {"test" if asked.section == "all" else asked.section: cases}
    site = Datalist(folder.resolve().name, settled.convention, **own)
    return site, findings


def _without_label(case: Case) -> Problem:
    if SEGMENTATION in case.doubled:
        return make_problem(case.name, None, "doubled-modality", "it has several segmentations, and is not scored")
    return make_problem(case.name, None, "missing-segmentation", "it has no segmentation, and is not scored")


def _choose_cases(sites: Sequence[Datalist], section: str) -> list[tuple[Datalist, Case]]:
    wanted = [(site, case) for site in sites for case in _section_of(site, section)]
    if not wanted:
        counts = {name: sum(len(_section_of(site, name)) for site in sites) for name in SECTIONS[:-1]}
        there = ", ".join(f"{count} in {name}" for name, count in counts.items() if count) or "none at all"
        raise DataError(f"there is no {section} case to evaluate (there are {there}); choose another --section")
    return wanted


def _score_cases(predictor: Predictor, tally: _Tally, out: Path | None, watch: Watch) -> None:
    """Score case after case; one that cannot be scored is said, and the others go on."""
    for site, case in watch.follow(tally.wanted, len(tally.wanted), "scoring cases"):
        why = tally.unsafe.get((site.site, case.name))
        entry = {"site": site.site, "case": case.name}
        try:
            if why and not tally.is_forced:
                raise DataError(f"{case.name} is not safe to score: {why}; --force scores it all the same")
            score = predictor.score(case, site.convention)
            tally.scores.setdefault(site.site, []).append(score)
            if why:
                tally.forced.append({**entry, "reason": why})
        except DataError as error:
            tally.rejected.append({**entry, "reason": str(error)})
            watch.warn(f"evaluate: {error}")
        _save_table(tally, out)


def _save(tally: _Tally, about: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """The document of what was scored, also written where there is a folder for it."""
    from fedbrats.atomic import write_json_atomic
    from fedbrats.report.numbers.evaluation import EVALUATION_FILE, evaluation_document

    counts = {"rejected": tally.rejected, "forced": tally.forced, "unreached": tally.unreached}
    document = {**evaluation_document(tally.scores, about), **counts}
    if out:
        write_json_atomic(out / EVALUATION_FILE, document)
    return document


def _save_table(tally: _Tally, out: Path | None) -> None:
    """After each case: a process that the system kills for its memory writes nothing at its end."""
    from fedbrats.atomic import write_text_atomic
    from fedbrats.report.numbers.evaluation import TABLE_FILE, evaluation_table

    if out:
        write_text_atomic(out / TABLE_FILE, evaluation_table(tally.scores))


def _section_of(site: Datalist, section: str) -> tuple[Case, ...]:
    return site.cases if section == "all" else getattr(site, section)
