"""A consortium changes: a hospital comes, a person comes, certificates and the root are renewed."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from fedbrats.admin.kits import open_kit
from fedbrats.admin.provision.builds import current_kits, files_of
from fedbrats.admin.provision.consortium import add_participant, build_kits, read_project
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from tests.provisioning.provisioned import FEDBRATS

SERVER = "fl.brain-consortium.example"
NEW_SITE = ("add-site", "hospital-6", "--org", "sixth", "--data", "/data/brats", "--cases", "50")


def test_a_hospital_that_comes_later_joins_the_same_consortium(consortium):
    before, after = consortium("show"), consortium(*NEW_SITE)
    assert set(after["participants"]) - set(before["participants"]) == {"hospital-6"}
    assert after["root_fingerprint"] == before["root_fingerprint"]
    for name, entry in before["participants"].items():
        assert after["participants"][name] == entry, "a participant of before has another certificate"


def test_adding_keeps_the_comments_of_the_project(consortium):
    path = consortium.folder / "project.yml"
    before = path.read_text()
    consortium(*NEW_SITE)
    assert path.read_text().startswith(before.rstrip("\n"))
    assert yaml.safe_load(path.read_text())["participants"][-1]["name"] == "hospital-6"


def test_an_entry_that_no_build_accepts_is_taken_back_and_the_corrected_one_works(consortium):
    path = consortium.folder / "project.yml"
    before = path.read_text()
    words = ["provision", "add-user", "reader@sixth.example", "--org", "no org", "--role", "member"]
    done = subprocess.run(
        [FEDBRATS, *words, "--project", "project.yml"], cwd=consortium.folder, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no org" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text() == before
    consortium("add-user", "reader@sixth.example", "--org", "sixth", "--role", "member")


def test_a_hospital_without_a_case_is_wrong_usage(tmp_path, capsys):
    words = ["--org", "sixth", "--data", "/data", "--cases", "0", "--project", str(tmp_path / "project.yml")]
    with pytest.raises(SystemExit):
        main(["provision", "add-site", "hospital-6", *words])
    assert "--cases: '0' is not a whole number from 1" in capsys.readouterr().err


def test_a_consortium_that_registers_no_cases_registers_none_of_a_new_hospital(consortium):
    path = consortium.folder / "project.yml"
    path.write_text("".join(line for line in path.open() if "registered_cases:" not in line))
    consortium(*NEW_SITE)
    assert "registered_cases" not in yaml.safe_load(path.read_text())["participants"][-1]


def test_a_person_comes_later(consortium):
    consortium("add-user", "reader@sixth.example", "--org", "sixth", "--role", "member")
    kit = open_kit(consortium.folder / "provisioned" / "brain_consortium" / "prod_01" / "reader@sixth.example")
    assert (kit.name, kit.organisation, kit.role) == ("reader@sixth.example", "sixth", "member")


def test_a_private_key_lies_in_one_folder_after_two_builds_a_new_site_and_a_renewal(consortium):
    """What a build has not changed it does not write; what a later one replaced is retired."""
    base = consortium.folder / "provisioned" / "brain_consortium"
    people = [name for name, entry in consortium("show")["participants"].items() if entry["kind"] == "admin"]
    assert consortium("build")["changes"] == {}
    changes = consortium(*NEW_SITE)["changes"]
    assert changes.pop("hospital-6")["what"] == "new kit"
    assert changes.pop(SERVER)["files"] == ["local/consortium.json", "local/fedbrats.json"]
    assert {name: entry["files"] for name, entry in changes.items()} == {
        name: ["local/consortium.json"] for name in people
    }
    files = files_of(current_kits(read_project(consortium.folder / "project.yml"), base.parent)[SERVER])
    assert "hospital-6" in files["local/fedbrats.json"].read_text(), "a packed kit has the files of later builds"
    assert files["startup/server.key"].is_relative_to(base / "prod_00")
    old, started = (base / "prod_00" / name for name in ("hospital-north", "hospital-south"))
    (started / "log.txt").touch()
    renewed = consortium("renew", old.name, started.name)["changes"]
    assert {name: entry["what"] for name, entry in renewed.items()} == dict.fromkeys(
        (old.name, started.name), "new startup"
    )
    listed = consortium("retire")
    assert [Path(path).name for path in listed["kits"]] == [old.name]
    assert [Path(path).name for path in listed["started"]] == [started.name]
    assert (old / "startup" / "client.key").is_file(), "it lists, and removes nothing"
    consortium("retire", "--yes")
    assert [path.name for path in old.rglob("*")] == ["startup", "client.crt"]
    (started / "startup" / "client.key").unlink()
    holders = [path.parents[1].name for path in base.glob("prod_*/*/startup/*.key")]
    assert sorted(holders) == sorted(consortium("show")["participants"])
    assert consortium("revoke", "hospital-north")["certificates"] == 2, "the retired kit's too"


def test_another_port_replaces_no_private_key(consortium, capsys):
    path = consortium.folder / "project.yml"
    path.write_text(path.read_text().replace("port: 8002", "port: 8012"))
    places = ["--project", str(path), "--out", str(consortium.folder / "provisioned")]
    assert main(["provision", "build", *places]) == 0
    said = capsys.readouterr().out
    assert "new startup" in said
    assert "older kits have private keys" not in said
    assert "the root's private key is not encrypted" in said
    assert len(consortium("retire")["kits"]) > 5, "the kits of the old port may go all the same"


def test_renewing_one_leaves_the_others_and_the_root(consortium):
    before, after = consortium("show"), consortium("renew", "hospital-north")
    changed = {
        name
        for name, entry in before["participants"].items()
        if after["participants"][name]["fingerprint"] != entry["fingerprint"]
    }
    assert changed == {"hospital-north"}
    assert after["root_fingerprint"] == before["root_fingerprint"]


def test_renewing_the_root_renews_everybody_and_keeps_the_old_state(consortium):
    before, after = consortium("show"), consortium("renew", "--root")
    assert after["root_fingerprint"] != before["root_fingerprint"]
    for name, entry in before["participants"].items():
        assert after["participants"][name]["fingerprint"] != entry["fingerprint"]
    assert list((consortium.folder / "provisioned" / "brain_consortium").glob("state-retired-*"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add-site", "hospital-north", "--org", "x", "--data", "/d", "--cases", "1"), "already has a participant"),
        (("renew", "nobody"), "nobody never had a certificate"),
        (("renew",), "name the participants whose certificates"),
        (("build", "--project", "missing.yml"), "cannot read the project missing.yml"),
        (("show", "--out", "elsewhere"), "no kits were built in elsewhere"),
    ],
)
def test_bad_input_ends_in_one_sentence(consortium, words, sentence):
    project = () if "--project" in words else ("--project", "project.yml")
    done = subprocess.run(
        [FEDBRATS, "provision", *words, *project], cwd=consortium.folder, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_what_flare_says_of_a_project_is_one_sentence(consortium):
    path = consortium.folder / "project.yml"
    path.write_text(path.read_text().replace("root_valid_days: 1095", "root_valid_days: 10").replace("300", "5"))
    done = subprocess.run(
        [FEDBRATS, "provision", "build", "--project", "project.yml"],
        cwd=consortium.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "cannot be provisioned" in done.stderr
    assert "root_valid_days=10" in done.stderr
    assert "raised during provision" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_project_with_another_last_section_is_left_as_it_is(tmp_path):
    from fedbrats.errors import ConfigurationError

    path = tmp_path / "project.yml"
    path.write_text("participants:\n  - {name: a, type: server, org: o}\nname: x\n")
    with pytest.raises(ConfigurationError, match="must be the last section"):
        add_participant(path, {"name": "b", "type": "client", "org": "o"})
    assert path.read_text().endswith("name: x\n")


def test_a_full_disk_is_said_in_the_systems_words_alone(consortium, monkeypatch):
    from nvflare.lighter.impl.static_file import StaticFileBuilder

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(StaticFileBuilder, "build", fail)
    project = read_project(consortium.folder / "project.yml")
    with pytest.raises(ConfigurationError, match=r"cannot be provisioned: No space left on device$"):
        build_kits(project, consortium.folder / "elsewhere")
