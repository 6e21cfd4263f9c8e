"""Work in processes comes back in order, and a worker that dies is one sentence."""

from __future__ import annotations

import os
import time

import pytest

from fedbrats.data.parallel import count_cores, map_in_processes
from fedbrats.errors import DataError, FedbratsError


def square_slowly(number: int) -> int:
    time.sleep(0.02 * (3 - number))  # the first takes longest
    return number**2


def die(number: int) -> int:
    os._exit(9)


def fail(number: int) -> int:
    raise DataError(f"{number} is bad")


@pytest.mark.parametrize("workers", [None, 1, 2, 10])
def test_results_come_in_order(workers: int | None) -> None:
    assert list(map_in_processes(square_slowly, [0, 1, 2], workers)) == [0, 1, 4]
    assert list(map_in_processes(square_slowly, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_pass_through(workers: int) -> None:
    with pytest.raises(DataError, match="1 is bad"):
        list(map_in_processes(fail, [1, 2], workers))


def test_a_dead_worker_is_said() -> None:
    with pytest.raises(FedbratsError, match="a worker process died"):
        list(map_in_processes(die, [1, 2], 2))


def test_there_is_a_core() -> None:
    assert count_cores() >= 1
