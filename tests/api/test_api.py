"""The API from Python: the examples of its docstrings run, and its results are those of the commands."""

import doctest
import importlib
import inspect
import json
import logging
import shutil

import pytest

from fedbrats import api
from fedbrats.api.progress import Step, Watch
from fedbrats.api.runs import Run
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError, DataError
from fedbrats.report.numbers.results import read_results
from fedbrats.run_folder import SUMMARY_FILE

FUNCTIONS = [name for name in api.__all__ if inspect.isfunction(getattr(api, name))]
STARTS_FLARE = {"federate"}


@pytest.fixture
def place(phantom_sites, trained_results, tmp_path, monkeypatch):
    """A folder with `sites`, and `trained`, a run: the examples are of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites").symlink_to(phantom_sites)
    shutil.copytree(trained_results, tmp_path / "trained")
    return tmp_path


def run_example(name):
    function = getattr(api, name)
    module = importlib.import_module(function.__module__)
    [example] = doctest.DocTestFinder(recurse=False).find(function, name, module=module)
    runner = doctest.DocTestRunner(verbose=False)
    assert example.examples or name == "resume"
    said = []
    runner.run(example, out=said.append)
    assert not runner.failures, "".join(said)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - STARTS_FLARE))
def test_the_example_of_a_function_runs(place, name):
    run_example(name)


@pytest.mark.end_to_end
def test_the_example_of_federate_runs(place):
    run_example("federate")
    [folder] = (place / "results").iterdir()
    run = Run.of(json.loads((folder / SUMMARY_FILE).read_text()))
    assert run.rounds == 1
    assert run.weights().keys() == {"site-1", "site-2"}
    assert "site-2" in run._repr_html_()
    study = api.Study("fedavg", (run,))
    assert study.dice() == [run.dice["mean"]]
    compared = api.compare([study])
    assert compared.own_patients[0]["method"] == "fedavg"
    assert compared.figure().axes


def test_every_function_has_its_arguments_in_its_docstring():
    for name in FUNCTIONS:
        function = getattr(api, name)
        for argument in inspect.signature(function).parameters:
            assert f"        {argument}: " in function.__doc__, (name, argument)


def test_a_result_is_what_the_command_prints(place, capsys):
    found = api.check("sites/site-2", workers=1)
    assert main(["check", "sites/site-2", "--workers", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {**told, "seconds": 0} == {**found.as_document(), "seconds": 0}
    scored = api.evaluate("trained", "sites/site-2", threads=1)
    assert main(["evaluate", "trained", "sites/site-2", "--threads", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(scored.document))


def test_a_notebook_shows_tables_and_pictures(place):
    drawn = api.predict("trained", "sites/site-2/" + one_case(place, "site-2"), "predicted", threads=1)
    assert drawn.cases[0]._repr_png_().startswith(b"\x89PNG")
    run = Run.of(json.loads((place / "trained" / SUMMARY_FILE).read_text()) | {"results": "trained"})
    assert list(run.curve()) == [1, 2]
    assert run.figure().axes[0].get_lines()
    for shown in (drawn, run, api.compare([run]), api.check("sites/site-2", workers=1), api.report([run], "page.html")):
        assert shown._repr_html_().startswith("<table>")
    assert read_results([run.folder])[0].method == "train like fedavg"


def one_case(place, site):
    return next(path.name for path in sorted((place / "sites" / site).iterdir()) if path.is_dir())


def test_what_stands_in_a_table_is_text():
    from fedbrats.api.html import html_table

    assert "<b>" not in html_table(["<b>"], [["<b>", None, 0.5]], "<b>")


def test_progress_gets_sentences_warnings_and_counts(caplog):
    said = []
    watch = Watch(lambda step: said.append(str(step)))
    assert list(watch.follow("ab", 2, "doing")) == ["a", "b"]
    watch.warn("look\x1b")
    assert said == ["doing: 0/2", "doing: 1/2", "doing: 2/2", r"look\x1b"]
    with caplog.at_level(logging.WARNING, logger="fedbrats.api"):
        Watch().warn("nobody asked")
        Watch().say("nor for this")
    assert [record.message for record in caplog.records] == ["nobody asked"]
    assert Step("x", is_warning=True).is_warning


def test_what_cannot_be_is_one_sentence_before_anything_is_written(place):
    with pytest.raises(ConfigurationError, match="seeds is empty"):
        api.federate("fedavg", "sites", seeds=[])
    with pytest.raises(ConfigurationError, match="there is no site 'nowhere'"):
        api.federate("fedavg", "sites", misbehave={"nowhere": "noise"})
    with pytest.raises(ConfigurationError, match="nothing"):
        api.federate("nothing", "sites")
    with pytest.raises(DataError, match="exists already"):
        api.split("sites/site-1", "trained")
    with pytest.raises(ConfigurationError, match="markdown, latex or csv"):
        api.compare(["trained"]).write("word")
    assert not (place / "results").exists()
