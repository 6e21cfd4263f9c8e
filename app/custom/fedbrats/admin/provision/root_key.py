"""The root's private key: beside the certificates as FLARE keeps it, or apart from them and encrypted.

Who has it can make certificates of anybody. It is needed to sign: for a build, a renewal, a list of revoked ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.atomic import PRIVATE_FILE, write_bytes_atomic, write_json_atomic
from fedbrats.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

STATE_FILE = "cert.json"  # FLARE's: every certificate, and the root's key where it is not apart
KEY_FILE = "root.key"
ROOT_CERTIFICATE, ROOT_KEY = "root_cert", "root_pri_key"  # FLARE's names in STATE_FILE
LEAST_SIGNS = 16  # of a passphrase that a person chose: the file can be guessed at without a limit


@dataclass(frozen=True)
class Unlock:
    """How to come to a root's key that is apart.

    Attributes:
        file: the encrypted key; None for `root.key` beside the certificates.
        ask: tells the passphrase of a file; None where nobody can be asked.
    """

    file: Path | None = None
    ask: Callable[[Path], str] | None = None


@dataclass(frozen=True)
class Root:
    """A consortium's root, to sign with. locked: the key lies apart, encrypted."""

    certificate: Certificate
    key: RSAPrivateKey
    locked: bool

    def key_pem(self) -> bytes:
        """The private key as PEM, not encrypted."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def state_dir(project: Mapping[str, Any], out_dir: Path) -> Path:
    """Where the certificates, and by default the root's private key, are kept."""
    return out_dir / str(project["name"]) / "state"


def open_root(project: Mapping[str, Any], out_dir: Path, unlock: Unlock = Unlock()) -> Root:
    """The root with its private key.

    Raises: ConfigurationError where there is no root yet, its key is not there, or cannot be opened.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    state = read_state(state_dir(project, out_dir) / STATE_FILE)
    certificate = load_pem_x509_certificate(state[ROOT_CERTIFICATE].encode())
    if ROOT_KEY in state:
        key = load_pem_private_key(state[ROOT_KEY].encode(), password=None)
        return Root(certificate, key, locked=False)  # type: ignore[arg-type]
    path = unlock.file or state_dir(project, out_dir) / KEY_FILE
    key = _open(path, unlock)
    if key.public_key() != certificate.public_key():
        raise ConfigurationError(f"{path} is the private key of another root than that of {out_dir}")
    return Root(certificate, key, locked=True)


def is_locked(project: Mapping[str, Any], out_dir: Path) -> bool:
    """Whether there is a root whose key is apart."""
    path = state_dir(project, out_dir) / STATE_FILE
    return path.is_file() and ROOT_KEY not in read_state(path)


def lock_root(project: Mapping[str, Any], out_dir: Path, passphrase: str, file: Path | None = None) -> Path:
    """Encrypt the root's private key into a file of its own, and remove it from beside the certificates.

    Args:
        project: of project.yml.
        out_dir: of the builds.
        passphrase: that the key will need from then on.
        file: to write; None for `root.key` beside the certificates.

    Returns: the file. Raises: ConfigurationError where there is no root yet, it is locked already, the passphrase is
    short, or the file is there.
    """
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    state = state_dir(project, out_dir)
    document = read_state(state / STATE_FILE)
    if ROOT_KEY not in document:
        raise ConfigurationError("the root's private key is locked already: it lies apart from the certificates")
    check_passphrase(passphrase)
    path = file or state / KEY_FILE
    if path.exists():
        raise ConfigurationError(f"{path} is there already: move it away, or name another file with --to")
    encryption = BestAvailableEncryption(passphrase.encode())
    content = open_root(project, out_dir).key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        write_bytes_atomic(path, lambda stream: stream.write(content), mode=PRIVATE_FILE)
    except OSError as error:
        raise ConfigurationError(f"the root's private key cannot be written to {path}: {error.strerror}") from None
    _open(path, Unlock(ask=lambda _: passphrase))  # what cannot be read back must not be the only copy
    rest = {name: value for name, value in document.items() if name != ROOT_KEY}
    write_json_atomic(state / STATE_FILE, rest, mode=PRIVATE_FILE)
    return path


def check_passphrase(passphrase: str) -> None:
    """Raise ConfigurationError for a passphrase that is short."""
    if len(passphrase) < LEAST_SIGNS:
        raise ConfigurationError(f"a passphrase of {len(passphrase)} signs can be guessed: take {LEAST_SIGNS} or more")


def read_state(path: Path) -> dict[str, Any]:
    """What FLARE keeps of a consortium. Raises: ConfigurationError where there is nothing, or it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing: nothing was provisioned there yet") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None


def _open(path: Path, unlock: Unlock) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"the root's private key is needed to sign, and {path} is not there: bring it back from where it is kept, "
            "or name it with --root-key FILE"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"the root's private key {path} cannot be read: {error.strerror}") from None
    if b"PRIVATE KEY-----" not in content:
        raise ConfigurationError(f"{path} is no private key in PEM; name the right file with --root-key FILE")
    passphrase = None
    if b"ENCRYPTED" in content:
        if unlock.ask is None:
            raise ConfigurationError(f"the root's private key {path} is encrypted, and nobody can be asked")
        passphrase = unlock.ask(path).encode()
    try:
        return load_pem_private_key(content, passphrase)  # type: ignore[return-value]
    except (ValueError, TypeError):
        raise ConfigurationError(f"{path} cannot be opened with this passphrase") from None
