"""What an intruder would bring: kits that are not theirs, certificates out of date, jobs that nobody signed."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from nvflare.fuel.hci.client import file_transfer
from nvflare.lighter.utils import (
    Identity,
    generate_cert,
    generate_keys,
    serialize_cert,
    serialize_pri_key,
    sign_folders,
)

from fedbrats.admin.kits import read_certificate
from fedbrats.admin.provision.root_key import open_root
from tests.end_to_end.consortium import Consortium

SIGNATURE = "signature.json"
SITE_APP = "app_of_the_site"


def copy_kit(kit: Path, target: Path) -> Path:
    """A kit as it was handed over: without what running left in it."""
    for name in ("startup", "local"):
        shutil.copytree(kit / name, target / name)
    return target


def copy_kit_as(kit: Path, target: Path, name: str) -> Path:
    """A copied kit that claims another name."""
    copy_kit(kit, target)
    script = target / "startup" / "sub_start.sh"
    script.write_text(re.sub(r"uid=\S+", f"uid={name}", script.read_text()))
    return target


def trust_ours(foreign: Path, kit: Path, target: Path) -> Path:
    """A kit with the key and certificate of a foreign root that believes in our server."""
    startup = copy_kit(kit, target) / "startup"
    for name in ("client.crt", "client.key"):
        shutil.copyfile(foreign / "startup" / name, startup / name)
    (startup / SIGNATURE).unlink()
    return target


def edit_startup(kit: Path, target: Path, *, unsigned: bool = False, **client_settings: object) -> Path:
    """A kit whose fed_client.json somebody edited; `unsigned` removes the signature that would tell."""
    path = copy_kit(kit, target) / "startup" / "fed_client.json"
    document = json.loads(path.read_text())
    document["client"].update(client_settings)
    path.write_text(json.dumps(document))
    if unsigned:
        (path.parent / SIGNATURE).unlink()
    return target


def expire(consortium: Consortium, site: str, target: Path) -> Path:
    """A site's kit with a certificate of the true root that ended yesterday."""
    startup = copy_kit(consortium.kit(site), target) / "startup"
    root_key = open_root(consortium.project, consortium.folder / "provisioned").key
    old = read_certificate(startup / "client.crt")
    private, public = generate_keys()
    now = datetime.datetime.now(datetime.UTC)
    certificate = generate_cert(
        Identity(site, "central"), Identity(consortium.project["name"]), root_key, public,
        not_valid_before=now - datetime.timedelta(days=2), not_valid_after=now - datetime.timedelta(days=1),
    )  # fmt: skip
    assert certificate.issuer == old.issuer
    (startup / "client.crt").write_bytes(serialize_cert(certificate))
    (startup / "client.key").write_bytes(serialize_pri_key(private))
    sign_folders(str(startup), root_key, signature_file=SIGNATURE)
    return target


def sign_not(monkeypatch, app: str) -> None:
    """A console, or somebody on the way, that leaves or takes the signature off one app of a job."""
    _after_signing(monkeypatch, lambda job: [path.unlink() for path in (job / app).rglob(".__nvfl_*")])


def sign_then_alter(monkeypatch, app: str) -> None:
    """A console, or somebody on the way, that changes one app of a job after it was signed."""

    def alter(job: Path) -> None:
        path = job / app / "config" / "config_fed_client.json"
        path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))

    _after_signing(monkeypatch, alter)


def sign_as(monkeypatch, app: str, kit: Path) -> None:
    """Somebody of the consortium who signs one app of a job in the submitter's place."""
    key = load_pem_private_key((kit / "startup" / "client.key").read_bytes(), password=None)
    _after_signing(monkeypatch, lambda job: sign_folders(str(job / app), key, str(kit / "startup" / "client.crt")))


def _after_signing(monkeypatch, change: Callable[[Path], object]) -> None:
    def sign(folder, *args, **kwargs):
        sign_folders(folder, *args, **kwargs)
        change(Path(folder))

    monkeypatch.setattr(file_transfer, "sign_folders", sign)


def change(job: Path, side: str, edit: Callable[[dict], object], app: str = "app") -> Path:
    """A built job with its server's or client's configuration changed."""
    path = job / app / "config" / f"config_fed_{side}.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    return job


def change_meta(job: Path, **entries: object) -> Path:
    """A built job with entries of its meta.json changed."""
    path = job / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
    return job


def give_site_its_own_app(job: Path, site: str) -> Path:
    """A job whose site runs another app than the server: what is wrong in it meets the site alone."""
    shutil.copytree(job / "app", job / SITE_APP)
    return change_meta(job, deploy_map={"app": ["server"], SITE_APP: [site]})
