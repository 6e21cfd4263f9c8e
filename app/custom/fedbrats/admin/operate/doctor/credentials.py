"""The kit's keys and certificates: whole, of the right root, unaltered, and valid for as long as the study lasts."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fedbrats.admin.kits import Kit, fingerprint
from fedbrats.admin.operate.doctor.finding import (
    HOSPITAL_IT,
    PROJECT_ADMIN,
    Finding,
    doubtful,
    failed,
    good,
)
from fedbrats.errors import FedbratsError
from fedbrats.revoked import REVOKED_FILE, number_of, read_revoked, revoked_since

SIGNATURE_FILE = "signature.json"


def check(kit: Kit, root: str | None = None) -> Iterator[Finding]:
    """Findings about the startup folder; root: the fingerprint that the project admin read out."""
    yield _check_root(kit, root)
    yield _check_issuer(kit)
    yield from _check_key(kit.startup_dir / ("server.key" if kit.kind == "server" else "client.key"), kit)
    yield _check_signature(kit)
    yield from _check_revoked(kit)
    yield from _check_dates(kit)


def _check_root(kit: Kit, expected: str | None) -> Finding:
    found = fingerprint(kit.root)
    if expected and found.replace(":", "") != expected.replace(":", "").upper():
        return failed("root", found, "this is not the consortium's root: do not start; ask again", PROJECT_ADMIN)
    if not expected:
        remedy = "let the project admin read it out by telephone, and give it with --root"
        return doubtful("root", f"{found}, not compared", remedy, HOSPITAL_IT)
    return good("root", found)


def _check_issuer(kit: Kit) -> Finding:
    from cryptography.exceptions import InvalidSignature

    try:
        kit.certificate.verify_directly_issued_by(kit.root)
    except (ValueError, TypeError, InvalidSignature):
        return failed("certificate", f"{kit.name}'s is not of the kit's root", "ask for the kit again", PROJECT_ADMIN)
    return good("certificate", f"{kit.name} ({kit.organisation})")


def _check_key(path: Path, kit: Kit) -> Iterator[Finding]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        yield failed("private key", f"cannot be read: {error}", f"put the key at startup/{path.name}", HOSPITAL_IT)
        return
    if key.public_key() != kit.certificate.public_key():
        yield failed("private key", "does not belong to the certificate", "ask for the kit again", PROJECT_ADMIN)
    elif path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield doubtful("private key", "others can read it", f"chmod 600 startup/{path.name}", HOSPITAL_IT)
    else:
        yield good("private key", "belongs to the certificate, readable by its owner alone")


def _check_signature(kit: Kit) -> Finding:
    from nvflare.lighter.utils import verify_folder_signature

    if not (kit.startup_dir / SIGNATURE_FILE).is_file():
        return doubtful("signature", "startup/ is unsigned", "usual for kits of `nvflare package` only", PROJECT_ADMIN)
    root = str(kit.startup_dir / "rootCA.pem")
    if verify_folder_signature(str(kit.startup_dir), root, single_signer=True, signature_file=SIGNATURE_FILE):
        return good("signature", "startup/ is as it was provisioned")
    return failed("signature", "a file of startup/ was altered", "take startup/ from the kit again", HOSPITAL_IT)


def _check_revoked(kit: Kit) -> Iterator[Finding]:
    path = kit.local_dir / REVOKED_FILE
    if not path.exists():
        return
    try:
        listed = read_revoked(path, kit.root)
        since = revoked_since(kit.certificate, kit.local_dir, kit.root)
    except FedbratsError as error:
        yield failed("revoked", f"{error}; until then every job is refused", "ask for the list again", PROJECT_ADMIN)
        return
    if listed is None:
        remedy = f"remove local/{REVOKED_FILE}, or ask for the newest list"
        yield doubtful("revoked", "the list is of an earlier root, so it revokes nothing", remedy, HOSPITAL_IT)
    elif since:
        remedy = f"`fedbrats provision renew {kit.name}` and hand the new kit over"
        yield failed("revoked", f"this kit's own certificate, on {since:%F}", remedy, PROJECT_ADMIN)
    else:
        yield good("revoked", f"{len(list(listed))} certificates, list number {number_of(listed)}")


def _check_dates(kit: Kit) -> Iterator[Finding]:
    now = datetime.now(UTC)
    begins, ends = kit.certificate.not_valid_before_utc, min(kit.expires, kit.root.not_valid_after_utc)
    if now < begins:
        yield failed("clock", f"{now:%F %H:%M} UTC is before the kit was made", "set the clock (NTP)", HOSPITAL_IT)
    else:
        yield _check_synchronisation()
    study_ends = now + timedelta(days=_study_days(kit))
    remedy = f"`fedbrats provision renew {kit.name}` and hand the new kit over"
    if ends <= now:
        yield failed("expiry", f"ended on {ends:%F}", remedy, PROJECT_ADMIN)
    elif ends < study_ends:
        yield doubtful("expiry", f"ends on {ends:%F}, the study on {study_ends:%F}", remedy, PROJECT_ADMIN)
    else:
        yield good("expiry", f"ends on {ends:%F}")


def _check_synchronisation() -> Finding:
    """TLS fails on a wrong clock; systemd leaves a file where it has set the clock by the network."""
    if Path("/run/systemd/timesync/synchronized").exists():
        return good("clock", "synchronised by the network")
    return good("clock", f"{datetime.now(UTC):%F %H:%M:%S} UTC; compare it with the server's")


def _study_days(kit: Kit) -> int:
    try:
        return int(json.loads((kit.local_dir / "consortium.json").read_text(encoding="utf-8"))["study_days"] or 0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
