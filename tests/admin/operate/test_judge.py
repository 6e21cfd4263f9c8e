"""Whatever is wrong with a project.yml is said before a key is made, all of it at once and with its line."""

import pytest

from fedbrats.admin.provision.judge import check_project, judge_project
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.shipped import shipped_dir

GOOD = (shipped_dir() / "provisioning" / "project.yml").read_text()
STATIC_ARGUMENTS = """args:
      config_folder: config
      scheme: grpc
      require_signed_jobs: true
"""


@pytest.fixture
def project(tmp_path):
    def write(*changes):
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "project.yml"
        path.write_text(text)
        return path

    return write


def line_of(path, text):
    return path.read_text().splitlines().index(text) + 1


def test_the_projects_that_are_shipped_are_good(project):
    check_project(project())


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("role: lead", "role: leader", "has the role 'leader', expected one of project_admin"),
        ("role: project_admin", "role: lead", "nobody has the role project_admin"),
        ("admin_port: 8002", "admin_port: 8003", "admin_port 8003 differs from fed_learn_port 8002"),
        ("fed_learn_port: 8002", "fed_learn_port: 80020", "expected a number from 1 to 65535"),
        ("study_days: 300", "study_days: 400", "the study lasts 400 days"),
        ("root_valid_days: 1095", "root_valid_days: 100", "and the root 100; set root_valid_days"),
        ("org: north", "org: north-hospital", "organisation 'north-hospital'"),
        ("name: fl.brain-consortium.example", "name: my_server", "expected a host name"),
        ("name: hospital-south", "name: hospital-north", "2 participants have the name hospital-north"),
        ("type: server", "type: client", "0 participants of type server"),
        ("registered_cases: 120", "registered_cases: 0", "site hospital-north needs a whole number from 1"),
        ("min_cases: 5", "min_case: 5", 'unknown entry "min_case"'),
        ("require_signed_jobs: true", "require_signed_jobs: false", "needs require_signed_jobs: true"),
        ("  - path: fedbrats.admin.provision.builders.StartupSigner\n", "", "StartupSigner is missing"),
        ("description: federated", "description: [federated", "this is no YAML"),
        ("type: server", "type: [server]", "is of type ['server']"),
        ("builders:", "builders: 5\nothers:", "StaticFileBuilder is missing"),
        ("registered_cases: 120", "registred_cases: 120", 'entry "registred_cases"; did you mean registered_cases?'),
        ("    fedbrats: {data_dir", "    fedbrat: {data_dir", 'unknown entry "fedbrat"; did you mean fedbrats?'),
        ("role: lead", "rolle: lead", 'lead@university.example has an unknown entry "rolle"; did you mean role?'),
        ("storage_dir:", "storage:", "fedbrats has unknown entries storage"),
        ("study_days: 300", "study_day: 300", 'has no argument "study_day"; did you mean study_days?'),
        ("template_file: ", "templates: ", 'WorkspaceBuilder has no argument "templates"'),
        (STATIC_ARGUMENTS, "args: [1]\n", "needs require_signed_jobs: true"),
        (STATIC_ARGUMENTS, "args: [1]\n", "has a list as args"),
        ("name: brain_consortium", "name: ../../elsewhere", "the project cannot have the name ../../elsewhere"),
        ("name: brain_consortium", "name: [a]", "the project cannot have the name ['a']"),
        ("root_valid_days: 1095", "root_valid_days: ten", "root_valid_days is ten, expected a whole number of days"),
        ("study_days: 300", "study_days: 1000000000", "study_days is 1000000000, expected a whole number of days"),
        (
            "builders.StartupSigner",
            "builders.StartSigner",
            'no builder "fedbrats.admin.provision.builders.StartSigner"',
        ),
        ("builders:\n", "builders:\n  - nothing\n", "1 of the builders have no path"),
    ],
)
def test_what_is_wrong_has_a_sentence_and_a_line(project, old, new, sentence):
    with pytest.raises(ConfigurationError, match=r"project.yml, line \d+: ") as caught:
        check_project(project((old, new)))
    assert sentence in str(caught.value)


def test_a_file_that_is_no_text_has_a_sentence(tmp_path):
    (tmp_path / "project.yml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigurationError, match="is no text in UTF-8"):
        check_project(tmp_path / "project.yml")


BOMB = "".join(
    f"{name}: &{name} [{', '.join(f'*{of}' for of in before * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("api_version: 3", "api_version: 2026-13-45", "a date or a number that cannot be: month must be in 1..12"),
        ("fed_learn_port: 8002", f"fed_learn_port: 1{'0' * 5000}", "a date or a number that cannot be: "),
        ("name: brain_consortium", f"name: {'[' * 3000}{']' * 3000}", "is nested too deeply"),
        ("name: brain_consortium", "<<: {name: brain_consortium}", "takes its name or its participants from a merge"),
        ("api_version: 3", f"a: &a [x, x]\n{BOMB}name: *i", "has more than 100000 entries, its aliases"),
        ("api_version: 3", "api_version: &a [*a]", "has more than 100000 entries, its aliases"),
    ],
)
def test_a_file_that_only_looks_like_yaml_has_a_sentence(project, old, new, sentence):
    path = project((old, new))
    with pytest.raises(ConfigurationError, match=sentence):
        check_project(path)


def test_a_project_whose_name_is_a_path_writes_nothing_elsewhere(project, tmp_path, capsys):
    """Its root's private key would lie outside the folder of the builds."""
    path = project(("name: brain_consortium", "name: ../elsewhere"))
    for action in (["build"], ["show"], ["lock"]):
        assert main(["provision", *action, "--project", str(path), "--out", str(tmp_path / "out")]) == 1
        assert "the project cannot have the name ../elsewhere" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["project.yml"]


def test_all_of_it_is_said_at_once_with_its_line_and_no_key_is_made(project, tmp_path, capsys):
    path = project(("role: lead", "role: leader"), ("org: south", "org: so-uth"), ("admin_port: 8002", "admin_port: 1"))
    assert main(["provision", "build", "--project", str(path), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.count("project.yml, line ") == 3
    found = dict(judge_project(path))
    assert "'leader'" in found[line_of(path, "  - name: lead@university.example")]
    assert not (tmp_path / "out").exists()


def test_a_slip_of_the_pen_has_the_line_of_its_own(project):
    path = project(("registered_cases: 120", "registred_cases: 120"))
    assert "registred_cases" in dict(judge_project(path))[line_of(path, "    registred_cases: 120")]


def test_a_project_is_judged_without_a_build(project, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["provision", "build", "--check", "--project", str(project()), "--out", str(out)]
    assert main([*words, "--json"]) == 0
    assert '"doubts": []' in capsys.readouterr().out
    assert main(["provision", "build", "--check", "--project", str(project(("role: lead", "role: x")))]) == 1
    assert not out.exists()


def test_a_consortium_without_a_register_is_told_so(project, capsys):
    path = project()
    path.write_text("".join(line for line in path.open() if "registered_cases: " not in line))
    assert main(["provision", "build", "--check", "--project", str(path)]) == 0
    assert "the server will have no register of cases" in capsys.readouterr().err
