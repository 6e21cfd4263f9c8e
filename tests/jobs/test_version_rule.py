"""Two versions of the package: which work together, what is refused, and in which words."""

import json
import re
import shutil

import pytest

import fedbrats
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.versions import check_config_version
from fedbrats.jobs.build import CONFIGURATIONS, build_job, read_variables
from fedbrats.jobs.version_rule import MADE_BY, Version, read_version, this_version, why_apart, why_refused


@pytest.mark.parametrize(
    ("older", "newer", "together"),
    [
        (Version("0.1.0", "0.1.0"), Version("0.1.0", "0.1.0"), True),
        (Version("0.1.0", "0.1.0"), Version("0.1.1", "0.1.0"), True),
        (Version("0.1.0", "0.1.0"), Version("0.2.0", "0.2.0"), False),
        (Version("0.9.0", "0.1.0"), Version("0.10.0", "0.9.0"), True),
        (Version("0.9.0", "0.1.0"), Version("0.10.0", "0.9.1"), False),
        (Version("0.2.0.dev1", "0.1.0"), Version("0.2.0", "0.1.0"), True),
        (Version("0.2.0rc1", "0.1.0"), Version("0.2.0", "0.2.0"), False),
    ],
)
def test_the_newer_of_two_decides_whichever_is_asked(older, newer, together):
    assert (why_apart(older, newer) is None, why_apart(newer, older) is None) == (together, together)


@pytest.mark.parametrize(
    "said",
    [None, 1, [], {}, "", "x", "1.0\n", "1" * 41, {"version": None}, {"version": "0.1", "oldest": "0.2"},
     {"version": 1}, {"version": "0.2", "oldest": None}, {"version": "٣.1"}],
)  # fmt: skip
def test_what_is_no_version_is_none(said):
    assert read_version(said) is None


def test_a_version_is_read_as_it_is_said():
    assert read_version(this_version().document()) == this_version()
    assert read_version("0.3.0") == read_version({"version": "0.3.0"}) == Version("0.3.0", "0.3.0")


def test_the_installed_version_is_no_older_than_the_oldest_that_it_works_with():
    assert this_version() == Version(fedbrats.__version__, fedbrats.__oldest__)
    assert read_version(this_version().document()), "or no job of this version would run"


@pytest.fixture
def as_version(monkeypatch):
    def be(version, oldest):
        monkeypatch.setattr(fedbrats, "__version__", version)
        monkeypatch.setattr(fedbrats, "__oldest__", oldest)

    return be


@pytest.mark.parametrize(
    ("here", "made_by", "words"),
    [
        (("0.1.0", "0.1.0"), ("0.3.0", "0.2.0"), "install fedbrats 0.3.0, or have the job built with 0.1.0"),
        (("0.3.0", "0.2.0"), ("0.1.0", "0.1.0"), "build it again with fedbrats 0.3.0, `fedbrats job build`"),
    ],
)
def test_a_refusal_is_one_sentence_that_says_what_to_do(as_version, here, made_by, words):
    as_version(*here)
    said = why_refused(Version(*made_by).document())
    assert words in said
    assert f"{made_by[0]} made it, and {here[0]} is installed here" in said
    assert "fedbrats 0.3.0 works with 0.2.0 or later, and not with 0.1.0" in said
    assert "\n" not in said


def test_a_job_says_who_made_it_in_both_configurations_and_is_judged_by_it(as_version, tmp_path):
    as_version("0.3.0", "0.2.0")
    job = build_job("fedavg", tmp_path)
    config = job / "app" / "config"
    for name in CONFIGURATIONS:
        assert json.loads((config / name).read_text())[MADE_BY] == {"version": "0.3.0", "oldest": "0.2.0"}
    assert MADE_BY not in read_variables(job)
    as_version("0.2.0", "0.1.0")
    check_config_version(config)
    as_version("0.1.9", "0.1.0")
    with pytest.raises(ConfigurationError, match=r"0\.3\.0 made it, and 0\.1\.9 is installed here"):
        check_config_version(config)


def test_a_job_that_was_built_before_jobs_said_so_is_judged_by_its_classes(tmp_path):
    config = shutil.copytree(build_job("fedavg", tmp_path), tmp_path / "copy") / "app" / "config"
    for name in CONFIGURATIONS:
        document = json.loads((config / name).read_text())
        del document[MADE_BY]
        (config / name).write_text(json.dumps(document))
    check_config_version(config)


@pytest.mark.parametrize("said", ["soon", {"version": "1.0", "oldest": "2.0"}, ["\x1b[2J"]])
def test_a_job_that_says_no_version_is_refused(said):
    sentence = why_refused(said)
    assert re.search(r"it says that .* made it, which is no version", sentence)
    assert sentence.isprintable()


def test_nobody_sets_who_made_a_job(tmp_path, capsys):
    assert main(["job", "build", "fedavg", "--out", str(tmp_path), "--set", f"{MADE_BY}=1"]) == 2
    assert f"no variable '{MADE_BY}'" in capsys.readouterr().err
