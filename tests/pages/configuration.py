"""Make the tables of docs/reference/configuration.md from the declarations.

example:
  python -m tests.pages.configuration
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.jobs.build import find_job, job_variables, list_jobs
from fedbrats.jobs.settings import TABLES, sub_tables, variables
from fedbrats.settings import Declaration, declarations
from fedbrats.site.site_file import ServerFacts, SiteFacts

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
INTRODUCTION = """# Configuration

Made by `python -m tests.pages.configuration` from the declarations in the code.

Everything that people change about a job is a variable at the top of the job's configuration. `fedbrats job list`
shows the jobs, `fedbrats job list NAME` the variables of one with the defaults of that job. `--set` changes one:

```sh
fedbrats job list fedavg
fedbrats job build fedavg --set num_rounds=5
```

A value of the wrong type or out of bounds is refused before anything starts, and again at the server and at every site.
The defaults below are those of `app/config`; a job may have others.
"""

SITE_FILES = """## Site file

What belongs to a hospital, or to the server, stands in `local/fedbrats.json` of its kit: no job can change it.
`fedbrats site` writes it, and `fedbrats doctor` reads it before a job does.
"""


def main() -> None:
    """Write the page."""
    write_text_atomic(PAGE, page())


def page() -> str:
    """The page as it should be."""
    parts = [INTRODUCTION]
    by_table = {table.settings: [] for table in TABLES}
    for variable in variables().values():
        by_table[variable.table].append(variable.declared)
    for table, declared in by_table.items():
        names = {each.name for each in declared}
        owners = [job.name for job in list_jobs() if names & job_variables(find_job(job.name)).keys()]
        only = f"\n\nOnly in: {', '.join(f'`{name}`' for name in owners)}." if len(owners) <= 3 else ""
        about = (table.__doc__ or "").split("\n\n")[0]
        parts.append(f"## {heading_of(table.__name__)}\n\n{about}{only}\n\n{rows(declared)}\n")
    for name, inner in sub_tables().items():
        parts.append(
            f"## Inside `{name}`\n\nFor example `--set '{name}={{\"{min(inner)}\": ...}}'`.\n\n{rows(inner.values())}\n"
        )
    parts.append(SITE_FILES)
    for table in (SiteFacts, ServerFacts):
        parts.append(
            f"### {heading_of(table.__name__)}\n\n{inspect.getdoc(table)}\n\n{rows(declarations(table).values())}\n"
        )
    return "\n".join(parts)


def heading_of(name: str) -> str:
    """`TrainingSettings` as `Training settings`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return words[0].upper() + words[1:]


def rows(declared: Iterable[Declaration]) -> str:
    """A table of declarations."""
    lines = ["| name | what it takes | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{each.name}` | {each.expected} | {default_of(each)} | {each.meaning} |" for each in declared]
    return "\n".join(lines)


def default_of(declared: Declaration) -> str:
    """The default in code type; nothing where a setting has to be given."""
    return "must be given" if declared.required else f"`{json.dumps(declared.default)}`"


if __name__ == "__main__":
    main()
