"""Cases: find and check them, divide them among sites, prepare them for training, or draw phantoms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.findings import tell_findings
from fedbrats.api.html import html_table
from fedbrats.api.progress import Progress, Watch
from fedbrats.data.cases.names import NO_OWN_NAMES, OwnNames
from fedbrats.data.check.problems import ERROR, FINDINGS, NOTE, WARNING, Problem
from fedbrats.data.regions import LabelConvention, get_convention

if TYPE_CHECKING:
    from fedbrats.data.check.checks import Examination
    from fedbrats.data.split.plan import SplitPlan, SplitSettings


@dataclass(frozen=True)
class Check:
    """What `check` found.

    Attributes:
        folder: The folder or list that was checked.
        cases: How many cases there are.
        patients: Of how many patients.
        convention: What label values mean; None where segmentations do not show it.
        convention_reason: By what it was settled.
        problems: Everything that was found, errors first.
        folders_without_case: Folders in which no case was recognised.
        seconds: How long it took.
    """

    folder: Path
    cases: int
    patients: int
    convention: LabelConvention | None
    convention_reason: str | None
    problems: tuple[Problem, ...]
    folders_without_case: int
    seconds: float

    def count(self, severity: str) -> int:
        """How many problems are an `error`, a `warning` or a `note`."""
        return sum(problem.severity == severity for problem in self.problems)

    @property
    def is_sound(self) -> bool:
        """Whether there is no error."""
        return not self.count(ERROR)

    def as_document(self) -> dict[str, Any]:
        """What `fedbrats check --json` prints."""
        return {
            "folder": str(self.folder),
            "cases": self.cases,
            "patients": self.patients,
            "convention": self.convention.name if self.convention else None,
            "convention_reason": self.convention_reason,
            "seconds": self.seconds,
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "notes": self.count(NOTE),
            "folders_without_case": self.folders_without_case,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def _repr_html_(self) -> str:
        rows = [
            (p.case or "(data set)", Path(p.file).name, f"{p.severity}: {p.kind}", p.message) for p in self.problems
        ]
        counts = f"{self.count(ERROR)} errors, {self.count(WARNING)} warnings"
        columns = ("case", "file", "problem", "what is wrong")
        return html_table(columns, rows, f"{self.cases} cases of {self.patients} patients: {counts}")


@dataclass(frozen=True)
class Sites:
    """A sites folder: one folder a site, each with a datalist.

    Attributes:
        folder: Where it is.
        sites: Site -> cases, patients, training, validation, test; of `split` also tumour_ml and grades.
        convention: What label values mean.
        convention_reason: By what it was settled.
        dropped: Case -> why it was left out.
        remarks: Sentences on the numbers of cases, each with whether it is a warning.
        findings: What was found of the cases.
    """

    folder: Path
    sites: dict[str, dict[str, Any]]
    convention: LabelConvention
    convention_reason: str = ""
    dropped: Mapping[str, str] | None = None
    remarks: tuple[tuple[bool, str], ...] = ()
    findings: tuple[Problem, ...] = ()

    @property
    def has_warnings(self) -> bool:
        """Whether a warning was told, of a site's numbers or of a case that is at a site."""
        kept = [finding for finding in self.findings if finding.case not in (self.dropped or ())]
        return any(warns for warns, _ in self.remarks) or any(finding.severity != NOTE for finding in kept)

    def as_document(self) -> dict[str, Any]:
        """What `fedbrats split --json` prints."""
        return {
            "out": str(self.folder),
            "convention": self.convention.name,
            "convention_reason": self.convention_reason,
            "sites": self.sites,
            "dropped": dict(self.dropped or {}),
            "remarks": [{"severity": WARNING if warns else NOTE, "message": text} for warns, text in self.remarks],
            FINDINGS: [asdict(finding) for finding in self.findings],
        }

    def _repr_html_(self) -> str:
        columns = ("cases", "patients", "training", "validation", "test")
        rows = [(name, *(site[column] for column in columns)) for name, site in self.sites.items()]
        return html_table(("site", *columns), rows, str(self.folder))


@dataclass(frozen=True)
class PreparedSite:
    """The prepared cases of one site.

    Attributes:
        training: Names of cases to train on.
        validation: Names of cases to validate on.
        rejected: Case -> why it cannot be prepared.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    rejected: Mapping[str, str]


@dataclass(frozen=True)
class Prepared:
    """What `prepare` made.

    Attributes:
        cache: The folder of prepared cases.
        spacing_mm: The edge of a prepared voxel; None where the cases have several.
        sites: By name.
    """

    cache: Path
    spacing_mm: float | None
    sites: Mapping[str, PreparedSite]

    def _repr_html_(self) -> str:
        rows = [(n, len(s.training), len(s.validation), "; ".join(s.rejected)) for n, s in self.sites.items()]
        return html_table(("site", "training", "validation", "rejected"), rows, f"{self.cache}, {self.spacing_mm} mm")


def check(
    data: str | Path,
    *,
    convention: str | None = None,
    names: OwnNames | Mapping[str, str] = NO_OWN_NAMES,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Check:
    """Find every case in a folder, or in a list, and say what is wrong with it.

    Args:
        data: A folder with cases somewhere below it, or a list of cases (.csv, .json).
        convention: What label values mean, where names, labels and anatomy do not agree.
        names: What a hospital's files are called: role -> part of the name.
        workers: Processes that read cases; None takes one per core.
        progress: Gets steps.

    Raises: DataError where no case is found.

    >>> result = check("sites/site-1", workers=1)
    >>> result.cases, result.is_sound
    (5, True)
    """
    from fedbrats.data.check.left_over import find_left_over
    from fedbrats.data.check.survey import judge_cases

    start, folder, own = time.monotonic(), Path(data), own_names(names)
    examinations = examine_cases(folder, workers, own, Watch(progress))
    left_over = find_left_over(folder, [examination.case for examination in examinations])
    chosen = get_convention(convention) if convention else None
    settled, problems = judge_cases(examinations, chosen, left_over.notes)
    return Check(
        folder,
        len(examinations),
        len({examination.case.patient for examination in examinations}),
        settled.convention if settled else None,
        settled.reason if settled else None,
        tuple(problems),
        left_over.folders,
        round(time.monotonic() - start, 2),
    )


def split(
    data: str | Path,
    out: str | Path,
    *,
    by: str = "equal",
    sites: int | None = None,
    seed: int = 0,
    fold: int | None = None,
    folds: int = 3,
    validation_share: float = 0.2,
    test_share: float = 0.0,
    patient: str | None = None,
    copy: bool = False,
    force: bool = False,
    convention: str | None = None,
    names: OwnNames | Mapping[str, str] = NO_OWN_NAMES,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Sites:
    """Divide a data set into one folder per site, each with a datalist. The same arguments make the same sites.

    Args:
        data: As of `check`.
        out: The sites folder to make.
        by: How to divide the cases: `equal`, `unequal`, `institution`, `grade`, or TABLE.csv:COLUMN.
        sites: The number of sites.
        seed: Of all random choices.
        fold: Which fold of each site validates; None takes `validation_share`.
        folds: The number of folds.
        validation_share: Of the patients of each site.
        test_share: Of the patients of each site, the same in each fold.
        patient: How patients are recognised, as `fedbrats split --patient`.
        copy: Whether files are copied and not linked.
        force: Whether an existing sites folder is replaced.
        convention: As of `check`.
        names: As of `check`.
        workers: As of `check`.
        progress: Gets steps, and warnings about cases and numbers.

    Raises: DataError, ConfigurationError for what cannot be divided so.

    >>> made = split("sites/site-1", "parts", sites=1, workers=1, progress=lambda step: None)
    >>> made.sites["site-1"]["cases"]
    5
    """
    from fedbrats.data.split.plan import SplitSettings, plan_split
    from fedbrats.data.split.sites import new_sites_folder

    watch, source, own = Watch(progress), Path(data), own_names(names)
    settings = SplitSettings(by, sites, seed, fold, folds, validation_share, test_share, patient)
    with new_sites_folder(Path(out), force) as folder:
        examinations = examine_cases(source, workers, own, watch)
        plan = plan_split(examinations, settings, get_convention(convention) if convention else None)
        _write_sites(folder, plan, source, settings, own, copy)
    return _tell_split(plan, source, Path(out), watch)


def _write_sites(
    folder: Path, plan: SplitPlan, source: Path, settings: SplitSettings, own: OwnNames, copy: bool
) -> None:
    from fedbrats.data.split.sites import write_record, write_site

    for datalist in plan.sites:
        write_site(folder, replace(datalist, names=own), copy)
    origin = {"source": str(source.resolve()), "files": "copies" if copy else "links"}
    write_record(folder, plan.sites, {"made_by": "split", **origin, **_describe_origin(settings, own, plan)})


def _tell_split(plan: SplitPlan, source: Path, out: Path, watch: Watch) -> Sites:
    """Say what was found of cases and numbers, and give the result."""
    tell_findings(watch, "split", _of_kept(plan), source)
    for remark in plan.remarks:
        say = watch.warn if remark.is_warning else watch.say
        say(f"split: {'warning' if remark.is_warning else 'note'}: {remark.text}")
    return Sites(
        out,
        _describe_sites(plan),
        plan.sites[0].convention,
        plan.convention_reason,
        plan.dropped,
        tuple((remark.is_warning, remark.text) for remark in plan.remarks),
        tuple(plan.findings),
    )


def phantom(
    out: str | Path,
    *,
    sites: int = 5,
    cases: int = 8,
    unequal: bool = False,
    seed: int = 0,
    spacing_mm: float = 3.0,
    noise: float = 1.0,
    validation_share: float = 0.2,
    force: bool = False,
    progress: Progress | None = None,
) -> Sites:
    """Make a synthetic federation: sites of phantom brains with tumours. The same arguments make the same bytes.

    Args:
        out: The sites folder to make.
        sites: The number of sites.
        cases: At each site; the mean where they are unequal.
        unequal: Whether each site has 0.6 times the cases of the one before.
        seed: Of all random choices.
        spacing_mm: The edge of a voxel, 0.5 to 6.
        noise: A factor on the noise of each scanner.
        validation_share: Of each site's cases.
        force: Whether an existing sites folder is replaced.
        progress: Gets a step a site.

    Raises: ConfigurationError naming the number that cannot be; DataError where the folder holds something.

    >>> made = phantom("drawn", sites=1, cases=2, spacing_mm=6)
    >>> made.sites["site-1"]["training"]
    1
    """
    from fedbrats.data.phantom.cohort import CohortSettings, write_cohort
    from fedbrats.data.split.sites import PHANTOM, count_cases, new_sites_folder, write_record

    settings = CohortSettings(sites, cases, unequal, seed, spacing_mm, noise, validation_share)
    with new_sites_folder(Path(out), force) as folder:
        written = list(Watch(progress).follow(write_cohort(folder, settings), sites, "drawing sites"))
        write_record(folder, written, {"made_by": PHANTOM, "settings": asdict(settings)})
    return Sites(Path(out), {site.site: count_cases(site) for site in written}, written[0].convention)


def prepare(
    data: str | Path,
    *,
    cache: str | Path = Path("build/cache"),
    like: str = "fedavg",
    settings: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Prepare the cases of every site as a job's sites would: on one grid, cropped, normalised, cached.

    `train` and `federate` do this by themselves; what is in the cache is not prepared again.

    Args:
        data: A sites folder.
        cache: The folder of prepared cases.
        like: The job whose preparation is taken, by its name or folder.
        settings: Variables of that job that differ, such as `{"spacing_mm": 2.0}`.
        workers: Processes; None takes one per core.
        progress: Gets a step a site.

    Raises: DataError, ConfigurationError.

    >>> ready = prepare("sites", settings={"spacing_mm": 8.0}, workers=1)
    >>> ready.sites["site-1"].training[0]
    'Phantom_site-1_001'
    """
    from fedbrats.data.cases.datalist import find_sites
    from fedbrats.data.parallel import count_cores
    from fedbrats.data.prepare.cache import common_spacing
    from fedbrats.data.prepare.site_cases import read_site
    from fedbrats.jobs.plan import read_plan

    preparation = read_plan(like, settings or {}).preparation
    folders, workers = find_sites(Path(data)), workers or count_cores()
    read = (read_site(each, Path(cache), preparation, workers=workers) for each in folders)
    sites = list(Watch(progress).follow(read, len(folders), "preparing sites"))
    return Prepared(
        Path(cache),
        common_spacing(case for site in sites for case in (*site.training, *site.validation)),
        {
            site.name: PreparedSite(
                tuple(case.name for case in site.training),
                tuple(case.name for case in site.validation),
                {case.name: case.reason for case in site.rejected},
            )
            for site in sites
        },
    )


def own_names(names: OwnNames | Mapping[str, str]) -> OwnNames:
    """A hospital's own names of roles. Raises: ConfigurationError."""
    from fedbrats.data.cases.names import read_names

    if isinstance(names, OwnNames):
        return names
    return read_names(",".join(f"{role}={name}" for role, name in names.items()))


def examine_cases(folder: Path, workers: int | None, own: OwnNames, watch: Watch) -> list[Examination]:
    """Read every case below `folder`, or in the list that it is. Raises: DataError where there is none."""
    from fedbrats.data.cases.case import find_cases
    from fedbrats.data.check.checks import examine_case
    from fedbrats.data.parallel import map_in_processes

    cases = find_cases(folder, own)
    return list(watch.follow(map_in_processes(examine_case, cases, workers), len(cases), "checking cases"))


def _describe_origin(settings: SplitSettings, names: OwnNames, plan: SplitPlan) -> dict[str, Any]:
    return {
        "settings": asdict(settings),
        "names": names.as_document(),
        "label_convention": plan.sites[0].convention.name,
        "dropped": dict(plan.dropped),
        FINDINGS: [asdict(finding) for finding in _of_kept(plan)],
    }


def _of_kept(plan: SplitPlan) -> list[Problem]:
    """What was found of the cases that are at a site, and of the data set."""
    kept = {case.name for datalist in plan.sites for case in datalist.cases}
    return [finding for finding in plan.findings if not finding.case or finding.case in kept]


def _describe_sites(plan: SplitPlan) -> dict[str, dict[str, Any]]:
    from fedbrats.data.check.segmentations import tumour_ml
    from fedbrats.data.split.schemes import grade_of
    from fedbrats.data.split.sites import count_cases

    sites = {}
    for datalist in plan.sites:
        volumes = [tumour_ml(plan.labels[case.name], datalist.convention) for case in datalist.cases]
        grades = sorted({grade for case in datalist.cases if (grade := grade_of(case))})
        means = {"tumour_ml": round(sum(volumes) / len(volumes), 1), "grades": grades}
        sites[datalist.site] = count_cases(datalist) | means
    return sites
