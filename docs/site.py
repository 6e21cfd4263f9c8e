"""Hooks of MkDocs: the site's navigation, and its pages that are no Markdown file of docs/.

The README is the site's first page. Files that must lie elsewhere in the repository (the runbook, SECURITY.md) are
shown as pages; the notebook is shown with its outputs; each folder of the package has a page made from its docstrings.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HOUSE = Path(__file__).resolve().parents[1]
PACKAGE = HOUSE / "app" / "custom" / "fedbrats"

# Pages that lie elsewhere in the repository: page of the site -> file of the repository.
ELSEWHERE = {
    "index.md": "README.md",
    "guide/tutorial.md": "docs/guide/tutorial.ipynb",
    "guide/runbook.md": "provisioning/RUNBOOK.md",
    "about/security.md": "SECURITY.md",
    "about/contributing.md": "CONTRIBUTING.md",
    "about/changelog.md": "CHANGELOG.md",
}
# The order in which a reader needs the pages of a folder; a page that is not named here comes after them.
ORDER = {
    "guide": (
        "tutorial",
        "own-data",
        "viewers",
        "one-workstation",
        "own-method",
        "python",
        "production",
        "runbook",
        "privacy",
    ),
    "reference": (
        *(
            "commands",
            "glossary",
            "layouts",
            "findings",
            "configuration",
            "rows",
            "architecture",
            "contribution",
            "reliability",
            "security",
            "deployment",
            "operations",
        ),
    ),
    "results": ("overview", "results", "attacks", "performance", "tuning"),
    "api": (),
    "about": ("contributing", "security", "changelog"),
}
TITLES = {"api": "API"}
LINK = re.compile(r"(?P<text>!?\[(?P<words>[^\]]*)\])\((?P<target>[^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the navigation from the files that are there."""
    pages = {path.relative_to(HOUSE / "docs").as_posix() for path in (HOUSE / "docs").rglob("*.md")}
    pages |= {*ELSEWHERE, *api_pages()}
    nav: list[Any] = [{"Home": "index.md"}]
    for folder, order in ORDER.items():
        named = [f"{folder}/{name}.md" for name in order if f"{folder}/{name}.md" in pages]
        others = sorted(page for page in pages if page.startswith(f"{folder}/") and page not in named)
        nav.append({TITLES.get(folder, folder.capitalize()): named + others})
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs/."""
    for page, origin in ELSEWHERE.items():
        path = HOUSE / origin
        text = notebook_page(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for page, text in api_pages().items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    origin = ELSEWHERE.get(here, f"docs/{here}")
    page_of = {file: name for name, file in ELSEWHERE.items()}

    def turned(link: re.Match[str]) -> str:
        path, mark, anchor = link["target"].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        if file in page_of:
            target = page_of[file]
        elif file.startswith("docs/") and (HOUSE / file).is_file():
            target = file.removeprefix("docs/")
        elif (HOUSE / file).exists():
            return link["words"]  # a file that has no page
        else:
            return link[0]  # a broken link: MkDocs says so
        return f"{link['text']}({posixpath.relpath(target, posixpath.dirname(here) or '.')}{mark}{anchor})"

    return LINK.sub(turned, markdown) if not here.startswith("api/") else markdown


def notebook_page(path: Path) -> str:
    """A notebook with its outputs as Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += map(output_part, cell.get("outputs", ()))
    return "\n\n".join(parts) + "\n"


def output_part(output: Mapping[str, Any]) -> str:
    """An output of a notebook's cell: its picture where it has one, else its text."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"![what the cell draws](data:image/png;base64,{''.join(data['image/png']).strip()})"
    text = "".join(output.get("text") or data.get("text/plain", ()))
    return f"```text\n{text.rstrip()}\n```"


def api_pages() -> Mapping[str, str]:
    """A page for each folder: every module's docstring with its public functions and classes."""
    pages = {}
    for folder in sorted({path.parent for path in PACKAGE.rglob("*.py")}):
        modules = [path.stem for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
        if not modules:
            continue
        names = ("fedbrats", *folder.relative_to(PACKAGE).parts)
        room = ".".join(names)
        title = "/".join(names[1:]) or "fedbrats"
        parts = [f"# {title}\n", f"::: {room}\n    options:\n      members: false\n      show_root_heading: false\n"]
        parts += [f"::: {room}.{module}\n" for module in modules]
        pages[f"api/{'-'.join(names[1:]) or 'fedbrats'}.md"] = "\n".join(parts)
    return pages
