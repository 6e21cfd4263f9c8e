"""Random numbers that nobody can guess: ChaCha20 with a key of the operating system."""

from __future__ import annotations

import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

KEY_BYTES, NONCE_BYTES = 32, 16
DRAWS = 4  # of which one Gaussian number is the scaled sum


class SecretRandom:
    """Uniform and Gaussian numbers from a stream cipher.

    A job's seed never reaches it: noise that can be drawn again can be taken off again.

    Args:
        key: 32 bytes, for tests; None draws them from the operating system.
    """

    def __init__(self, key: bytes | None = None) -> None:
        cipher = Cipher(ChaCha20(key or secrets.token_bytes(KEY_BYTES), bytes(NONCE_BYTES)), mode=None)
        self._stream = cipher.encryptor()

    def uniform(self, count: int) -> NDArray[np.float64]:
        """`count` numbers above 0 and at most 1, each of 53 bits."""
        words = np.frombuffer(self._stream.update(bytes(8 * count)), np.uint64)
        return ((words >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """`count` standard Gaussian numbers.

        Each is half the sum of four: the gaps between floating-point numbers then tell nothing useful of what the noise
        is added to (Mironov 2012; Holohan and Braghin 2021, arXiv:2107.10138).
        """
        draws = [self._box_muller(count) for _ in range(DRAWS)]
        return np.asarray(np.sum(draws, axis=0) / np.sqrt(DRAWS))

    def _box_muller(self, count: int) -> NDArray[np.float64]:
        half = -(-count // 2)
        lengths = np.sqrt(-2.0 * np.log(self.uniform(half)))
        angles = 2.0 * np.pi * self.uniform(half)
        return np.concatenate([lengths * np.cos(angles), lengths * np.sin(angles)])[:count]
