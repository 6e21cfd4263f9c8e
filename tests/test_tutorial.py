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


def test_the_bad_hospital_harms_fedavg_and_not_the_contribution_factor(executed):
    _, folder = executed
    summaries = [json.loads(path.read_text()) for path in sorted(folder.glob("results/*/summary.json"))]
    dice = [(summary["job"], summary["dice"]["mean"]) for summary in summaries]
    honest, harmed = (value for job, value in dice if job == "fedavg")
    _, doubted = (value for job, value in dice if job == "contribution")
    assert harmed < doubted
    assert harmed < honest


def test_it_is_committed_without_outputs():
    """Pictures and times would change with every run."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]
