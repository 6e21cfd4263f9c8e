"""Run a built job with all its sites in this process.

    python -m fedbrats.flare.one_process JOB_FOLDER WORKSPACE JOB_ID THREADS SITE,SITE,...

The server runs in a thread of its own; the sites take turns on as many threads as there are to compute. Everything that
decides about a number is what a federation over the network has: FLARE's runners, controllers and filters, the
executors, the gates and the aggregators.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from nvflare.apis.fl_constant import SiteType
from nvflare.private.fed.utils.fed_utils import nvflare_fobs_initialize

from fedbrats.atomic import leave_flushing_to_the_system
from fedbrats.flare.one_process import lean
from fedbrats.flare.one_process.folders import lay_out
from fedbrats.flare.one_process.parts import Server, Site
from fedbrats.site.state import keep_small_states_in_memory

PAUSE_S = 0.02  # of a thread whose sites have no task
PAUSES = 50  # in which each of them has asked once
LOOK_S = 2.0  # between two looks whether the command lives
FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


def main() -> int:
    """Run the job; 0 says that it came to an end, and its rows say how."""
    job_dir, root, job_id, threads, names = sys.argv[1:]
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    logging.basicConfig(level=logging.INFO, format=FORMAT, stream=sys.stdout)
    run(Path(job_dir), Path(root), job_id, int(threads), names.split(","))
    return 0


def _end_with(parent: int) -> None:
    """End where the command that began this is no more: nobody would fetch the result, and the cores are wanted."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


def run(job_dir: Path, root: Path, job_id: str, threads: int, names: Sequence[str]) -> None:
    """Run a built job with these sites; `root` has a folder `local` with a site file and the list of classes."""
    nvflare_fobs_initialize()
    leave_flushing_to_the_system()
    keep_small_states_in_memory()
    lean.leave_out()
    workspaces = lay_out(job_dir, root, names, job_id)
    server = Server(workspaces[SiteType.SERVER], job_id, list(names))
    sites = [Site(workspaces[name], job_id, name) for name in names]
    over = threading.Event()
    workers = [
        threading.Thread(target=_work, args=(sites[number::threads], server, over), daemon=True)
        for number in range(min(threads, len(sites)))
    ]
    for worker in workers:
        worker.start()
    try:
        server.runner.run()
    finally:
        over.set()
    for worker in workers:
        worker.join()
    for site in sites:
        site.end()


def _work(sites: Sequence[Site], server: Server, over: threading.Event) -> None:
    """Let some sites do what they are asked for, one after the other, until the job is over.

    A request costs milliseconds of the server. So a few sites ask in turn, and all others as soon as one got a task.
    """
    few, first = -(-len(sites) // PAUSES), 0
    try:
        while not over.is_set():
            asking, rest = sites[first : first + few], [*sites[:first], *sites[first + few :]]
            first = 0 if first + few >= len(sites) else first + few
            if not sum(site.work(server) for site in asking if not over.is_set()):
                time.sleep(PAUSE_S)
                continue
            for site in rest:
                if not over.is_set():
                    site.work(server)
    except BaseException:  # a thread that ends in silence would let the server wait for ever
        logging.getLogger(__name__).exception("a site has ended")
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
