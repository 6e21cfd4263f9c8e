"""A revoked certificate: the root signs a list of them, and every participant enforces it by itself."""

import json
import shutil

import pytest
from cryptography.x509.oid import NameOID
from nvflare.lighter.utils import (
    Identity,
    generate_cert,
    generate_keys,
    load_private_key_file,
    serialize_cert,
    serialize_pri_key,
    sign_folders,
)

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.doctor import credentials
from fedbrats.admin.provision.revoking import make_list
from fedbrats.admin.provision.root_key import open_root
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.app_rules import check_app
from fedbrats.revoked import MOST_OF_LIST, REVOKED_FILE, accept_list, read_revoked
from tests.security.attacks import attack

SERVER, SITE, LEAD = "fl.brain-consortium.example", "hospital-north", "lead@university.example"
ADMIN = "admin@university.example"
PROJECT = {"name": "brain_consortium"}


@pytest.fixture
def folder(provisioned, tmp_path):
    """The consortium's folder with its state and a few kits, which a test may change."""
    ours = provisioned / "provisioned" / "brain_consortium"
    shutil.copytree(ours / "state", tmp_path / "provisioned" / "brain_consortium" / "state")
    for name in (SERVER, SITE, LEAD, ADMIN):
        shutil.copytree(ours / "prod_00" / name, tmp_path / "provisioned" / "brain_consortium" / "prod_00" / name)
    shutil.copy(provisioned / "project.yml", tmp_path)
    return tmp_path


@pytest.fixture
def revoke(folder, capsys):
    """`fedbrats provision revoke`; returns the list."""

    def run(*names):
        places = ["--project", folder / "project.yml", "--out", folder / "provisioned", "--json"]
        assert main([str(word) for word in ("provision", "revoke", *names, *places)]) == 0
        return folder / json.loads(capsys.readouterr().out)["list"]

    return run


@pytest.fixture
def kit(folder):
    def find(name):
        return folder / "provisioned" / "brain_consortium" / "prod_00" / name

    return find


@pytest.fixture
def deployed(kit, tmp_path):
    """An application in a kit, signed by somebody; a folder of it by somebody else where `inside` says so."""

    def deploy(where, signer, inside=None):
        app = kit(where) / "JOB" / "app"
        (app / "config").mkdir(parents=True, exist_ok=True)
        (app / "config" / "config_fed_client.json").write_text("{}")
        for folder, name in ((app, signer), (app / "config", inside or signer)):
            startup = kit(name) / "startup"
            key = load_private_key_file(str(startup / "client.key"))
            sign_folders(str(folder), key, str(startup / "client.crt"))
        return app

    return deploy


def certify(issuer, root_key):
    """A new key of the lead, and a certificate for it."""
    name = issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    organisations = [each.value for each in issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    key, public = generate_keys()
    issued = Identity(name, organisations[0] if organisations else None)
    return key, generate_cert(Identity(LEAD, "university", "lead"), issued, root_key, public)


def row(kit):
    return {finding.check: finding for finding in credentials.check(open_kit(kit))}.get("revoked")


def test_a_job_is_refused_by_whoever_has_the_list(revoke, kit, deployed):
    listed = revoke(LEAD)
    for where in (SERVER, SITE):
        app = deployed(where, LEAD)
        assert check_app(app).name == LEAD, "without the list"
        assert main(["site", str(kit(where)), "--revoked", str(listed)]) == 0
        with pytest.raises(ConfigurationError, match="the certificate that signed the job was revoked on"):
            check_app(app)
        assert check_app(deployed(where, ADMIN)).name == ADMIN
        assert row(kit(where)).found == "1 certificates, list number 1"


@attack(
    "have a hospital run a job that a stolen key of a lead signed",
    who="a thief of a kit, with the server's operator",
    happens="refused by the hospital, which has the consortium's list of revoked certificates",
    says="the certificate that signed the job was revoked on DAY (local/revoked.crl); its owner needs a new kit",
)
def test_a_list_is_enforced_where_only_one_folder_has_the_stolen_signature(revoke, kit, deployed, folder):
    accept_list(revoke(LEAD), kit(SITE) / "local", open_kit(kit(SITE)).root)
    stolen = shutil.copytree(kit(LEAD), kit("stolen"))
    root = open_root(PROJECT, folder / "provisioned")
    own_key, certificate = certify(root.certificate.subject, root.key)
    (kit(LEAD) / "startup" / "client.key").write_bytes(serialize_pri_key(own_key))
    (kit(LEAD) / "startup" / "client.crt").write_bytes(serialize_cert(certificate))
    assert check_app(deployed(SITE, LEAD)).name == LEAD, "the new certificate of the same person"
    with pytest.raises(ConfigurationError, match="was revoked on"):
        check_app(deployed(SITE, LEAD, inside=stolen.name))


@pytest.mark.parametrize("content", [b"", b"garbage", None, b"altered"], ids=["empty", "garbage", "a link", "altered"])
def test_a_list_that_cannot_be_read_lets_no_job_run(revoke, kit, deployed, content):
    path = kit(SITE) / "local" / REVOKED_FILE
    if content is None:
        path.symlink_to("nowhere")
    elif content == b"altered":
        good = bytearray(revoke(ADMIN).read_bytes())
        middle = good.index(b"\n", 60) - 3  # of a line in the middle of the list
        good[middle] = ord("A") if good[middle] != ord("A") else ord("B")
        path.write_bytes(good)
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"revoked\.crl"):
        check_app(deployed(SITE, LEAD))
    if content is not None:
        assert (row(kit(SITE)).state, row(kit(SITE)).owner) == ("failed", "project admin")


def test_a_list_is_a_regular_file_of_a_bounded_size(tmp_path):
    with pytest.raises(ConfigurationError, match="no regular file"):
        read_revoked(tmp_path, None)
    long = tmp_path / "long.crl"
    with long.open("wb") as stream:
        stream.truncate(MOST_OF_LIST + 1)
    for read in (read_revoked, lambda path, root: accept_list(path, tmp_path, root)):
        with pytest.raises(ConfigurationError, match=f"more than {MOST_OF_LIST} bytes"):
            read(long, None)


def test_an_older_list_takes_no_newer_ones_place(revoke, kit, tmp_path):
    root, local = open_kit(kit(SITE)).root, kit(SITE) / "local"
    first = shutil.copy(revoke(LEAD), tmp_path / "first.crl")
    second = revoke(ADMIN)
    assert len(list(accept_list(second, local, root))) == 2, "the second has the first's entries too"
    with pytest.raises(ConfigurationError, match="the kit has a newer list"):
        accept_list(tmp_path / "first.crl", local, root)
    assert (local / REVOKED_FILE).read_bytes() == second.read_bytes() != first


def test_revoking_twice_lists_once_and_the_date_stays(revoke, kit):
    assert len(list(accept_list(revoke(LEAD), kit(SITE) / "local", open_kit(kit(SITE)).root))) == 1
    assert len(list(accept_list(revoke(LEAD), kit(SITE) / "local", open_kit(kit(SITE)).root))) == 1


def test_the_doctor_of_a_revoked_kit_says_so(revoke, kit):
    accept_list(revoke(SITE), kit(SITE) / "local", open_kit(kit(SITE)).root)
    assert "this kit's own certificate" in row(kit(SITE)).found


def test_a_list_of_another_root_is_refused_and_revokes_nothing_here(kit, deployed, tmp_path):
    root_key, public = generate_keys()
    same_name = Identity("brain_consortium")
    root = generate_cert(same_name, same_name, root_key, public, ca=True)
    listed = tmp_path / "other.crl"
    listed.write_bytes(make_list(None, [certify(root.subject, root_key)[1]], root, root_key))
    with pytest.raises(ConfigurationError, match="a list of another root"):
        accept_list(listed, kit(SITE) / "local", open_kit(kit(SITE)).root)
    shutil.copy(listed, kit(SITE) / "local" / REVOKED_FILE)  # as it stays there when the root is renewed
    assert check_app(deployed(SITE, LEAD)).name == LEAD
    assert row(kit(SITE)).state == "warning"
    with pytest.raises(ConfigurationError, match="is of another root"):
        make_list(None, [open_kit(kit(LEAD)).certificate], root, root_key)


def test_who_never_had_a_certificate_cannot_be_revoked(folder, capsys):
    places = ["--project", folder / "project.yml", "--out", folder / "provisioned"]
    assert main([str(word) for word in ("provision", "revoke", "nobody", *places)]) == 1
    assert "nobody never had a certificate" in capsys.readouterr().err
    assert main([str(word) for word in ("provision", "revoke", *places)]) == 1
    assert "name the participants" in capsys.readouterr().err
