"""A site's side of a padded round; whatever the server says, it reveals nothing that would tell its update."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509 import Certificate
from numpy.typing import NDArray

from fedbrats.privacy.secure.keys import (
    Announcement,
    Identity,
    ProtocolError,
    RevokedSince,
    announce,
    check_announcements,
    check_signature,
)
from fedbrats.privacy.secure.messages import Padded, PadRequest, Reveal, check_enough, threshold
from fedbrats.privacy.secure.pads import SEED_BYTES, derive, pad_of
from fedbrats.privacy.secure.ring import to_ring


@dataclass
class _Open:
    """The attempt that a site has answered, and what it has said of it since."""

    request: PadRequest
    own: bytes = field(repr=False)
    signed: frozenset[str] | None = None


class PaddedSite:
    """A site in the padded rounds of one job.

    Args:
        identity: of the site's kit.
        root: the certificate of the consortium, from the same kit.
        sites: all sites of the job, as the signed job names them.
        revoked_since: when a certificate was revoked, by the list in the site's kit.

    Raises: ConfigurationError for fewer than three sites.
    """

    def __init__(
        self,
        identity: Identity,
        root: Certificate,
        job: str,
        sites: Collection[str],
        revoked_since: RevokedSince = lambda certificate: None,
    ) -> None:
        check_enough(len(set(sites)))
        self._revoked_since = revoked_since
        self._identity, self._root, self._job = identity, root, job
        self._sites = frozenset(sites)
        self._own = X25519PrivateKey.generate()
        self._secrets: dict[str, bytes] = {}
        self._certificates: dict[str, Certificate] = {}
        self._open: _Open | None = None
        self._answered: tuple[int, int] = (-1, -1)
        self._seen: set[bytes] = set()

    @property
    def name(self) -> str:
        """The site's."""
        return self._identity.name

    def announce(self) -> Announcement:
        """A new key of the site; the one before is forgotten, so that what was padded with it stays covered."""
        self._own = X25519PrivateKey.generate()
        return announce(self._identity, self._job, self._own)

    def meet(self, announcements: Iterable[Announcement]) -> None:
        """Agree on a secret with every other site that has announced itself; the exchange before is over.

        Raises: ProtocolError for too few sites, and as `check_announcements`.
        """
        announcements, self._open = list(announcements), None
        named = {each.site for each in announcements} & self._sites
        if len(named) < (least := threshold(len(self._sites))):
            raise ProtocolError(f"the server passes on keys of {len(named)} sites, and at least {least} are needed")
        found = check_announcements(announcements, self._root, self._job, {*named, self.name}, self._revoked_since)
        if found[self.name][0].public_bytes_raw() != self._own.public_key().public_bytes_raw():
            raise ProtocolError("the server passes on another key for this site than its own")
        self._certificates = {site: certificate for site, (_, certificate) in found.items()}
        self._secrets = {site: self._own.exchange(key) for site, (key, _) in found.items() if site != self.name}

    def pad(self, request: PadRequest, update: NDArray[np.floating]) -> Padded:
        """The answer to a request.

        Raises: ProtocolError for a request that was answered, is of an earlier round, or would tell the update, and for
            an update that was padded before: two sums over different sites of the same updates tell one of them.
        """
        if not self._secrets:
            raise ProtocolError("no keys were exchanged yet")
        request.check(self._job, self._sites)
        if self.name not in request.coefficients:
            raise ProtocolError("the request does not name this site")
        if strangers := sorted(set(request.coefficients) - self._certificates.keys()):
            raise ProtocolError(f"the request names {strangers[0]}, whose key was not passed on")
        if (request.round, request.attempt) <= self._answered:
            raise ProtocolError(f"round {request.round}, attempt {request.attempt} was answered before")
        digest = hashlib.sha256(np.ascontiguousarray(update).data).digest()
        if digest in self._seen:
            raise ProtocolError("this update was padded before; train the round again on other batches")
        own = secrets.token_bytes(SEED_BYTES)
        numbers = to_ring(update, request.coefficients[self.name], request.bits, len(request.coefficients))
        numbers += pad_of(own, len(numbers))
        for peer in sorted(set(request.coefficients) - {self.name}):
            add = np.add if self.name < peer else np.subtract
            add(numbers, pad_of(self._pair(request, peer), len(numbers)), out=numbers)
        self._seen.add(digest)
        self._answered = request.round, request.attempt
        self._open = _Open(request, own)
        return Padded(self.name, request.round, request.attempt, numbers)

    def sign(self, round_number: int, attempt: int, members: Collection[str]) -> bytes:
        """Sign whose answers the server says that it has, once for each attempt.

        Raises: ProtocolError where this site is not among them, they are too few, or it has signed another set.
        """
        current = self._current(round_number, attempt)
        named = frozenset(members)
        if self.name not in named:
            raise ProtocolError("this site has answered, and the server says that it has not")
        if current.signed not in (None, named):
            raise ProtocolError("the server names another set of sites than before")
        current.request.check_members(named, len(self._sites))
        current.signed = named
        return self._identity.sign(current.request.statement(named))

    def reveal(self, round_number: int, attempt: int, signatures: Mapping[str, bytes]) -> Reveal:
        """What takes this site's pads off the sum over the set that it has signed.

        Raises: ProtocolError unless enough members have signed the same request and the same set.
        """
        current = self._current(round_number, attempt)
        if current.signed is None:
            raise ProtocolError("this site has signed no set of sites yet")
        statement = current.request.statement(current.signed)
        for site, signature in signatures.items():
            if site not in current.signed:
                raise ProtocolError(f"the server has a signature of {site!r:.60}, which is not in the set")
            check_signature(self._certificates[site], signature, statement, site)
        if len(signatures) < (least := threshold(len(self._sites))):
            raise ProtocolError(f"{len(signatures)} sites have signed the set, and {least} are needed")
        absent = set(current.request.coefficients) - current.signed
        return Reveal(self.name, current.own, {peer: self._pair(current.request, peer) for peer in sorted(absent)})

    def _pair(self, request: PadRequest, peer: str) -> bytes:
        return derive(self._secrets[peer], self._job, request.round, request.attempt)

    def _current(self, round_number: int, attempt: int) -> _Open:
        if self._open is None or (self._open.request.round, self._open.request.attempt) != (round_number, attempt):
            raise ProtocolError(f"round {round_number}, attempt {attempt} is not the one that this site has answered")
        return self._open
