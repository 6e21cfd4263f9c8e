"""One encrypted archive for the receiver of a kit: the kit, the package, checksums, and a note of what to do."""

from __future__ import annotations

import hashlib
import io
import secrets
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedbrats.admin.kits import open_kit
from fedbrats.admin.provision.builds import files_of
from fedbrats.admin.wheels import REQUIREMENTS, read_requirements
from fedbrats.atomic import PRIVATE_FILE, PRIVATE_FOLDER, write_bytes_atomic, write_text_atomic
from fedbrats.errors import ConfigurationError
from fedbrats.revoked import REVOKED_FILE

SUMS = "SHA256SUMS"
SIGNS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another on the telephone
GROUPS, GROUP = 6, 4  # 24 signs of 31: 118 bits
NOTE = """\
For {name} ({organisation}): the startup kit of the {kind} of the consortium, encrypted with age (https://age-encryption.org).

1. Have the project admin tell you by telephone {secret}, and the SHA-256 of this archive:
   {sha256}
2. sha256sum {archive}
3. umask 077 && age {decrypt}-o kit.tar.gz -d {archive} && tar xzf kit.tar.gz
   age is the package `age` of Debian, Ubuntu and Fedora; `umask 077` keeps what is unpacked from other accounts.
4. cd {name} && sha256sum -c {sums}
5. Read README.md there. {package}Remove kit.tar.gz and this archive.

The archive has a private key. Nobody but you should have it: if it was lost on the way, say so, and do not use it.
"""
NO_PACKAGE = "It names the package (fedbrats-*.whl), which is not in this archive: have it sent.\n   "


@dataclass(frozen=True)
class Packed:
    """passphrase: empty where the archive is encrypted for the receiver's own key."""

    archive: Path
    note: Path
    sha256: str
    passphrase: str


def pack_kit(
    layers: Sequence[Path],
    out_dir: Path,
    wheel: Path | None = None,
    recipient: str | None = None,
    wheelhouse: Path | None = None,
) -> Packed:
    """Write `NAME.tar.gz.age` and `NAME.txt` for the receiver of a kit.

    Args:
        layers: a kit as it was built, then folders with files of later builds (fedbrats.admin.provision.builds).
        wheel: the package, which goes into the kit.
        recipient: the receiver's public key for age (`age1...`); without one a passphrase is made, and stored nowhere.

        wheelhouse: of `fedbrats provision wheelhouse`; its list of packages, with checksums, goes into `local/`.

    Raises: ConfigurationError where there is no such kit, wheel or wheelhouse, the key is none, or pyrage is missing.
    """
    kit = open_kit(layers[0])
    if wheel is not None and not (wheel.is_file() and wheel.suffix == ".whl"):
        raise ConfigurationError(f"{wheel} is no wheel; `python3 -m pip wheel --no-deps --wheel-dir dist .` makes it")
    files = files_of(layers)
    revoked = layers[0].parents[1] / REVOKED_FILE
    if revoked.is_file():
        files[f"local/{REVOKED_FILE}"] = revoked
    if wheel:
        files[wheel.name] = wheel
    if wheelhouse is not None:
        read_requirements(wheelhouse / REQUIREMENTS)
        files[f"local/{REQUIREMENTS}"] = wheelhouse / REQUIREMENTS
    passphrase = "" if recipient else make_passphrase()
    content = _encrypt(_archive(kit.name, files), passphrase, recipient)
    out_dir.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    archive, note = out_dir / f"{kit.name}.tar.gz.age", out_dir / f"{kit.name}.txt"
    write_bytes_atomic(archive, lambda stream: stream.write(content), mode=PRIVATE_FILE)
    sha256 = hashlib.sha256(content).hexdigest()
    words = {
        "name": kit.name,
        "organisation": kit.organisation,
        "kind": {"client": "site", "admin": "person"}.get(kit.kind, kit.kind),
        "secret": "the root's fingerprint" if recipient else "the passphrase, the root's fingerprint",
        "package": "" if wheel or wheelhouse else NO_PACKAGE,
        "decrypt": "-i YOUR_KEY " if recipient else "",
        "archive": archive.name,
        "sha256": sha256,
        "sums": SUMS,
    }
    write_text_atomic(note, NOTE.format(**words))
    return Packed(archive, note, sha256, passphrase)


def make_passphrase() -> str:
    """A passphrase that can be read out: six groups of four letters and digits."""
    return "-".join("".join(secrets.choice(SIGNS) for _ in range(GROUP)) for _ in range(GROUPS))


def _archive(name: str, files: Mapping[str, Path]) -> bytes:
    """The files (path in the kit -> file) below a folder of this name, with the checksums of everything."""
    contents = {inside: (path.read_bytes(), path.stat().st_mode & 0o700) for inside, path in files.items()}
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {inside}\n" for inside, (content, _) in contents.items())
    contents[SUMS] = (sums.encode(), PRIVATE_FILE)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for inside, (content, mode) in contents.items():
            entry = tarfile.TarInfo(f"{name}/{inside}")
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _encrypt(content: bytes, passphrase: str, recipient: str | None) -> bytes:
    try:
        import pyrage
    except ImportError:
        raise ConfigurationError("packing needs the package pyrage: pip install 'fedbrats[provision]'") from None
    if recipient is None:
        return bytes(pyrage.passphrase.encrypt(content, passphrase))
    try:
        key = pyrage.x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError as error:
        raise ConfigurationError(f"{recipient!r:.100} is no public key of age (age1...): {error}") from None
    return bytes(pyrage.encrypt(content, [key]))
