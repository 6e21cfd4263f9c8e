"""An array in a message says its size, which is compared with what is there before anything is allocated."""

import io

import numpy as np
import pytest

from fedbrats.errors import UpdateError
from fedbrats.flare.kit.arrays import read_array
from tests.security.attacks import attack


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.float32(3),
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 4), np.float16),
        np.array([True, False]),
    ],
    ids=str,
)
def test_an_array_of_numbers_arrives_as_it_was(array):
    read = read_array(npy(array))
    assert read.dtype == np.asarray(array).dtype
    assert read.shape == np.shape(array)
    assert read.tobytes() == np.ascontiguousarray(array).tobytes()
    assert read.flags.writeable


@attack(
    "announce an array larger than what is sent, or one of Python objects",
    who="a hospital",
    happens="refused before anything is allocated",
    says="an array announces 99999999999 numbers of type float32 in 16 bytes",
)
@pytest.mark.parametrize(
    "data",
    [
        npy(np.zeros(4, np.float32)).replace(b"(4,)", b"(99999999999,)").replace(b"           \n", b"\n"),
        npy(np.zeros(4, np.float32))[:-1],
        npy(np.zeros(4, np.float32)) + b"x",
        npy(np.zeros(4, np.float32)).replace(b"(4,)", b"(-4,)"),
        npy(np.array(["text"])),
        npy(np.array([{}], dtype=object), allow_pickle=True),
        npy(np.zeros(1, np.complex64)),
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 9,
    ],
    ids=range(10),
)
def test_anything_else_is_refused(data):
    with pytest.raises(UpdateError, match="an array"):
        read_array(data)


@pytest.mark.parametrize("end", range(0, len(npy(np.arange(5.0))), 3))
def test_an_array_that_is_cut_is_refused(end):
    with pytest.raises(UpdateError):
        read_array(npy(np.arange(5.0))[:end])
