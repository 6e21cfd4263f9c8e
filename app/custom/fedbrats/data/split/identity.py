"""Who is who, where a person says it: `--patient`, or the column `patient` of a table.

FILE.csv:COLUMN     a column of a table whose other column names the cases
COLUMN              a column of the table of --by
'PATTERN'           a regular expression with one group, the patient, at the start of each case's name: '(PAT[0-9]+)_'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fedbrats.data.cases.case import Case
from fedbrats.data.cases.table import CaseTable, read_case_table
from fedbrats.data.check.checks import Examination
from fedbrats.errors import ArgumentError, DataError

PATIENT_COLUMN = "patient"


def name_patients(
    examinations: Sequence[Examination], told_by: str | None, table: CaseTable | None
) -> list[Examination]:
    """The examinations with their patients as a person has named them; else as the case names tell.

    told_by: what `--patient` says. table: of `--by`, whose column `patient` counts where nothing else is said.

    Raises: DataError if a case has no patient by it; ArgumentError if it means nothing.
    """
    if told_by is None and not (table and table.has_column(PATIENT_COLUMN)):
        return list(examinations)
    name = _naming(told_by or PATIENT_COLUMN, [e.case for e in examinations], table)
    return [replace(e, case=replace(e.case, patient=name(e.case))) for e in examinations]


def _naming(told_by: str, cases: list[Case], table: CaseTable | None) -> Callable[[Case], str]:
    file, _, column = told_by.rpartition(":")
    if file.lower().endswith(".csv"):
        table = read_case_table(Path(file), cases, column)
    elif "(" in told_by:
        return _by_pattern(told_by)
    else:
        column = told_by
    if table is None or not table.has_column(column):
        raise ArgumentError(
            f"--patient {told_by} is no column of a table of --by, no FILE.csv:COLUMN and no pattern with a group, "
            f"such as '(PAT[0-9]+)_'"
        )
    return lambda case: table.value(case, column)


def _by_pattern(text: str) -> Callable[[Case], str]:
    try:
        pattern = re.compile(text)
    except re.error:
        raise ArgumentError(f"--patient {text!r} is not a regular expression") from None
    if pattern.groups != 1:
        raise ArgumentError(f"--patient {text!r} has {pattern.groups} groups in parentheses, expected one")

    def name(case: Case) -> str:
        match = pattern.match(case.name)
        if match is None or not match[1]:
            raise DataError(f"--patient {text!r} does not fit the name of case {case.name}")
        return match[1]

    return name
