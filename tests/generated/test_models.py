"""Model files that are damaged or something else: predict and evaluate say so in one sentence, and write no mask."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.data.cases.datalist import read_datalist
from tests.generated.asking import GENERATED, ask
from tests.generated.test_documents import mutate


class _Evil:
    def __reduce__(self):
        return (pytest.fail, ("a model file has run code",))


@pytest.fixture(scope="module")
def case_folder(phantom_sites: Path) -> Path:
    return read_datalist(phantom_sites / "site-2").validation[0].image_paths[0].parent


@pytest.fixture(scope="module")
def results(trained_results: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "results"
    shutil.copytree(trained_results, folder)
    return folder


def predict(results: Path, case_folder: Path) -> None:
    out = results.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    answer = ask("predict", results, case_folder, "--out", out, "--no-overlays", "--threads", "1", "--device", "cpu")
    if answer.status:
        assert not list(out.glob("*_prediction.nii.gz"))


@GENERATED
@given(data=st.data())
def test_a_model_of_any_bytes(results, case_folder, data):
    path = results / "model.pt"
    before = path.read_bytes()
    content = bytearray(before)
    kind = data.draw(st.sampled_from(["flip", "cut", "junk", "nothing", "zip", "evil"]))
    if kind == "flip":
        for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
            content[position] ^= data.draw(st.integers(1, 255))
    elif kind == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("model/data.pkl", data.draw(st.binary(max_size=30)))
        content = bytearray(stream.getvalue())
    else:
        content = bytearray(
            {
                "cut": bytes(content[: data.draw(st.integers(0, len(content) - 1))]),
                "junk": data.draw(st.binary(max_size=200)),
                "nothing": b"",
                "evil": pickle.dumps({"model": _Evil()}),
            }[kind]
        )
    path.write_bytes(content)
    try:
        predict(results, case_folder)
    finally:
        path.write_bytes(before)


@GENERATED
@given(data=st.data())
def test_a_model_that_says_anything_of_itself(results, case_folder, data):
    path = results / "model.pt"
    before = path.read_bytes()
    document = torch.load(path, weights_only=True)
    about = {name: value for name, value in document.items() if name != "model"}
    about = mutate(json.loads(json.dumps(about)), data.draw)
    weights = dict(document["model"])
    name = data.draw(st.sampled_from(sorted(weights)))
    action = data.draw(st.sampled_from(["keep", "remove", "reshape", "nan", "integers", "list"]))
    if action == "remove":
        del weights[name]
    elif action != "keep":
        weights[name] = {
            "reshape": weights[name][None],
            "nan": weights[name] * float("nan"),
            "integers": weights[name].to(torch.int64),
            "list": [1.0],
        }[action]
    torch.save({**about, "model": weights}, path)
    try:
        predict(results, case_folder)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"null", b'{"variables": 5}', b'{"variables": {}}'])
def test_a_summary_that_says_nothing(results, case_folder, tmp_path, content):
    torch.save({"model": torch.load(results / "model.pt", weights_only=True)["model"]}, tmp_path / "global_model.pt")
    (tmp_path / "summary.json").write_bytes(content)
    for words in (("predict", tmp_path, case_folder, "--out", tmp_path / "out"), ("evaluate", tmp_path, case_folder)):
        answer = ask(*words)
        assert answer.status == 1
        assert "summary.json" in answer.err
