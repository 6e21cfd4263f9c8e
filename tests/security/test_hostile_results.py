"""What a server, or a file on the way, may put into results: a page comes of it, or one sentence, and nothing acts."""

import json
import shutil

import pytest

from fedbrats.cli.main import main
from tests.report.conftest import federated, make_results  # noqa: F401  results written by hand
from tests.security.attacks import attack

ACTS = '"><script>alert(1)</script>$\\frac{$ font: 1px x\x1b]0;owned\x07\u202e\n2026-01-01 forged'
DEEP = 500
VALUES = {
    "a text": ACTS,
    "a list": [ACTS],
    "nothing": None,
    "a table": {ACTS: ACTS},
    "a number": -(10**400),
    "a large number": 10**9,
    "deep": json.loads("[" * DEEP + "]" * DEEP),
}
KINDS = ("job", "site", "metrics", "round", "weight", "round", "refusal")


def spoil(row, value):
    return {name: each if name == "kind" else value for name, each in row.items()}


def report(folder, tmp_path, capsys):
    """(exit status, what was said, the page) of `fedbrats report`."""
    page = tmp_path / "page.html"
    status = main(["report", str(folder), "--out", str(page)])
    said = capsys.readouterr()
    return status, said.out + said.err, page.read_text() if page.exists() else ""


@attack(
    "rows, a summary or an evaluation that are not what a run writes, or hold scripts, formulas and control signs",
    who="the server's operator; a file on the way",
    happens="`fedbrats report` draws them as text, or says in one sentence that they cannot be read",
    says="a row, the summary or the provenance there is not what a run writes",
)
@pytest.mark.parametrize(
    ("kind", "what"), [*zip(KINDS, VALUES, strict=True), ("site", "a text"), ("metrics", "a number"), ("round", "deep")]
)
def test_no_row_ends_in_a_traceback(federated, tmp_path, capsys, kind, what):  # noqa: F811
    folder = tmp_path / "run"
    shutil.copytree(federated[0], folder)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    spoilt = [spoil(row, VALUES[what]) if row["kind"] == kind else row for row in rows]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in spoilt))
    status, said, page = report(folder, tmp_path, capsys)
    assert status in (0, 1)
    assert all(line.isprintable() for line in said.splitlines())
    assert status == 0 or said.count("fedbrats: ") == 1
    assert "<script>alert" not in page
    assert all(line.isprintable() for line in page.splitlines())


@pytest.mark.parametrize("name", ["summary.json", "evaluation.json", "rows.jsonl", "sites/north/cases.jsonl"])
@pytest.mark.parametrize("content", ["[1]", "3", "[" * 10**5, '{"a": ', "\x00"])
def test_no_document_ends_in_a_traceback(federated, tmp_path, capsys, name, content):  # noqa: F811
    folder = tmp_path / "run"
    shutil.copytree(federated[0], folder)
    (folder / name).write_text(content + "\n{}\n")
    status, said, _ = report(folder, tmp_path, capsys)
    assert status == 1
    assert said.count("fedbrats: ") == 1


def test_names_that_act_stand_in_the_page_as_text(federated, tmp_path, capsys):  # noqa: F811
    folder = tmp_path / "run"
    shutil.copytree(federated[0], folder)
    for name in ("rows.jsonl", "summary.json"):
        path = folder / name
        path.write_text(path.read_text().replace('"north"', json.dumps("north" + ACTS)))
    status, said, page = report(folder, tmp_path, capsys)
    assert status == 0, said
    assert "$\\frac{$" in page
    assert "\\x1b]0;owned\\x07\\u202e\\n2026" in page
    assert "<script>alert" not in page
    assert page.count("<svg") == page.count("</svg>")
    assert page.count("<text") == page.count("</text>")
