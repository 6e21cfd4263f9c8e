"""What travels in a padded round, as FLARE carries it; what arrives is read as something that anybody may have sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.shareable import Shareable

from fedbrats.flare.protocol import OFFER_KEY, SKETCH
from fedbrats.privacy.secure.keys import Announcement, ProtocolError
from fedbrats.privacy.secure.messages import Padded, PadRequest, Reveal
from fedbrats.privacy.secure.pads import SEED_BYTES

LENGTH_ERROR = 1.1  # of a sketch of 4096 numbers: nine standard deviations
KEY_BYTES, MOST_SIGNATURE, MOST_CERTIFICATE, MOST_SITES = 32, 1024, 16 * 1024, 10_000
_COVERED, _SIGNED, _REVEALED = {"round", "attempt", "numbers"}, {"signature"}, {"own", "pairs"}


@dataclass(frozen=True)
class Offer:
    """What the server knows of one site's update: float32 (4096,), its Euclidean length, and the key for its pads."""

    sketch: NDArray[np.floating]
    length: float
    announcement: Announcement


def write_offer(answer: DXO, offer: Offer) -> None:
    """Put an offer into an answer, in the place of the update."""
    answer.data = {SKETCH: offer.sketch}
    answer.set_meta_prop(OFFER_KEY, {"length": offer.length, **_key(offer.announcement)})


def read_offer(site: str, answer: DXO) -> Offer:
    """The offer in an answer; its sketch is for the gates to judge. Raises: ProtocolError where there is none."""
    said = answer.get_meta_prop(OFFER_KEY)
    length = said.get("length") if isinstance(said, Mapping) else None
    if not isinstance(length, float) or not (math.isfinite(length) and length > 0):
        raise ProtocolError("it offers no update: no length is said")
    image = answer.data.get(SKETCH)
    _check_length(image, length)
    return Offer(image, length, _read_key(site, said))


def _check_length(image: Any, length: float) -> None:
    """Raise ProtocolError for a length that the sketch does not have.

    The bits of the sum follow from the largest length: one that is too large would round every update to nothing. What
    is no sketch at all is for the gates.
    """
    if not isinstance(image, np.ndarray) or image.dtype.kind != "f":
        return
    seen = float(np.linalg.norm(image.astype(np.float64)))
    if not seen / LENGTH_ERROR <= length <= seen * LENGTH_ERROR:
        raise ProtocolError(f"it says that its update is {length:.4g} long, and its sketch is {seen:.4g} long")


def write_request(request: PadRequest, keys: Mapping[str, Announcement]) -> Shareable:
    """The task `secure_answer`."""
    about = {"job": request.job, "round": request.round, "attempt": request.attempt, "bits": request.bits}
    known = {site: _key(keys[site]) for site in request.coefficients}
    return write({**about, "coefficients": dict(request.coefficients), "keys": known})


def read_request(data: Mapping[str, Any]) -> tuple[PadRequest, list[Announcement]]:
    """The request, and the keys of the sites that it names. Raises: ProtocolError."""
    coefficients, keys = _table(data, "coefficients"), _table(data, "keys")
    if not all(isinstance(value, float) for value in coefficients.values()):
        raise ProtocolError("a coefficient of the request is no number")
    about = [whole(data, name) for name in ("round", "attempt", "bits")]
    request = PadRequest(_text(data, "job"), about[0], about[1], coefficients, about[2])
    return request, [_read_key(site, said) for site, said in keys.items()]


def write_padded(padded: Padded) -> dict[str, Any]:
    """The answer to `secure_answer`."""
    return {"round": padded.round, "attempt": padded.attempt, "numbers": padded.numbers}


def read_padded(site: str, data: Mapping[str, Any]) -> Padded:
    """A site's covered update. Raises: ProtocolError."""
    _require(data, _COVERED)
    return Padded(site, whole(data, "round"), whole(data, "attempt"), data["numbers"])


def write_reveal(reveal: Reveal) -> dict[str, Any]:
    """The answer to `secure_reveal`."""
    return {"own": reveal.own, "pairs": dict(reveal.pairs)}


def read_reveal(site: str, data: Mapping[str, Any]) -> Reveal:
    """The pads that a site takes off. Raises: ProtocolError."""
    _require(data, _REVEALED)
    return Reveal(site, data["own"], data["pairs"])


def read_signature(data: Mapping[str, Any]) -> bytes:
    """The answer to `secure_sign`. Raises: ProtocolError."""
    _require(data, _SIGNED)
    return bytes(data["signature"])


def fault_of_answer(data: Any) -> str | None:
    """Why this is no answer of a padded round, as a clause; None where it is one, with nothing beside it."""
    if not isinstance(data, Mapping):
        return "is no table"
    if data.keys() == _COVERED:
        numbers = data["numbers"]
        good = isinstance(numbers, np.ndarray) and numbers.dtype == np.uint32 and numbers.ndim == 1
        good = good and all(type(data[name]) is int for name in ("round", "attempt"))
        return None if good else "is no array of numbers under a pad"
    if data.keys() == _SIGNED:
        return None if _is_bytes(data["signature"], MOST_SIGNATURE) else "is no signature"
    if data.keys() == _REVEALED:
        pairs = data["pairs"]
        good = isinstance(pairs, Mapping) and len(pairs) <= MOST_SITES and all(isinstance(name, str) for name in pairs)
        good = good and all(_is_seed(each) for each in (data["own"], *pairs.values()))
        return None if good else "is no set of pads"
    return "has entries that no answer has"


def write(data: Mapping[str, Any]) -> Shareable:
    """A message of a padded round."""
    return DXO(DataKind.APP_DEFINED, data=dict(data)).to_shareable()


def read(message: Shareable) -> Mapping[str, Any]:
    """What stands in a message of a padded round. Raises: ProtocolError where it is none."""
    try:
        found = from_shareable(message)
    except ValueError:
        raise ProtocolError("it is no message of a padded round") from None
    if found.data_kind != DataKind.APP_DEFINED or not isinstance(found.data, Mapping):
        raise ProtocolError("it is no message of a padded round")
    return found.data


def whole(data: Mapping[str, Any], name: str) -> int:
    """A whole number of a message. Raises: ProtocolError."""
    value = data.get(name)
    if type(value) is not int or abs(value) > 10**9:
        raise ProtocolError(f"the message has no whole number {name}")
    return value


def names_of(data: Mapping[str, Any], name: str) -> list[str]:
    """A list of names of sites. Raises: ProtocolError."""
    value = data.get(name)
    if not isinstance(value, list) or len(value) > MOST_SITES or not all(isinstance(each, str) for each in value):
        raise ProtocolError(f"the message has no list {name}")
    return value


def signatures_of(data: Mapping[str, Any]) -> dict[str, bytes]:
    """The signatures in the task `secure_reveal`. Raises: ProtocolError."""
    found = _table(data, "signatures")
    if not all(_is_bytes(each, MOST_SIGNATURE) for each in found.values()):
        raise ProtocolError("a signature is no bytes")
    return found


def _key(announcement: Announcement) -> dict[str, bytes]:
    return {
        "public": announcement.public,
        "certificate": announcement.certificate,
        "signature": announcement.signature,
    }


def _read_key(site: str, said: Any) -> Announcement:
    if not isinstance(said, Mapping):
        raise ProtocolError(f"there is no key of {site:.60}")
    public, certificate, signature = (said.get(name) for name in ("public", "certificate", "signature"))
    good = isinstance(public, bytes) and len(public) == KEY_BYTES
    if not good or not _is_bytes(certificate, MOST_CERTIFICATE) or not _is_bytes(signature, MOST_SIGNATURE):
        raise ProtocolError(f"the key of {site:.60} is none")
    return Announcement(site, public, certificate, signature)  # type: ignore[arg-type]


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, Mapping) or len(value) > MOST_SITES or not all(isinstance(key, str) for key in value):
        raise ProtocolError(f"the message has no table {name}")
    return dict(value)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"the message has no text {name}")
    return value


def _require(data: Mapping[str, Any], names: set[str]) -> None:
    if data.keys() != names or (fault := fault_of_answer(data)):
        raise ProtocolError(f"the answer {'has other entries' if data.keys() != names else fault}")


def _is_bytes(value: Any, most: int) -> bool:
    return isinstance(value, bytes) and 0 < len(value) <= most


def _is_seed(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == SEED_BYTES
