"""A kit is handed over as one encrypted archive that its receiver can check."""

import hashlib
import io
import json
import stat
import tarfile

import pyrage
import pytest

from fedbrats.admin.kits import fingerprint, open_kit
from fedbrats.admin.provision.pack import pack_kit
from fedbrats.admin.wheels import Listed
from fedbrats.cli.main import main
from tests.end_to_end.consortium import NORTH


@pytest.fixture
def pack(provisioned, tmp_path, capsys):
    """`fedbrats provision pack`; returns (status, its document or what it said)."""
    wheel = tmp_path / "fedbrats-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    places = ["--project", provisioned / "project.yml", "--out", provisioned / "provisioned"]

    def run(*words):
        package = [] if "--wheelhouse" in words else ["--wheel", wheel]
        arguments = ["provision", "pack", *words, "--to", tmp_path / "handover", *package, *places, "--json"]
        status = main([str(word) for word in arguments])
        said = capsys.readouterr()
        return status, json.loads(said.out) if status == 0 else said.err

    return run


def unpack(content, folder):
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(folder, filter="data")
    return folder / NORTH


def test_the_receiver_gets_the_kit_the_wheel_and_checksums(pack, kits, tmp_path):
    status, said = pack(NORTH)
    assert status == 0
    archive = tmp_path / "handover" / f"{NORTH}.tar.gz.age"
    content = archive.read_bytes()
    assert said["sha256"] == hashlib.sha256(content).hexdigest()
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert b"PRIVATE KEY" not in content
    kit = unpack(pyrage.passphrase.decrypt(content, said["passphrase"]), tmp_path / "there")
    assert fingerprint(open_kit(kit).certificate) == fingerprint(open_kit(kits / NORTH).certificate)
    assert (kit / "fedbrats-0.1.0-py3-none-any.whl").read_bytes() == b"a wheel"
    sums = dict(reversed(line.split("  ")) for line in (kit / "SHA256SUMS").read_text().splitlines())
    found = {path.relative_to(kit).as_posix(): path for path in kit.rglob("*") if path.is_file()}
    assert set(sums) == set(found) - {"SHA256SUMS"}
    assert all(hashlib.sha256(found[name].read_bytes()).hexdigest() == value for name, value in sums.items())
    assert stat.S_IMODE((kit / "startup" / "client.key").stat().st_mode) == 0o600


def test_the_note_says_what_to_do_and_has_no_secret(pack, tmp_path):
    _, said = pack(NORTH)
    note = (tmp_path / "handover" / f"{NORTH}.txt").read_text()
    assert said["passphrase"] not in note
    for words in (said["sha256"], f"age -o kit.tar.gz -d {NORTH}.tar.gz.age", "sha256sum -c SHA256SUMS", "telephone"):
        assert words in note
    assert "umask 077 && age" in note
    assert "not in this archive" not in note


def test_a_receiver_is_told_that_the_package_comes_apart(kits, tmp_path):
    note = pack_kit([kits / NORTH], tmp_path / "handover").note.read_text()
    assert "It names the package (fedbrats-*.whl), which is not in this archive" in note


def test_a_receiver_with_a_key_of_age_needs_no_passphrase(pack, tmp_path):
    identity = pyrage.x25519.Identity.generate()
    status, said = pack(NORTH, "--recipient", str(identity.to_public()))
    assert (status, said["passphrase"]) == (0, "")
    content = (tmp_path / "handover" / f"{NORTH}.tar.gz.age").read_bytes()
    assert open_kit(unpack(pyrage.decrypt(content, [identity]), tmp_path / "there")).name == NORTH


def test_the_list_of_a_wheelhouse_goes_into_the_kit(pack, tmp_path):
    listed = tmp_path / "wheelhouse" / "requirements.txt"
    listed.parent.mkdir()
    listed.write_text(Listed("torch", "2.13.0", "a" * 64, "b" * 64).line() + "\n")
    status, said = pack(NORTH, "--wheelhouse", listed.parent)
    assert status == 0
    content = (tmp_path / "handover" / f"{NORTH}.tar.gz.age").read_bytes()
    kit = unpack(pyrage.passphrase.decrypt(content, said["passphrase"]), tmp_path / "there")
    assert (kit / "local" / "requirements.txt").read_text() == listed.read_text()
    assert "  local/requirements.txt\n" in (kit / "SHA256SUMS").read_text()


def test_two_packs_have_two_passphrases(pack):
    assert pack(NORTH)[1]["passphrase"] != pack(NORTH)[1]["passphrase"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hospital-nowhere"], "is no participant with a kit"),
        ([NORTH, "--recipient", "age1nothing"], "is no public key of age"),
    ],
)
def test_what_cannot_be_packed_is_refused(pack, tmp_path, words, sentence):
    status, said = pack(*words)
    assert status == 1
    assert sentence in said
    assert not (tmp_path / "handover").exists()
