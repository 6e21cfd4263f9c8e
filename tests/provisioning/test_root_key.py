"""The root's private key apart from the certificates: what signs asks for it in one sentence, nothing else needs it."""

import json
import shutil
import stat
import tarfile
import zipfile

import pyrage
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_pem_x509_crl

from fedbrats.admin.kits import open_kit
from fedbrats.admin.provision.consortium import read_project
from fedbrats.admin.provision.root_key import ROOT_KEY, Unlock, open_root, state_dir
from fedbrats.cli.main import main

SERVER, SITE = "fl.brain-consortium.example", "hospital-north"
OWN = "a passphrase of the admin's"
NEW_SITE = ("add-site", "hospital-6", "--org", "sixth", "--data", "/data/brats", "--cases", "50")


class Desk:
    """The project admin's folder, and the command there."""

    def __init__(self, folder, capsys):
        self.folder, self._capsys = folder, capsys
        self.project = read_project(folder / "project.yml")
        self.out = folder / "provisioned"
        self.state = state_dir(self.project, self.out)
        self.key = folder / "safe" / "root.key"  # a disk that is kept apart
        self.passphrase = folder / "passphrase.txt"
        self.passphrase.write_text(f"{OWN}\r\nnot this line\n")

    def run(self, *words, status=0):
        """Run `fedbrats provision`; returns its document, or what it said where it fails."""
        places = ["--project", self.folder / "project.yml", "--out", self.out, "--json"]
        assert main([str(word) for word in ("provision", *words, *places)]) == status
        said = self._capsys.readouterr()
        return json.loads(said.out) if status == 0 else said.err

    def fails(self, *words):
        """What the command says in one line; it leaves the project and the certificates as they are."""
        paths = (self.folder / "project.yml", self.state / "cert.json")
        before = [path.read_bytes() for path in paths]
        builds = sorted(self.out.glob("*/*"))
        said = self.run(*words, status=1)
        assert len(said.splitlines()) == 1, said
        assert [path.read_bytes() for path in paths] == before
        assert sorted(self.out.glob("*/*")) == builds
        return said


@pytest.fixture
def desk(provisioned, tmp_path, capsys):
    """Of a consortium whose root's key is locked, and lies elsewhere."""
    shutil.copytree(provisioned, tmp_path / "desk")
    found = Desk(tmp_path / "desk", capsys)
    found.secrets = key_texts(open_root(found.project, found.out).key)
    found.key.parent.mkdir()
    found.run("lock", "--to", found.key, "--passphrase-file", found.passphrase)
    return found


def key_texts(key):
    """What of a private key must not be read anywhere: a line of each form in which it is written."""
    forms = (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL, PrivateFormat.OpenSSH)
    return [key.private_bytes(Encoding.PEM, form, NoEncryption()).splitlines()[5] for form in forms]


def test_the_key_is_in_one_file_of_its_owners_and_encrypted(desk):
    assert stat.S_IMODE(desk.key.stat().st_mode) == 0o600
    assert desk.key.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert ROOT_KEY not in json.loads((desk.state / "cert.json").read_text())
    assert stat.S_IMODE((desk.state / "cert.json").stat().st_mode) == 0o600
    for path in desk.folder.rglob("*"):
        if path.is_file():
            assert not any(secret in path.read_bytes() for secret in desk.secrets), path
    assert "locked already" in desk.run("lock", status=1)


def test_what_signs_says_what_it_needs_and_works_with_the_passphrase(desk, monkeypatch):
    for words in (NEW_SITE, ("build",), ("renew", SITE), ("revoke", SITE), ("authority", desk.folder / "ca")):
        assert f"{desk.state / 'root.key'} is not there: bring it back" in desk.fails(*words)
    assert not (desk.folder / "ca").exists()
    with_key = ("--root-key", desk.key)
    assert "no terminal to ask on" in desk.fails(*NEW_SITE, *with_key)
    wrong = desk.folder / "wrong.txt"
    wrong.write_text("something else that is long\n")
    assert f"{desk.key} cannot be opened with this passphrase" in desk.fails(
        *NEW_SITE, *with_key, "--passphrase-file", wrong
    )
    made = desk.run(*NEW_SITE, *with_key, "--passphrase-file", desk.passphrase)
    kit = open_kit(desk.out / "brain_consortium" / "prod_01" / "hospital-6")
    kit.certificate.verify_directly_issued_by(kit.root)
    assert made["changes"]["hospital-6"]["what"] == "new kit"
    assert set(made["changes"]) > {SERVER, "hospital-6"}
    assert SITE not in made["changes"], "its certificate is the one that it had"
    assert ROOT_KEY not in json.loads((desk.state / "cert.json").read_text())
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or OWN)
    listed = desk.run("revoke", SITE, *with_key)["list"]
    assert load_pem_x509_crl((desk.folder / listed).read_bytes()).is_signature_valid(kit.root.public_key())
    assert asked == [f"passphrase of {desk.key}: "]


def test_nothing_else_needs_the_key_and_no_archive_has_it(desk, capsys, tmp_path):
    """The consortium's kits are shown, packed, backed up and judged without it; an encrypted copy lies in its place."""
    shutil.move(desk.key, desk.state / "root.key")
    encrypted = (desk.state / "root.key").read_bytes().splitlines()[5]
    (desk.state / "root.key").chmod(0)
    assert SITE in desk.run("show")["participants"]
    packed = desk.run("pack", SITE, "--to", tmp_path / "handover")
    archive = pyrage.passphrase.decrypt((desk.folder / packed["archive"]).read_bytes(), packed["passphrase"])
    (tmp_path / "kit.tar.gz").write_bytes(archive)
    kit = desk.out / "brain_consortium" / "prod_00" / SITE
    assert main(["backup", str(kit), "--out", str(tmp_path / "backup.tar")]) == 0
    assert main(["support-bundle", str(kit), "--out", str(tmp_path / "bundle.zip")]) == 0
    capsys.readouterr()
    main(["doctor", str(kit), "--offline", "--json"])
    assert "credentials" not in {
        row["check"] for row in json.loads(capsys.readouterr().out)["findings"] if row["state"] == "failed"
    }
    contents = []
    for name in ("kit.tar.gz", "backup.tar"):
        with tarfile.open(tmp_path / name) as tar:
            contents += [stream.read() for each in tar if (stream := tar.extractfile(each))]
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        contents += [bundle.read(name) for name in bundle.namelist()]
    assert len(contents) > 20
    assert not any(secret in content for content in contents for secret in (*desk.secrets, encrypted))


def test_a_locked_root_is_renewed_into_a_locked_one(desk):
    assert "can be guessed" in desk.fails("renew", "--root", "--passphrase-file", short(desk))
    made = desk.run("renew", "--root")
    assert ROOT_KEY not in json.loads((desk.state / "cert.json").read_text())
    assert desk.run("show")["root_fingerprint"] == made["root_fingerprint"]
    assert "another root" in desk.fails("build", "--root-key", desk.key, "--passphrase-file", desk.passphrase)
    assert open_root(desk.project, desk.out, Unlock(ask=lambda _: made["passphrase"])).locked


def short(desk):
    path = desk.folder / "short.txt"
    path.write_text("secret\n")
    return path


def test_a_file_that_is_no_key_and_a_disk_that_is_full_are_said(desk, tmp_path):
    (tmp_path / "photo.key").write_bytes(b"\xff\xd8 a photograph")
    assert "no private key in PEM" in desk.fails("build", "--root-key", tmp_path / "photo.key")
    assert "cannot be read" in desk.fails("build", "--root-key", tmp_path)
