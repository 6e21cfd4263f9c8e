"""Do one thing to every case, in as many processes as there are cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from fedbrats.data.container import core_limit
from fedbrats.errors import FedbratsError

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_cores() -> int:
    """The cores that this process may use, which in a container is fewer than the machine has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, core_limit() or cores)


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None
) -> Iterator[Result]:
    """`function` of every item, in the order of `items` and as they get done; `workers` defaults to the cores.

    The processes start here and not at the first result: forking is safe only before a progress bar has its thread.
    The results raise FedbratsError if a worker dies, as it does when memory runs out, and what `function` raises.
    """
    workers = min(workers or count_cores(), len(items))
    if workers <= 1:
        return map(function, items)
    pool = ProcessPoolExecutor(workers, initializer=_leave_interrupts_to_parent)
    return _collect(pool, pool.map(function, items))


def _collect(pool: ProcessPoolExecutor, results: Iterator[Result]) -> Iterator[Result]:
    try:
        yield from results
    except BrokenProcessPool:
        raise FedbratsError(
            "a worker process died, most likely for lack of memory; try again with --workers 1"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    """Ctrl-C reaches every process of a terminal; the parent alone ends the work and says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
