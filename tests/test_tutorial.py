"""The tutorial runs from top to bottom as its reader would run it, and says what it promises."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.end_to_end
NOTEBOOK = Path(__file__).parents[1] / "docs" / "guide" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook with its outputs, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("tutorial")
    shutil.copyfile(NOTEBOOK, folder / NOTEBOOK.name)
    notebook = nbformat.read(folder / NOTEBOOK.name, as_version=4)
    NotebookClient(notebook, timeout=1500, startup_timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


@pytest.mark.timeout(3000)
def test_it_runs_and_draws_its_pictures(executed):
    notebook, folder = executed
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 6
    assert (folder / "report.html").stat().st_size > 100_000


def test_the_bad_hospital_ends_plain_fedavg_and_not_the_protected_job(executed):
    _, folder = executed
    [in_vain] = folder.glob("results/in-vain/*/summary.json")
    failed = json.loads(in_vain.read_text())
    assert (failed["rounds"], failed["dice"]) == (1, None)
    summaries = [json.loads(path.read_text()) for path in sorted(folder.glob("results/*/summary.json"))]
    honest, protected = (each for each in summaries if each["job"] == "contribution")
    assert protected["misbehaviour"] == failed["misbehaviour"] == {"site-3": "scaled"}
    assert protected["dice"]["mean"] > honest["dice"]["mean"] / 2


def test_it_is_committed_with_its_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))  # one run, from top to bottom
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 6
    said = [output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in outputs]
    assert not [text for text in said if "/tmp" in text or "/home" in text]
    assert NOTEBOOK.stat().st_size < 1_000_000
