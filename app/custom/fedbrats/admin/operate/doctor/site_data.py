"""The hospital's data: a datalist, every file there, cases without errors, and enough of them to speak about."""

from __future__ import annotations

from collections.abc import Iterator

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import (
    DATA_SCIENTIST,
    HOSPITAL_IT,
    PROJECT_ADMIN,
    Finding,
    doubtful,
    failed,
    good,
)
from fedbrats.data.cases.case import Case
from fedbrats.data.cases.datalist import Datalist, read_datalist
from fedbrats.data.check.checks import check_case
from fedbrats.data.check.problems import ERROR
from fedbrats.errors import DataError
from fedbrats.flare.process.obstacles import find_no_data
from fedbrats.privacy.accounting import epsilon
from fedbrats.privacy.ledger import Ledger
from fedbrats.site.privacy_account import ledger_path
from fedbrats.site.register import say_too_many
from fedbrats.site.site_file import SiteFacts, read_site_facts

CASES_READ = 3


def check(kit: Kit, all_cases: bool = False) -> Iterator[Finding]:
    """Findings about the data folder; texts count cases and name none, for reports get mailed."""
    facts = read_site_facts(kit.local_dir, kit.name)
    if obstacle := next(iter([*find_no_data(facts.data_dir)]), None):
        yield failed("data", obstacle.sentence, obstacle.remedy, HOSPITAL_IT)
        return
    try:
        datalist = read_datalist(facts.data_dir)
    except (DataError, OSError) as error:
        remedy = "`fedbrats split` makes the folder; `fedbrats site KIT --data FOLDER` names it"
        yield failed("data", str(error), remedy, DATA_SCIENTIST)
        return
    yield _check_files(datalist)
    yield _check_cases(datalist, datalist.cases if all_cases else datalist.cases[:CASES_READ])
    found = f"{len(datalist.training)} training, {len(datalist.validation)} validation, min_cases {facts.min_cases}"
    if too_many := say_too_many(len(datalist.training), kit.local_dir):
        yield failed("registered cases", too_many, "`fedbrats provision` has the register", PROJECT_ADMIN)
    if not datalist.training:
        yield failed("cases", found, "a site needs training cases", DATA_SCIENTIST)
    elif len(datalist.training) < facts.min_cases:
        yield failed("cases", found, "no update of fewer training cases than min_cases leaves", DATA_SCIENTIST)
    elif len(datalist.validation) < facts.min_cases:
        yield doubtful("cases", found, "metrics of this site will be suppressed", DATA_SCIENTIST)
    elif 1 < facts.min_cases > len(datalist.validation) // 2:
        remedy = "metrics are suppressed where fewer than min_cases cases are found in part; have twice as many"
        yield doubtful("cases", found, remedy, DATA_SCIENTIST)
    else:
        yield good("cases", found)
    yield from _check_ledger(kit, facts)


def _check_ledger(kit: Kit, facts: SiteFacts) -> Iterator[Finding]:
    """What was spent of the hospital's privacy budget; nothing where it has none and no job was private."""
    try:
        entries = Ledger(ledger_path(facts, kit.name)).read()
    except DataError as error:
        yield failed("privacy ledger", str(error), "restore both files of the ledger from a backup", HOSPITAL_IT)
        return
    if facts.budget is None and not entries:
        return
    if facts.budget is None:
        found = f"{len(entries)} private rounds, no privacy_budget in the site file"
        yield doubtful("privacy ledger", found, "no job is refused; decide on a privacy_budget", DATA_SCIENTIST)
        return
    spent = epsilon([entry.cost for entry in entries], facts.budget.delta)
    yield good("privacy ledger", f"epsilon {spent:.2f} of {facts.budget.epsilon:g} at delta {facts.budget.delta:g}")


def _check_files(datalist: Datalist) -> Finding:
    missing = [path for case in datalist.cases for path in case.files.values() if not path.is_file()]
    if missing:
        return failed("data", f"{len(missing)} listed files are missing", "`fedbrats check` names them", DATA_SCIENTIST)
    return good("data", f"{len(datalist.cases)} cases, all files there")


def _check_cases(datalist: Datalist, cases: tuple[Case, ...]) -> Finding:
    broken = [
        case for case in cases if any(problem.severity == ERROR for problem in check_case(case, datalist.convention))
    ]
    if broken:
        found = f"{len(broken)} of {len(cases)} cases read have errors"
        return failed("case check", found, "`fedbrats check` on the data folder says which", DATA_SCIENTIST)
    return good("case check", f"{len(cases)} cases read, no error")
