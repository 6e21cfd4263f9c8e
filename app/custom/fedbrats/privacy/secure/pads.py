"""Pads: streams of uniform numbers that two parties can draw alike, and nobody else."""

from __future__ import annotations

import json

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedbrats.privacy.secure.ring import Ring

SEED_BYTES = 32


def derive(secret: bytes, *purpose: object) -> bytes:
    """A seed for one purpose (a job, a round, an attempt), from which nothing follows about the secret."""
    return HKDF(SHA256(), SEED_BYTES, salt=None, info=json.dumps(purpose).encode()).derive(secret)


def pad_of(seed: bytes, length: int) -> Ring:
    """`length` uniform numbers modulo 2^32; a seed is used for one pad only."""
    stream = Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(4 * length)), np.uint32)
