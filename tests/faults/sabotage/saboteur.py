"""What breaks a FLARE process from within, at a chosen event of a chosen round: stands in the kits of tests alone.

An order is a file `NAME.json` in the folder that `orders.txt` beside this module names: identity, event, round, signal,
and what to hit: `job` (the process of the job) or `all` (the participant's own process first, then the job's). It is
carried out once: the file is renamed before.
"""

import itertools
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.app_common.app_constant import AppConstants

ORDERS = Path(Path(__file__).with_name("orders.txt").read_text())


class Saboteur(FLComponent):
    """Stands in the kit so that every process of the participant imports this module."""


def _carry_out(event_type, fl_ctx):
    """Do what is ordered for this event."""
    number = _round_of(fl_ctx)
    for path in ORDERS.glob("*.json"):
        try:
            order = json.loads(path.read_text())
            if (order["event"], order["round"]) != (event_type, number) or order["identity"] != _who():
                continue
            path.rename(path.with_suffix(".done"))
        except FileNotFoundError:
            continue  # another process was first
        if order.get("delay_s"):
            threading.Timer(order["delay_s"], _hit, [order]).start()
        else:
            _hit(order)


_fire_event = FLComponent.fire_event


def _fire_sabotaged(self, event_type, fl_ctx):
    _carry_out(event_type, fl_ctx)
    return _fire_event(self, event_type, fl_ctx)


FLComponent.fire_event = _fire_sabotaged  # a kit's components hear of no event in the process of a job


def _who():
    """The participant whose process this is: its kit is an argument; a job's server goes by the project's name."""
    return next((Path(word).name for flag, word in itertools.pairwise(sys.argv) if flag == "-m"), None)


_seen = {"round": None}


def _round_of(fl_ctx):
    """The round of the server, or of the task that a site does or has just done."""
    task = fl_ctx.get_prop(FLContextKey.TASK_DATA)
    number = fl_ctx.get_prop(AppConstants.CURRENT_ROUND)
    if number is None and task is not None:
        number = task.get_header(AppConstants.CURRENT_ROUND)
    if number is not None:
        _seen["round"] = number
    return _seen["round"]


def _hit(order):
    how = getattr(signal, order["signal"])
    if order["what"] == "all":
        for parent in psutil.Process().parents():
            words = " ".join(parent.cmdline())
            if "server_train" in words or "client_train" in words:
                os.kill(parent.pid, how)
    os.kill(os.getpid(), how)
    if how == signal.SIGKILL:
        time.sleep(60)  # the process ends here; a stopped one goes on when it is told to
