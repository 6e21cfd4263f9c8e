"""The doctor names what is wrong with a kit, what to do, and whose task it is."""

import json
import shutil
import socket
import threading

import pytest

from fedbrats.admin.kits import fingerprint, open_kit
from fedbrats.admin.operate.doctor import examine
from fedbrats.cli.main import main


@pytest.fixture
def kit(kits, tmp_path, phantom_sites):
    """The kit of a hospital whose data is there."""
    copy = shutil.copytree(kits / "hospital-north", tmp_path / "hospital-north")
    facts = {
        "data_dir": str(phantom_sites / "site-1"),
        "cache_dir": "cache",
        "personal_dir": "personal",
        "min_cases": 1,
    }
    edit(copy / "local" / "fedbrats.json", lambda document: document.update(facts))
    return copy


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def findings(kit, **options):
    return {finding.check: finding for finding in examine(open_kit(kit), offline=True, **options)}


def test_a_good_kit_fails_nothing(kit):
    assert [finding for finding in findings(kit).values() if finding.state == "failed"] == []


def test_it_names_no_case(kit, phantom_sites):
    cases = [path.name for path in (phantom_sites / "site-1").iterdir() if path.is_dir()]
    (phantom_sites / "site-1" / cases[0]).stat()
    text = json.dumps([finding.found + finding.remedy for finding in examine(open_kit(kit), offline=True)])
    assert not [case for case in cases if case in text]


def allow_everything(kit):
    edit(kit / "local" / "resources.json.default", lambda document: document.update(class_list_enforcement_mode="warn"))


def allow_code(kit):
    change = {"project_admin": "any"}
    edit(kit / "local" / "authorization.json.default", lambda document: document["permissions"].update(change))


def own_resources_without_rules(kit):
    resources = json.loads((kit / "local" / "resources.json.default").read_text())
    resources["components"].pop()
    (kit / "local" / "resources.json").write_text(json.dumps(resources))


def heard_by_everybody(kit):
    edit(kit / "local" / "resources.json.default", lambda document: document["components"].pop(0))


def open_ports(kit):
    (kit / "local" / "comm_config.json").unlink()


def open_scope(kit):
    edit(kit / "local" / "privacy.json", lambda document: document["scopes"].append({"name": "open"}))


def other_version(kit):
    path = kit / "local" / "constraints.txt"
    path.write_text(path.read_text().replace("nvflare==2.9.0", "nvflare==2.8.0"))


def other_key(kit):
    shutil.copyfile(kit.parent / "other.key", kit / "startup" / "client.key")


def edited_startup(kit):
    edit(kit / "startup" / "fed_client.json", lambda document: document.update(require_signed_jobs=False))


def missing_data(kit):
    edit(kit / "local" / "fedbrats.json", lambda document: document.update(data_dir="/nowhere"))


def gpu(kit):
    edit(kit / "local" / "fedbrats.json", lambda document: document.update(device="cuda:7"))


@pytest.mark.parametrize(
    ("breakage", "check", "owner"),
    [
        (allow_everything, "allow-list", "hospital IT"),
        (allow_code, "code in jobs", "hospital IT"),
        (own_resources_without_rules, "paths", "hospital IT"),
        (heard_by_everybody, "messages", "hospital IT"),
        (open_ports, "internal ports", "hospital IT"),
        (open_scope, "privacy", "hospital IT"),
        (other_version, "nvflare", "hospital IT"),
        (other_key, "private key", "project admin"),
        (edited_startup, "signature", "hospital IT"),
        (missing_data, "data", "hospital IT"),
        (gpu, "device", "hospital IT"),
    ],
)
def test_a_breakage_fails_with_a_remedy_and_an_owner(kit, kits, breakage, check, owner):
    shutil.copyfile(kits / "hospital-south" / "startup" / "client.key", kit.parent / "other.key")
    breakage(kit)
    finding = findings(kit)[check]
    assert (finding.state, finding.owner) == ("failed", owner)
    assert finding.remedy


def test_few_cases_are_told(kit):
    for least, state in ((2, "warning"), (50, "failed")):  # it has one validation case, and no fifty to train on
        edit(kit / "local" / "fedbrats.json", lambda document, least=least: document.update(min_cases=least))
        assert findings(kit)["cases"].state == state


def test_a_study_longer_than_the_certificate_is_told(kit):
    edit(kit / "local" / "consortium.json", lambda document: document.update(study_days=400))
    assert findings(kit)["expiry"].state == "warning"
    assert "fedbrats provision renew hospital-north" in findings(kit)["expiry"].remedy


def test_the_root_is_compared_with_what_was_read_out(kit):
    true = fingerprint(open_kit(kit).root)
    assert findings(kit, root=true.lower())["root"].state == "ok"
    assert findings(kit, root="AB:CD")["root"].state == "failed"


def test_a_server_that_is_not_the_consortiums_is_told_from_one_that_is_away(kit):
    with socket.create_server(("127.0.0.1", 0)) as impostor:
        port = impostor.getsockname()[1]
        target = f"127.0.0.1:{port}"
        edit(
            kit / "startup" / "fed_client.json",
            lambda document: document["servers"][0]["service"].update(target=target),
        )
        answering = threading.Thread(target=lambda: impostor.accept()[0].close())
        answering.start()
        found = {finding.check: finding for finding in examine(open_kit(kit))}["server"]
        answering.join()
        assert (found.state, "handshake failed" in found.found) == ("failed", True)
    away = {finding.check: finding for finding in examine(open_kit(kit))}["server"]
    assert (away.state, away.owner) == ("failed", "hospital IT")
    assert "cannot be reached" in away.found
    assert "port are the kit's" in away.remedy


def test_the_command_says_so_by_its_status(kit, capsys):
    assert main(["doctor", str(kit), "--offline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True
    allow_code(kit)
    assert main(["doctor", str(kit), "--offline"]) == 1
    assert "may bring code" in capsys.readouterr().out
    assert main(["doctor", str(kit.parent)]) == 1
    assert "is no startup kit" in capsys.readouterr().err


@pytest.mark.parametrize(("version", "slow"), [("2.8.0", False), ("2.9.0", True), ("2.9.1", True), ("2.13.0", False)])
def test_a_pytorch_that_is_slow_on_a_gpu_is_said_whatever_was_agreed(kit, monkeypatch, version, slow):
    from fedbrats.admin.operate.doctor import software

    monkeypatch.setattr(software, "_installed", lambda name: version)
    said = {finding.check: finding for finding in software.check(open_kit(kit))}
    assert ("torch on a GPU" in said) is slow


def test_it_says_in_which_precision_a_gpu_computes(kit, monkeypatch):
    import torch

    edit(kit / "local" / "fedbrats.json", lambda document: document.update(device="auto"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert findings(kit)["device"].found == "auto, 1 GPUs, computes in float16"
    edit(kit / "local" / "fedbrats.json", lambda document: document.update(device="cuda:3"))
    assert "1 CUDA devices were found" in findings(kit)["device"].found


def test_a_full_or_missing_folder_for_temporary_files_is_said(kit, tmp_path, monkeypatch):
    assert findings(kit)["temporary files"].state in ("ok", "warning")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not-there"))
    finding = findings(kit)["temporary files"]
    assert finding.state == "failed"
    assert "TMPDIR" in finding.remedy
    assert str(tmp_path) not in finding.found


@pytest.mark.parametrize(
    ("agreed", "state", "words"),
    [
        (("0.1.0", "0.1.0"), "ok", "0.1.0"),
        (("0.1.1", "0.1.0"), "warning", "0.1.0, agreed on 0.1.1; both work in one job"),
        (("0.2.0", "0.2.0"), "failed", "fedbrats 0.2.0 works with 0.2.0 or later, and not with 0.1.0"),
    ],
)
def test_another_version_than_the_agreed_one_is_doubtful_or_wrong(kit, monkeypatch, agreed, state, words):
    from fedbrats.admin.operate.doctor import software
    from fedbrats.jobs.version_rule import Version

    monkeypatch.setattr(software, "this_version", lambda: Version("0.1.0", "0.1.0"))
    edit(kit / "local" / "consortium.json", lambda document: document.update(fedbrats=agreed[0], oldest=agreed[1]))
    found = findings(kit)["fedbrats"]
    assert (found.state, words in found.found) == (state, True), found
    assert (f"fedbrats-{agreed[0]}-*.whl" in found.remedy) == (state != "ok")


@pytest.mark.parametrize("content", ["[]", "{}", "{"])
def test_a_consortium_file_that_says_no_version_is_doubtful(kit, content):
    from fedbrats.admin.operate.doctor import software

    (kit / "local" / "consortium.json").write_text(content)
    found = {finding.check: finding for finding in software.check(open_kit(kit))}["packages"]
    assert (found.state, found.found) == ("warning", "the kit does not say which versions were agreed on")
