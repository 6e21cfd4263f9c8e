"""What is in a kit: policy, site facts, jobs, keys and the README, as the consortium agreed on."""

import json
import re
import shutil
import stat
import subprocess

import pytest
import yaml

from fedbrats.admin.kits import open_kit
from fedbrats.admin.provision.builders import REQUESTS_LOGGER, _register_of, share_settings
from fedbrats.admin.provision.builds import newest_build
from fedbrats.admin.provision.consortium import build_kits, export_authority, read_project
from fedbrats.admin.provision.root_key import state_dir
from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.policy import COMM_CONFIG, SERVER_CLASSES, SITE_CLASSES
from fedbrats.jobs.build import list_jobs
from fedbrats.shipped import shipped_dir
from fedbrats.site.site_file import read_server_facts, read_site_facts
from tests.provisioning.provisioned import FEDBRATS

SERVER = "fl.brain-consortium.example"
SITES = ["hospital-central", "hospital-east", "hospital-north", "hospital-south", "hospital-west"]
PEOPLE = {
    "admin@university.example": "project_admin",
    "lead@university.example": "lead",
    "statistician@university.example": "member",
    "it@north.example": "org_admin",
}


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", [SERVER, *SITES])
def test_every_kit_enforces_the_allow_list_and_the_rules(kits, name):
    resources = read(kits / name / "local" / "resources.json.default")
    assert resources["class_list_enforcement_mode"] == "enforce"
    assert resources["class_allow_list"] == list(SERVER_CLASSES if name == SERVER else SITE_CLASSES)
    assert not [entry for entry in resources["class_allow_list"] if entry.endswith((".", "*"))]
    assert "fedbrats.flare.kit.job_rules.NoPaths" in [entry["path"] for entry in resources["components"]]
    assert resources["allow_log_streaming"] is False


@pytest.mark.parametrize("name", [SERVER, *SITES])
def test_every_kit_guards_its_cells_before_anything_else_is_built(kits, name):
    """What FLARE builds first is there before it opens a connection."""
    resources = read(kits / name / "local" / "resources.json.default")
    assert resources["components"][0]["path"] == "fedbrats.flare.kit.cell_guard.CellGuard"
    assert read(kits / name / "local" / "comm_config.json") == COMM_CONFIG


@pytest.mark.parametrize("name", [SERVER, *SITES])
def test_nobody_may_bring_code(kits, name):
    permissions = read(kits / name / "local" / "authorization.json.default")["permissions"]
    assert set(permissions) == {"project_admin", "org_admin", "lead", "member"}
    assert all(isinstance(rights, dict) and rights.get("byoc", "none") == "none" for rights in permissions.values())


def test_flare_reads_the_authorization_as_it_is_meant(kits):
    from nvflare.fuel.sec.authz import AuthzContext, Person
    from nvflare.security.security import FLAuthorizer

    authorizer = FLAuthorizer("north", read(kits / "hospital-north" / "local" / "authorization.json.default"))

    def may(role, right, org="university"):
        return authorizer.authorize(AuthzContext(right, Person("somebody", org, role)))[0]

    assert [role for role in ("project_admin", "org_admin", "lead", "member") if may(role, "submit_job")] == [
        "project_admin",
        "lead",
    ]
    assert not any(may(role, "byoc") for role in ("project_admin", "org_admin", "lead", "member"))
    for role in ("project_admin", "org_admin", "lead", "member"):
        assert not may(role, "cat"), "a stranger reads files of a hospital's kit"
    assert not may("org_admin", "cat", org="north")
    assert may("member", "list_jobs")
    assert not may("member", "download_job")


@pytest.mark.parametrize(("name", "config"), [(SERVER, "fed_server.json"), (SITES[0], "fed_client.json")])
def test_jobs_must_be_signed_and_connections_mutual(kits, name, config):
    text = (kits / name / "startup" / config).read_text()
    assert json.loads(text)["require_signed_jobs"] is True
    assert '"connection_security": "mtls"' in text


def test_a_site_has_its_facts_and_a_scope_that_no_job_can_leave(kits):
    local = kits / "hospital-north" / "local"
    facts = read_site_facts(local, "hospital-north")
    assert (str(facts.data_dir), facts.min_cases) == ("/data/brats", 5)
    privacy = read(local / "privacy.json")
    assert privacy["default_scope"] in [scope["name"] for scope in privacy["scopes"]]
    assert all(scope["task_result_filters"] for scope in privacy["scopes"])


def test_the_server_keeps_its_jobs_and_the_register(kits):
    local = kits / SERVER / "local"
    assert "/tmp/" not in (local / "resources.json.default").read_text()
    assert "/var/lib/fedbrats/jobs" in (local / "resources.json.default").read_text()
    assert read_server_facts(local).registered_cases == {
        "hospital-north": 120,
        "hospital-south": 80,
        "hospital-east": 60,
        "hospital-west": 40,
        "hospital-central": 30,
    }


def test_the_server_logs_who_asked_for_what(kits):
    log = read(kits / SERVER / "local" / "log_config.json.default")
    assert log["loggers"][REQUESTS_LOGGER]["level"] == "DEBUG"
    assert REQUESTS_LOGGER not in read(kits / SITES[0] / "local" / "log_config.json.default")["loggers"]


@pytest.mark.parametrize(("name", "role"), PEOPLE.items())
def test_who_may_submit_finds_the_jobs_in_the_console(kits, name, role):
    assert open_kit(kits / name).role == role
    jobs = {path.name for path in (kits / name / "transfer").iterdir()}
    assert jobs == (
        {job.name for job in list_jobs() if not job.needs_models} if role in ("project_admin", "lead") else set()
    )


def test_every_kit_says_to_its_reader_what_to_do(kits):
    for kit in kits.iterdir():
        text = (kit / "README.md").read_text()
        assert f"{kit.name}" in text
        assert not re.search(r"\$[a-z]", text), "a word was not filled in"


def test_private_keys_are_their_owners_alone(kits, provisioned):
    for key in kits.glob("*/startup/*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((provisioned / "provisioned").stat().st_mode) == 0o700


def test_the_roots_private_key_is_its_owners_alone(provisioned, tmp_path):
    """The state holds it, and so does the folder that `nvflare cert approve` takes, also where it was there before."""
    project = read_project(provisioned / "project.yml")
    state = state_dir(project, provisioned / "provisioned")
    authority = tmp_path / "authority"
    authority.mkdir(mode=0o755)
    (authority / "rootCA.key").write_text("an older one")
    export_authority(project, provisioned / "provisioned", authority)
    assert "PRIVATE KEY" in (authority / "rootCA.key").read_text()
    for folder, key in ((state, state / "cert.json"), (authority, authority / "rootCA.key")):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_an_authority_needs_a_server(provisioned, tmp_path):
    project = read_project(provisioned / "project.yml")
    project["participants"] = [entry for entry in project["participants"] if entry["type"] != "server"]
    with pytest.raises(ConfigurationError, match="no participant of type server"):
        export_authority(project, provisioned / "provisioned", tmp_path / "authority")


def test_the_newest_kits_are_those_of_the_highest_number(tmp_path):
    for name in ("prod_00", "prod_99", "prod_100", "prod_old", "state"):
        (tmp_path / "study" / name).mkdir(parents=True)
    assert newest_build({"name": "study"}, tmp_path).name == "prod_100"


def test_a_startup_folder_tells_when_it_was_altered(kits, tmp_path):
    from fedbrats.admin.operate.doctor.credentials import check

    copy = shutil.copytree(kits / "hospital-north", tmp_path / "kit")
    assert {finding.state for finding in check(open_kit(copy)) if finding.check == "signature"} == {"ok"}
    script = copy / "startup" / "sub_start.sh"
    script.write_text(script.read_text() + "\n")
    assert {finding.state for finding in check(open_kit(copy)) if finding.check == "signature"} == {"failed"}


def test_no_site_of_a_consortium_can_be_told_to_misbehave(tmp_path):
    """No site file knows the entry; provisioning refuses it as any other unknown one, and leaves no kits."""
    project = yaml.safe_load((shipped_dir() / "provisioning" / "project.yml").read_text())
    site = next(participant for participant in project["participants"] if participant["type"] == "client")
    site["fedbrats"]["misbehaviour"] = {site["name"]: "sign-flip"}
    (tmp_path / "project.yml").write_text(yaml.safe_dump(project))
    command = [FEDBRATS, "provision", "build", "--project", "project.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert 'unknown entry "misbehaviour"' in done.stderr
    assert not list(tmp_path.rglob("startup"))


def a_project(**of_north):
    """provisioning/project.yml, with other properties of its first hospital; None takes one away."""
    project = yaml.safe_load((shipped_dir() / "provisioning" / "project.yml").read_text())
    site = next(participant for participant in project["participants"] if participant["type"] == "client")
    site.update(of_north)
    return project


@pytest.mark.parametrize("cases", [None, 0, -3, 2.5, "120", True, [120]])
def test_one_site_without_a_usable_register_does_not_leave_the_others_without_a_limit(tmp_path, cases):
    with pytest.raises(ConfigurationError, match=r"registered_cases.*site hospital-north needs a whole number from 1"):
        build_kits(a_project(registered_cases=cases), tmp_path)
    assert not list(tmp_path.rglob("startup"))


def test_a_consortium_may_agree_on_no_register_at_all():
    from nvflare.lighter.provision import prepare_project

    assert len(_register_of(prepare_project(a_project()))) == len(SITES)
    project = a_project()
    for participant in project["participants"]:
        participant.pop("registered_cases", None)
    assert _register_of(prepare_project(project)) == {}


def test_each_job_gets_the_settings_that_it_has():
    shared = share_settings(["fedavg", "trimmed_mean"], {"num_rounds": 9, "trim": 0.3})
    assert shared == {"fedavg": {"num_rounds": 9}, "trimmed_mean": {"num_rounds": 9, "trim": 0.3}}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"rounds": 9}, "no job has a variable rounds; there are: .*num_rounds"), ({"num_rounds": 0}, "num_rounds is 0")],
)
def test_a_setting_that_no_job_can_have_is_refused(tmp_path, settings, sentence):
    project = a_project()
    (builder,) = [each for each in project["builders"] if each["path"].endswith("FedbratsBuilder")]
    builder["args"]["settings"] = settings
    with pytest.raises(ConfigurationError, match=sentence):
        build_kits(project, tmp_path)


@pytest.mark.parametrize("facts", [{"storage": "/data"}, {"storage_dir": "/data", "registered_cases": {}}, ["/data"]])
def test_what_the_server_has_no_entry_for_is_refused(tmp_path, facts):
    project = a_project()
    (server,) = [each for each in project["participants"] if each["type"] == "server"]
    server["fedbrats"] = facts
    with pytest.raises(ConfigurationError, match=f"{SERVER}.*unknown entries.*known are mlflow_uri, storage_dir"):
        build_kits(project, tmp_path)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"name": "tum", "type": "client", "org": "tum-muc"},
            "organisation 'tum-muc' .* no dash",
        ),
        ({"name": "tum", "type": "client", "org": "TU München"}, "organisation 'TU München'"),
        ({"name": "tum", "type": "client"}, "organisation None"),
        ({"name": "köln", "type": "client", "org": "uk"}, "'köln' cannot have this name: expected letters a-z"),
        ({"name": "site 1", "type": "client", "org": "uk"}, "'site 1' cannot have this name"),
        ({"name": "s" * 65, "type": "client", "org": "uk"}, "no more than 64 characters"),
        ({"name": "lead", "type": "admin", "org": "uk"}, "expected an e-mail address"),
        ({"name": "my_server", "type": "server", "org": "uk"}, "expected a host name"),
        ({"name": "x", "type": "hospital", "org": "uk"}, "is of type 'hospital', expected one of client"),
    ],
)
def test_names_that_a_certificate_cannot_carry_are_refused_with_their_participant(tmp_path, entry, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        build_kits({"name": "study", "participants": [entry], "builders": []}, tmp_path)
    assert "[" not in str(caught.value)
    assert "regex" not in str(caught.value)
