"""Datalists, site files, job variables and reports that are wrong: one sentence, never a traceback, never believed."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.data.cases.datalist import DATALIST_NAME, SECTIONS, read_datalist
from fedbrats.errors import ConfigurationError, DataError
from fedbrats.jobs.plan import check_settings
from fedbrats.site.site_file import SITE_FILE, read_site_facts
from tests.generated.asking import GENERATED, ask, attempt

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**18), 2**64]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "../../../etc/passwd", "/dev/zero", "\ud800", "{site}", "{num_rounds}", "x" * 5000]),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def mutate(document: Any, draw: st.DrawFn) -> Any:
    """Replace, remove or double something somewhere in a document."""
    document = deepcopy(document)
    node, parents = document, []
    while isinstance(node, dict | list) and node and (not parents or draw(st.integers(0, 3))):
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        parents.append((node, draw(st.sampled_from(keys))))
        node = node[parents[-1][1]]
    parent, key = parents[-1]
    action = draw(st.sampled_from(["replace", "remove", "double"]))
    if action == "replace":
        parent[key] = draw(ANYTHING)
    elif action == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.append(deepcopy(parent[key]))
    else:
        parent[f"{key}2"] = deepcopy(parent[key])
    return document


@pytest.fixture(scope="module")
def sites(phantom_sites: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "sites"
    shutil.copytree(phantom_sites, folder, symlinks=True)
    shutil.rmtree(folder / "site-1")
    return folder


@GENERATED
@given(data=st.data())
def test_a_datalist_is_understood_or_refused(sites, data):
    path = sites / "site-2" / DATALIST_NAME
    before = path.read_text()
    path.write_text(json.dumps(mutate(json.loads(before), data.draw)))
    try:
        datalist, refused = attempt(read_datalist, path.parent)
        if datalist is None:
            assert str(path) in refused or "label convention" in refused
            return
        assert len({case.name for case in datalist.cases}) == len(datalist.cases)
        for case in datalist.cases:
            assert isinstance(case.name, str)
            assert isinstance(case.patient, str)
            for file in case.files.values():
                file.exists()  # a path that the system can be asked about
        original = json.loads(before)
        assert len(datalist.cases) <= sum(len(original[section]) for section in SECTIONS) + 1
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"training": 5}', b'{"a": NaN}']
)
def test_a_datalist_that_is_none_ends_in_one_sentence(tmp_path, content):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / DATALIST_NAME).write_bytes(content)
    answer = ask("train", tmp_path, "--out", tmp_path / "out")
    assert answer.status == 1
    assert len(answer.err.splitlines()) == 1


def test_two_cases_of_one_name_are_not_taken_for_each_other(sites):
    """Each name stood for the last of its cases: the first was never trained on, the last twice."""
    path = sites / "site-2" / DATALIST_NAME
    before = path.read_text()
    document = json.loads(before)
    document["training"][1]["case"] = document["training"][0]["case"]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="under one name; a name stands for one case"):
        read_datalist(path.parent)
    path.write_text(before)


GOOD_SITE = {
    "data_dir": "data", "cache_dir": "cache", "personal_dir": "personal", "device": "cpu", "threads": 1, "workers": 1,
    "min_cases": 5, "max_bad_share": 0.5,
}  # fmt: skip


@GENERATED
@given(data=st.data())
def test_a_site_file_is_understood_or_refused(tmp_path_factory, data):
    local = tmp_path_factory.mktemp("kit") / "local"
    local.mkdir()
    (local / SITE_FILE).write_text(json.dumps(mutate(GOOD_SITE, data.draw)))
    facts, refused = attempt(read_site_facts, local, "site-1")
    if facts is None:
        assert "site-1" in refused
        return
    for folder in (facts.data_dir, facts.cache_dir, facts.personal_dir):
        folder.exists()
    assert 0 <= facts.max_bad_share <= 1
    assert all(1 <= value <= 100_000 for value in (facts.threads or 1, facts.workers, facts.min_cases))


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"[1]", b"null", b'"text"'])
def test_a_site_file_that_is_none_ends_in_one_sentence(tmp_path, content):
    (tmp_path / SITE_FILE).write_bytes(content)
    with pytest.raises(ConfigurationError, match="site-1"):
        read_site_facts(tmp_path, "site-1")


NAMES = (
    *("num_rounds", "min_clients", "seed", "network", "personal", "learning_rate", "batch_size", "patch_size"),
    *("spacing_mm", "volume_shape", "local_steps", "optimiser", "poll_interval_s", "no_such_variable", "executors"),
)


@GENERATED
@given(
    name=st.sampled_from(NAMES),
    value=st.one_of(
        LEAVES.map(lambda leaf: json.dumps(leaf, ensure_ascii=True)),
        st.sampled_from(
            ["NaN", "-Infinity", "1e999", "-1", "0", "null", "[]", "[1,2]", "[8,8,8.5]", "{}", "[" * 10_000]
        ),
        st.text(max_size=12),
    ),
)
def test_a_variable_is_set_to_what_it_can_be_or_refused(tmp_path_factory, name, value):
    out = tmp_path_factory.mktemp("jobs")
    answer = ask("job", "build", "fedavg", "--out", out, "--set", f"{name}={value}")
    if answer.status:
        assert not (out / "fedavg").exists()
        return
    for path in (out / "fedavg" / "app" / "config").glob("*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN and Infinity are not JSON


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_rounds": None}, "num_rounds is null"),
        ({"num_rounds": 0}, "num_rounds is 0"),
        ({"num_rounds": 10**400}, "num_rounds is 1000"),
        ({"seed": -1}, "seed is -1"),
        ({"min_clients": 2.5}, "min_clients is 2.5"),
        ({"network": "huge"}, "network 'huge' is not known"),
        ({"personal": "head."}, "matches no parameter"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"patch_size": [4, 4, 4]}, "three whole numbers from 8"),
        ({"learning_rate": None}, "learning_rate is null"),
    ],
)
def test_what_a_job_is_refused_for_before_anything_starts(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        check_settings("fedavg", settings)
