"""Read results folders, finished or still running, into what the report shows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.at_work import killed_job
from fedbrats.errors import DataError
from fedbrats.outside import clean
from fedbrats.report.numbers.evaluation import EVALUATION_FILE
from fedbrats.report.numbers.statistics import mean_by_patient
from fedbrats.rows import (
    CASES_FILE,
    REGIONS_AND_MEAN,
    ROWS_FILE,
    Row,
    counted_rows,
    read_rows,
    summarise_rows,
)
from fedbrats.run_folder import AUDIT_FILE, INTERRUPTED, MODEL_FILES, SUMMARY_FILE

ALL_SITES = "all sites"  # of an older `fedbrats train`, whose cases do not say their sites

Patient = tuple[str | None, str]  # site and name: two hospitals may call their patients alike. None: it is not known


@dataclass(frozen=True)
class Results:
    """One run of one method.

    method: the job, or what else was done, such as `train like fedavg`. name: of the run, unique in a report.
    cases: the rows of single cases of the final evaluation, by site; under ALL_SITES where they do not say it.
    evaluation: the document of `fedbrats evaluate`, if it was written there; audit: that of `fedbrats audit`.
    checksums: SHA-256 of the models.
    """

    method: str
    name: str
    folder: Path
    summary: dict[str, Any]
    rows: list[Row]
    cases: dict[str, list[Row]]
    evaluation: dict[str, Any] | None
    checksums: dict[str, str]
    audit: dict[str, Any] | None = None
    by_seed: tuple[Results, ...] = ()  # where runs with several seeds count as one method: each of them

    folders: tuple[Path, ...] = ()  # where runs count as one method: of each of them

    @property
    def all_folders(self) -> tuple[Path, ...]:
        """The results folders whose models are this method's."""
        return self.folders or (self.folder,)

    @property
    def seeds(self) -> int:
        """With how many seeds the method was trained."""
        return max(1, len(self.by_seed))

    @property
    def misbehaviour(self) -> dict[str, str]:
        """What sites did wrong on purpose."""
        return dict(self.summary.get("misbehaviour") or {})

    @property
    def is_running(self) -> bool:
        """Whether more is to come."""
        return not self.summary

    @property
    def is_training(self) -> bool:
        """Whether the run trains a model; the job `evaluate` trains none."""
        return not self.of_kind("evaluation")

    @property
    def sites(self) -> list[str]:
        """The sites that any row names."""
        return sorted({row["site"] for row in self.rows if "site" in row})

    def at_site(self, site: str) -> Results:
        """The same run, as far as it concerns one site's patients."""
        rows = [row for row in self.rows if row.get("site", site) == site]
        dice = {region: self.final_dice(region).get(site) for region in REGIONS_AND_MEAN}
        summary = {**self.summary, "dice": {region: value for region, value in dice.items() if value is not None}}
        cases = {site: self.cases[site]} if site in self.cases else {}
        by_seed = tuple(each.at_site(site) for each in self.by_seed)
        return replace(self, rows=rows, summary=summary, cases=cases, by_seed=by_seed)

    def counted_answers(self) -> list[Row]:
        """The `site` rows of answers that were accepted: what a refused one says of itself is nobody's number."""
        return [row for row in counted_rows(self.rows) if row["kind"] == "site"]

    def of_kind(self, kind: str) -> list[Row]:
        """The rows of one kind, in the order in which they were written."""
        return [row for row in self.rows if row["kind"] == kind]

    @property
    def scored(self) -> int:
        """How many patients the final model was scored on; how many cases, where single ones are not known."""
        return len(self.mean_dice) or sum(self._final_cases().values())

    @property
    def site_sizes(self) -> dict[str, int]:
        """Training and validation cases of each site together, which no fold changes."""
        training: dict[str, int] = defaultdict(int)
        for row in self.counted_answers():
            training[row["site"]] = max(training[row["site"]], row.get("training_cases") or 0)
        known = Counter(row.get("site") or site for site, own in self.cases.items() for row in own)
        known.pop(ALL_SITES, None)
        validation = self._final_cases() | known
        return {site: training.get(site, 0) + validation.get(site, 0) for site in {**training, **validation}}

    @cached_property
    def mean_dice(self) -> dict[Patient, float]:
        """`dice_by_patient("mean")`, which every pair of runs is compared by."""
        return self.dice_by_patient("mean")

    def dice_by_patient(self, region: str) -> dict[Patient, float]:
        """Dice of the final model by patient, over all sites; empty where single cases are not known."""
        return self.values_by_patient("dice", region)

    def values_by_patient(self, metric: str, region: str) -> dict[Patient, float]:
        """A metric of the final model by patient, where it is defined; empty where single cases do not have it.

        With several seeds it is the mean over them, of the patients that every seed has.
        """
        if self.by_seed:
            each = [run.values_by_patient(metric, region) for run in self.by_seed]
            return {patient: sum(own[patient] for own in each) / len(each) for patient in self._common(each)}
        found = (
            (_patient_of(site, row), _mean_or_region(row.get(metric) or {}, region))
            for site, own in self.cases.items()
            for row in own
        )
        return mean_by_patient((patient, value) for patient, value in found if value is not None)

    def matrix(self, region: str, patients: Sequence[Patient] | None = None) -> NDArray[np.float64]:
        """(seeds, patients) Dice of the final model; of these patients, or of all in the order of `dice_by_patient`."""
        each = [run.dice_by_patient(region) for run in self.by_seed or (self,)]
        wanted = list(self.dice_by_patient(region)) if patients is None else patients
        return np.array([[own[patient] for patient in wanted] for own in each]).reshape(len(each), len(wanted))

    @staticmethod
    def _common(each: Sequence[Mapping[Patient, float]]) -> list[Patient]:
        return [patient for patient in each[0] if all(patient in own for own in each)]

    def has_patients_of(self, other: Results) -> bool:
        """Whether both were scored on the same patients.

        Where single cases are not known: on as many cases of the same datalists, by what the sites said of these.
        """
        ours, theirs = match_patients(self.mean_dice, other.mean_dice)
        if ours and theirs:
            return ours.keys() == theirs.keys()
        return self._final_cases() == other._final_cases() and self._manifests() == other._manifests()

    def final_dice(self, region: str) -> dict[str, float]:
        """Mean Dice of the final model by site, where a site said it; over all cases where there are several folds."""
        said: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for row in self.of_kind("metrics"):
            if (row["stage"], row["region"]) == ("final", region) and row["dice"] is not None:
                said[row["site"]].append((row["dice"], row["cases"]))
        weighed = {site: (sum(d * n for d, n in own), sum(n for _, n in own)) for site, own in sorted(said.items())}
        return {site: total / cases for site, (total, cases) in weighed.items() if cases}

    def _final_cases(self) -> dict[str, int]:
        """How many cases of each site the final model was scored on."""
        cases: dict[str, int] = defaultdict(int)
        for row in self.of_kind("metrics"):
            if (row["stage"], row["region"]) == ("final", "mean"):
                cases[row["site"]] += row["cases"]
        return dict(cases)

    def _manifests(self) -> set[tuple[str, str | None]]:
        return {(row["site"], row.get("manifest")) for row in self.counted_answers()}


def match_patients(
    a: Mapping[Patient, float], b: Mapping[Patient, float]
) -> tuple[Mapping[Patient, float], Mapping[Patient, float]]:
    """Values of two runs by patient, in keys that both have: by name alone where either does not know the sites."""
    if all(site is not None for site, _ in (*a, *b)):
        return a, b
    return _by_name(a), _by_name(b)


def read_results(folders: Sequence[Path]) -> list[Results]:
    """Read results folders; runs of one method are told apart by what differs in their paths.

    Raises: DataError for a folder without rows, or with rows that cannot be read.
    """
    found = [_read_folder(folder) for folder in folders]
    families: dict[str, list[Results]] = defaultdict(list)
    for results in found:
        families[results.method].append(results)
    names = {
        results.folder: f"{method} ({own})"
        for method, family in families.items()
        if len(family) > 1
        for results, own in zip(family, _tell_apart([each.folder for each in family]), strict=True)
    }
    return [replace(results, name=names.get(results.folder, results.method)) for results in found]


def _tell_apart(folders: Sequence[Path]) -> list[str]:
    """The parts of each path in which the paths differ."""
    parts = [folder.resolve().parts for folder in folders]
    longest = max(map(len, parts))
    padded = [("",) * (longest - len(own)) + own for own in parts]
    differing = [number for number, column in enumerate(zip(*padded, strict=True)) if len(set(column)) > 1]
    return ["/".join(own[number] for number in differing if own[number]) or own[-1] for own in padded]


def has_begun(folder: Path) -> bool:
    """Whether a run has written its first row."""
    return any(path.stat().st_size for path in folder.rglob(ROWS_FILE))


def _read_folder(folder: Path) -> Results:
    if not folder.exists():
        raise DataError(f"{folder} is not there; `fedbrats report results/*` takes every run of the folder results/")
    path = find_rows(folder)
    if path is None:
        runs = next(folder.glob(f"*/{ROWS_FILE}"), None)
        advice = f"give those in it, {folder}/*" if runs else "give the results folder of a job or of `fedbrats train`"
        raise DataError(f"{folder} holds no {ROWS_FILE}; {advice}")
    try:
        rows = read_rows(path)
        summary = _read_document(folder / SUMMARY_FILE) or _summary_of_killed(folder, rows)
        evaluation = _read_document(folder / EVALUATION_FILE)
        audit = _read_document(folder / AUDIT_FILE)
        cases = _read_cases(folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DataError(f"the results in {folder} cannot be read: {error}; fetch them again") from None
    models = (folder / name for name in MODEL_FILES)
    checksums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in models if path.exists()}
    method = summary.get("job", folder.name)
    if like := summary.get("like"):  # of `fedbrats train`
        method = f"{method} like {like}"
    if bad := summary.get("misbehaviour"):
        method = f"{method} with {', '.join(f'{site}={kind}' for site, kind in sorted(bad.items()))}"
    return Results(method, method, folder, summary, rows, cases, evaluation, checksums, audit=audit)


def _summary_of_killed(folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """What a run would have said whose program was killed; nothing of one that runs."""
    job = killed_job(folder)
    return {"job": job, "status": INTERRUPTED, **summarise_rows(rows), "results": str(folder)} if job else {}


def _read_document(path: Path) -> Any:
    """A JSON object beside the rows, its texts as they may be shown; None where there is none."""
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return clean(document)


def find_rows(folder: Path) -> Path | None:
    """The rows of a finished job, or those that a running one writes deeper in its folder.

    Finished jobs deeper in the folder, as of `make demo`, are theirs and not its own.
    """
    path = folder / ROWS_FILE
    if path.exists():
        return path
    deeper = [found for found in folder.rglob(ROWS_FILE) if not _is_of_another(found, folder)]
    return max(deeper, key=lambda found: found.stat().st_mtime, default=None)


def _is_of_another(rows: Path, folder: Path) -> bool:
    """Whether rows below a folder are those of a finished run that has a folder of its own there."""
    between = rows.relative_to(folder).parents[:-1]
    return any((folder / each / SUMMARY_FILE).exists() for each in between)


def _read_cases(folder: Path) -> dict[str, list[Row]]:
    cases: dict[str, list[Row]] = {
        path.parent.name: _final(read_rows(path)) for path in sorted(folder.glob(f"sites/*/{CASES_FILE}"))
    }
    if (folder / CASES_FILE).exists():  # of `fedbrats train`, which keeps the cases of all sites in one file
        for row in _final(read_rows(folder / CASES_FILE)):
            cases.setdefault(row.get("site", ALL_SITES), []).append(row)
    return cases


def _final(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.get("stage") == "final"]


def _by_name(values: Mapping[Patient, float]) -> dict[Patient, float]:
    found: Iterator[tuple[Patient, float]] = (((None, name), value) for (_, name), value in values.items())
    return mean_by_patient(found)


def _patient_of(site: str, row: Row) -> Patient:
    return None if site == ALL_SITES else site, row.get("patient", row["case"])


def _mean_or_region(values: Mapping[str, float | None], region: str) -> float | None:
    assert region in REGIONS_AND_MEAN
    if region != "mean":
        return values.get(region)
    found = [value for value in values.values() if value is not None]
    return sum(found) / len(found) if found and len(found) == len(values) else None
