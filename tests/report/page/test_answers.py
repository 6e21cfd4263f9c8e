"""The three questions: what the page answers, what it says that it cannot, and which command would help."""

import json
import re
import shlex
from itertools import product
from pathlib import Path

import pytest

from fedbrats.report.numbers.answers import advise, find_benefit
from fedbrats.report.numbers.folds import pool_folds
from fedbrats.report.numbers.results import read_results
from fedbrats.report.numbers.roles import with_plain_names
from fedbrats.report.page.answers import HELPED, SURE, WHICH, answers_section
from fedbrats.report.page.blocks import Code, Details, Paragraph, Table
from fedbrats.report.page.page import write_page
from fedbrats.report.page.words import WORDS
from tests.pages.commands import parser_of

ALONE = {"personal": "all"}


@pytest.fixture
def make_run(make_results, tmp_path):
    """A function that makes one more run: its job, its gain in Dice, its variables, and how many of its patients are
    kept of each hospital."""
    numbers = iter(range(100))

    def make(job, gain, variables=None, kept=4, **summary):
        folder = make_results(tmp_path / f"run-{next(numbers)}", job, gain)
        path = folder / "summary.json"
        document = {**json.loads(path.read_text()), **summary}
        document["variables"] |= variables or {}
        path.write_text(json.dumps(document))
        for cases in folder.glob("sites/*/cases.jsonl"):
            cases.write_text("".join(cases.read_text().splitlines(keepends=True)[:kept]))
        return folder

    return make


def answers_of(*folders):
    methods = with_plain_names(pool_folds(read_results(folders)))
    (block,) = answers_section(methods).blocks
    assert [answer.question for answer in block.answers] == [HELPED, WHICH, SURE]
    return {answer.question: answer for answer in block.answers}


def text_of(answer):
    return "\n".join([answer.short, *_texts(answer.blocks)])


def commands_of(answer):
    return [line for block in answer.blocks for line in _codes(block)]


def _texts(blocks):
    for block in blocks:
        if isinstance(block, Paragraph | Code):
            yield block.text
        elif isinstance(block, Details):
            yield from _texts(block.blocks)


def _codes(block):
    if isinstance(block, Code):
        return block.text.splitlines()
    if isinstance(block, Details):
        return [line for own in block.blocks for line in _codes(own)]
    if isinstance(block, Table):
        return [cell.text for _, cells in block.rows for cell in cells if isinstance(cell, Code)]
    return []


@pytest.mark.parametrize(
    ("gain", "short"),
    [
        (0.3, "Yes. fedavg is better than each hospital alone, by 0.200 Dice."),
        (-0.1, "No. fedavg is worse than each hospital alone, by 0.200 Dice."),
        (0.1, "It is unclear. With these patients, fedavg and each hospital alone cannot be told apart."),
    ],
)
def test_whether_federating_helped(make_run, gain, short):
    answers = answers_of(make_run("local_only", 0.1, ALONE), make_run("fedavg", gain))
    assert answers[HELPED].short == short
    assert "95% interval" in text_of(answers[HELPED])
    assert "12 patients" in text_of(answers[HELPED])


def test_several_federated_methods_are_corrected_for_and_the_best_is_named(make_run):
    folders = [make_run("local_only", 0.1, ALONE), make_run("fedavg", 0.2), make_run("fedbn", 0.3)]
    benefit = find_benefit(with_plain_names(read_results(folders)))
    assert (benefit.method.name, benefit.methods) == ("fedbn", 2)
    assert benefit.difference.mean == pytest.approx(0.2)
    assert benefit.difference.p == pytest.approx(2 / 2**11)  # 2 of 4096 exchanges, twice
    assert "It is the best of 2 federated methods" in text_of(answers_of(*folders)[HELPED])


def test_an_interval_without_0_is_no_answer_where_p_is_none(make_run):
    """Six patients have 64 exchanges, and p for the better of two methods is 0.06 at least."""
    folders = [make_run("local_only", 0.1, ALONE, kept=2), *(make_run(job, 0.2, kept=2) for job in ("fedavg", "fedbn"))]
    answer = answers_of(*folders)[HELPED]
    assert answer.short.startswith("It is unclear.")
    assert "The interval alone would say more than p, which counts here." in text_of(answer)


def test_below_six_patients_there_are_values_and_neither_p_nor_interval(make_run):
    folders = [
        make_run("local_only", 0.1, ALONE, kept=1),
        make_run("fedavg", 0.2, kept=1),
        make_run("train", 0.3, kept=1),
    ]
    answers = answers_of(*folders)
    assert answers[HELPED].short == "It cannot be told from 3 patients."
    assert "+0.10, +0.10, +0.10" in text_of(answers[HELPED])
    assert answers[SURE].short.startswith("Not sure at all: 3 patients at 3 hospitals, one seed.")
    page = write_page(read_results(folders), "Few")
    assert "p = " not in page
    assert "p &lt; " not in page
    assert "best<" not in page


@pytest.mark.parametrize(
    ("jobs", "lacks", "wanted"),
    [
        (["fedavg"], "no run of each hospital alone", ["fedbrats poc run local_only"]),
        (["local_only"], "no federated run", ["fedbrats poc run fedavg"]),
        (["train"], "no federated run and no run of each", ["fedbrats poc run fedavg", "fedbrats poc run local_only"]),
    ],
)
def test_what_one_run_cannot_answer_and_the_command_that_would(make_run, jobs, lacks, wanted):
    settings = {"num_rounds": 12, "learning_rate": 0.004, "network": "fast", "patch_size": [32, 32, 32]}
    folders = [make_run(job, 0.1, settings | (ALONE if job == "local_only" else {})) for job in jobs]
    answer = answers_of(*folders)[HELPED]
    assert answer.short.startswith(f"This page cannot say it: there is {lacks}")
    runs = [command for command in commands_of(answer) if command.startswith("fedbrats poc run")]
    assert [" ".join(shlex.split(command)[:4]) for command in runs] == wanted
    for command in commands_of(answer):
        _, name, *words = shlex.split(command)
        parser_of(name).parse_args(words)
        given = dict(word.split("=", 1) for word in words if "=" in word)
        given |= {"num_rounds": words[words.index("--rounds") + 1]} if "--rounds" in words else {}
        assert given == {"num_rounds": "12", "learning_rate": "0.004", "patch_size": "[32,32,32]"}


def test_each_hospital_has_its_advice_and_the_command_that_predicts_with_it(make_run):
    folders = [make_run("fedavg", 0.1), make_run("fine_tuned", 0.3, {"personal_rounds": 3}), make_run("train", 0.4)]
    answer = answers_of(*folders)[WHICH]
    assert answer.short.startswith("fine_tuned: the highest mean Dice of 2 choices")
    assert answer.short.endswith("these patients show that it is better than the others.")
    table = next(block for block in answer.blocks if isinstance(block, Table))
    assert table.columns == ("hospital", "patients", "fedavg", "fine_tuned", "all data in one place")
    assert [(site, cells[0]) for site, cells in table.rows] == [("north", 4), ("south", 4), ("west", 4)]
    assert all([cell.mark for cell in cells[1:]] == ["", "use", ""] for _, cells in table.rows)  # four have no best
    own = [f"fedbrats predict {folders[1]} CASES --personal {site} --out masks" for site in ("north", "south", "west")]
    assert commands_of(answer)[:4] == [*own, f"fedbrats predict {folders[0]} CASES --out masks"]
    for command in commands_of(answer):
        _, name, *words = shlex.split(command)
        parser_of(name).parse_args(words)


def test_a_hospital_whose_own_patients_tell_another_model_is_advised_that(make_run):
    folders = [make_run("fedavg", 0.1), make_run("fedbn", 0.12)]
    for folder, gain in zip(folders, (0.3, 0.0), strict=True):
        path = folder / "sites" / "west" / "cases.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [
            {**row, "case": f"{row['case']}{k}", "patient": f"{row['patient']}{k}"} for row, k in product(rows, "ab")
        ]
        rows = [{**row, "dice": {name: value / 2 + gain for name, value in row["dice"].items()}} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for folder in folders:
        for site in ("north", "south"):
            path = folder / "sites" / site / "cases.jsonl"
            text = path.read_text()
            if folder == folders[1]:
                rows = [json.loads(line) for line in text.splitlines()]
                rows = [{**row, "dice": {name: value + 0.3 for name, value in row["dice"].items()}} for row in rows]
                path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    advice = {each.site: (each.method, each.is_own) for each in advise(read_results(folders))}
    assert advice["west"] == ("fedavg", True)
    assert {advice[site][1] for site in ("north", "south")} == {False}


def test_a_run_with_harm_is_no_choice_and_no_benefit(make_run):
    folders = [make_run("local_only", 0.1, ALONE), make_run("fedavg", 0.2)]
    folders.append(make_run("fedbn", 0.4, misbehaviour={"west": "scaled"}))
    answers = answers_of(*folders)
    assert "fedbn" not in answers[HELPED].short
    assert "fedbn" not in answers[WHICH].short


def test_folds_predict_as_an_ensemble(make_run):
    folders = [make_run("fedavg", 0.1), make_run("fedavg", 0.2)]
    for path in folders[1].glob("sites/*/cases.jsonl"):
        path.write_text(path.read_text().replace("patient-", "other-"))
    (command,) = commands_of(answers_of(*folders)[WHICH])
    assert command == f"fedbrats predict {folders[0]} {folders[1]} CASES --out masks"


def test_the_words_are_those_of_the_glossary():
    page = Path(__file__).parents[3] / "docs" / "reference" / "glossary.md"
    glossary = dict(re.findall(r"^\| (.+?) \| (.+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE))
    renamed = {"surface Dice": "normalised surface Dice (NSD)"}
    for word, meaning in WORDS.items():
        if word != "mean":
            assert glossary[renamed.get(word, word)] == meaning
