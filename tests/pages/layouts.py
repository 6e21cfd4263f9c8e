"""Make docs/reference/layouts.md from the layouts and names that the code recognises.

example:
  python -m tests.pages.layouts
"""

from __future__ import annotations

from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.data.cases.names import ROLES, WORDS
from fedbrats.data.cases.recognised import LAYOUTS
from fedbrats.report.markdown import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "layouts.md"
HEAD = """# Names and layouts

This page lists the names of files and folders in which `check`, `split`, `predict` and `evaluate` find cases.
`make pages` makes it from the code, and a test takes each layout from `check` to `predict`.

Files are NIfTI (`.nii` or `.nii.gz`), in subfolders of any depth. Capital and small letters are the same.
`fedbrats check` names each file that it did not take, with the reason, and counts folders without a case.
"""
WORDS_HEAD = """## Words

These words are recognised in names of files and folders, as columns of a table, keys of a list and names of channels. A
dash in a word stands for a dash, an underscore or nothing.
"""
OWN = """## Names of your own

```sh
fedbrats check ~/patients --names t1ce=T1_KM,flair=dark-fluid
fedbrats split ~/patients --names t1ce=T1_KM,flair=dark-fluid --sites 2 --out sites
```

Each part is a role (`t1`, `t1ce`, `t2`, `flair`, `seg`) and what your files call it. A role may have several names:
`t1ce=T1_KM,t1ce=T1_GD`. Roles that are not given keep the words above.

The name may be anywhere in the name of a file or folder, if no letter or digit is next to it. The rest is the name of
the case: `scan_T1_KM_brain.nii.gz` is the T1ce of `scan_brain`, and `MEIER/T1_KM.nii.gz` that of `MEIER`.

`split` gives the files BraTS names in the sites folder, and keeps your names in each site's `datalist.json`. Later
commands need no `--names` for the sites folder.
"""


def main() -> None:
    """Write the page."""
    write_text_atomic(PAGE, page())


def page() -> str:
    """The page as it must be."""
    parts = [HEAD]
    for layout in LAYOUTS[:-1]:  # the last is names of your own, explained below
        parts.append(f"## {_as_heading(layout.name)}\n")
        if layout.note:
            parts.append(f"{layout.note[0].upper()}{layout.note[1:]}.\n")
        parts.append("```text\n" + "\n".join(layout.example) + "\n```\n")
    rows = [(f"`{role}`", ", ".join(f"`{word}`" for word in WORDS[role])) for role in ROLES]
    parts += [WORDS_HEAD, markdown_table(("role", "words"), rows) + "\n"]
    return "\n".join([*parts, OWN])


def _as_heading(name: str) -> str:
    """With a capital, but for a name such as nnU-Net."""
    return name[0].upper() + name[1:] if name.split()[0].islower() else name


if __name__ == "__main__":
    main()
