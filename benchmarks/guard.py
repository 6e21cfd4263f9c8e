"""What the guard of FLARE's cells costs: processor time to judge one message, which does not depend on the load.

    python benchmarks/guard.py

Judges the frames of which a round consists, as they reach the server's process of a job that reads streams of five
sites. Writes benchmarks/results/guard.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, MessagePropKey
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming.byte_receiver import RxTask
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey
from record import RESULTS, Target, write

from fedbrats.flare.kit.cell_guard import CellGuard
from fedbrats.flare.kit.cell_rules import STREAM, STREAM_ACKNOWLEDGEMENT, STREAM_DATA

SITES, FRAMES, REPEATS = 5, 2000, 15
A_ROUND = 400  # messages of five sites, assumed and not counted: 80 a site, polls and acknowledgements too
JOB = str(uuid.UUID(int=1, version=4))


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "guard.json")
    args = parser.parse_args()
    guard: Any = CellGuard()
    cell: Any = SimpleNamespace(my_info=SimpleNamespace(fqcn=f"server.{JOB}"))
    for site in range(SITES):  # finished streams stay in FLARE's table for a while
        for number in range(40):
            origin = f"hospital-{site}.{JOB}"
            RxTask.rx_task_map[origin, number] = SimpleNamespace(origin=origin, completed=True, failed=False)  # type: ignore[assignment]
    messages = [frame(number) for number in range(FRAMES)]
    seconds = []
    for _ in range(REPEATS):
        began = time.process_time()
        heard = [guard.judge(message, cell) is None for message in messages]
        seconds.append(time.process_time() - began)
        assert all(heard), "a message of a round is refused"
    microseconds = statistics.median(seconds) / FRAMES * 1e6
    numbers = {
        "microseconds_a_message": round(microseconds, 1),
        "messages_assumed_a_round": A_ROUND,
        "ms_of_processor_time_a_round": round(microseconds * A_ROUND / 1000, 1),
    }
    target = Target("ms_of_processor_time_a_round", 50, numbers["ms_of_processor_time_a_round"])
    return write(args.out, [target], {"numbers": numbers})


def frame(number: int) -> Message:
    """A frame of a round: in turn the beginning of a stream, and the acknowledgement of one."""
    origin = f"hospital-{number % SITES}.{JOB}"
    topic = STREAM_ACKNOWLEDGEMENT if number % 2 else STREAM_DATA
    headers: dict[str, Any] = {
        MessageHeaderKey.ORIGIN: origin,
        MessageHeaderKey.DESTINATION: f"server.{JOB}",
        MessageHeaderKey.MSG_TYPE: "req",
        MessageHeaderKey.CHANNEL: STREAM,
        MessageHeaderKey.TOPIC: topic,
        StreamHeaderKey.STREAM_ID: 10**6 + number,
    }
    if topic == STREAM_DATA:
        headers |= {StreamHeaderKey.CHANNEL: "server_command", StreamHeaderKey.TOPIC: "get_task"}
    message = Message(headers, b"x" * 1000)
    message.set_prop(MessagePropKey.ENDPOINT, Endpoint("server"))
    return message


if __name__ == "__main__":
    sys.exit(main())
