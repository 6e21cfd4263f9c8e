"""What the text of a job's configurations may refer to: variables of that very file, and nothing of the machine's."""

import json
from pathlib import Path

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.configuration_text import MOST_BYTES, MOST_REFERENCES, check_configurations, check_text
from fedbrats.jobs.build import CONFIGURATIONS, list_jobs
from tests.security.attacks import attack

HOSTILE = (
    *("{$HOME}", "{$X[0]}", "{WORKSPACE}", "{seed:>9999}", "{seed.__class__}", "{@x:y=z}", "${secret:X}"),
    *("${secret:file:/etc/passwd}", "x{seed}", "{seed}{seed}", "{seed", "seed}", "{}", "{0}", "{seed!r}", " {seed} "),
    *("{server}", "{components}", "{nothing}", "{{seed}}", "$HOME", "@seed"),
)


@pytest.mark.parametrize("name", [job.name for job in list_jobs()])
def test_our_own_jobs_pass(name, build_any_job):
    check_configurations(build_any_job(name) / "app" / "config")


@attack(
    "read the environment or a secret, or fill the memory, by a text in a job's configuration",
    who="a lead",
    happens="refused by the server and by the hospital, before FLARE resolves anything",
    says="config_fed_server.json: '{$HOME}' is refused; a text may refer to a variable at the top of this file",
)
@pytest.mark.parametrize("source", CONFIGURATIONS)
def test_each_text_of_a_job_in_turn_refers_to_what_is_not_its_own(build_any_job, source):
    text = (build_any_job("contribution") / "app" / "config" / source).read_text()
    places = list(_places(json.loads(text)))
    assert len(places) > 40
    for place in places:
        for word in HOSTILE:
            document = json.loads(text)
            _put(document, place, word)
            with pytest.raises(ConfigurationError, match=f"{source}: .* is refused; a text may refer to a variable"):
                check_text(json.dumps(document), source)


@pytest.mark.parametrize("word", HOSTILE)
def test_a_key_is_no_reference(word):
    for document in ({"seed": 0, "components": {word: 1}}, {"seed": 0, word: {}}):
        with pytest.raises(ConfigurationError, match="is refused"):
            check_text(json.dumps(document), "it")


def test_references_do_not_grow_without_end():
    chain = {"a": ["{b}"] * 3, "b": ["{c}"] * 3, "c": 0}
    with pytest.raises(ConfigurationError, match="the variable a refers to b, which refers on"):
        check_text(json.dumps(chain), "it")
    with pytest.raises(ConfigurationError, match="the variable a refers to a"):
        check_text('{"a": "{a}"}', "it")
    with pytest.raises(ConfigurationError, match=f"of at most {MOST_REFERENCES}"):
        check_text(json.dumps({"a": 0, "components": ["{a}"] * (MOST_REFERENCES + 1)}), "it")


@pytest.mark.parametrize("name", ["environment.json", "config_fed_server.yml", "more.txt"])
def test_a_job_brings_its_two_configurations_and_no_other_file(tmp_path, name):
    _write(tmp_path, "{}")
    (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigurationError, match=f"holds .* and .*, but this one has also .*{name}"):
        check_configurations(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 60000, b'"' + b"x" * MOST_BYTES + b'"'])
def test_what_cannot_be_read_is_refused(tmp_path, content):
    _write(tmp_path, "{}")
    (tmp_path / CONFIGURATIONS[0]).write_bytes(content)
    with pytest.raises(ConfigurationError, match=CONFIGURATIONS[0]):
        check_configurations(tmp_path)


def test_a_job_without_configurations_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no folder config"):
        check_configurations(tmp_path / "config")


def _write(folder: Path, text: str) -> None:
    for name in CONFIGURATIONS:
        (folder / name).write_text(text)


def _places(value, place=()):
    """Where each text of a document stands."""
    if isinstance(value, str):
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from _places(each, (*place, key))


def _put(document, place, word):
    for key in place[:-1]:
        document = document[key]
    document[place[-1]] = word
