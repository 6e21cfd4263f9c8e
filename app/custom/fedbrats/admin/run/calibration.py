"""What training costs on this machine at this moment, measured in as many processes as will train at the same time.

A process alone would not do: two share the memory, the caches, and maybe one core's two threads. Each process of a
measurement prepares a case, makes some steps of training and scores the case. They begin together. `main` is such a
process; it is told by lines of JSON on standard input, and answers on standard output.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fedbrats.admin.run.processes import participant_environment
from fedbrats.errors import DataError, FedbratsError
from fedbrats.jobs.estimate import Cost

if TYPE_CHECKING:
    from fedbrats.data.cases.case import Case
    from fedbrats.jobs.plan import TrainingPlan

TRIED = 3  # cases of which one should be whole
LABELLED = 5 / 4  # files of a case with its segmentation, to those that the measured preparation reads
READY, GO = "ready", "go"


@dataclass(frozen=True)
class Measured:
    """What was measured, and the operations of a step in 10^9."""

    cost: Cost
    gflop_a_step: float


def measure(
    plan: TrainingPlan, sites: Sequence[Sequence[Case]], *, device: str, threads: int, processes: int
) -> Measured:
    """Train some steps of a plan on cases of these sites, in so many processes of so many threads at once.

    Takes about ten seconds. The process of each site has cases of its own.

    Raises: DataError where no case of a process can be prepared; FedbratsError where memory does not suffice.
    """
    asked = {
        "network": plan.network,
        "training": plan.training.model_dump(mode="json"),
        "preparation": plan.preparation.model_dump(mode="json"),
        "start": str(plan.variables.get("start", "none")),
        "device": device,
        "threads": threads,
    }
    command = [sys.executable, "-m", __name__]
    environment = participant_environment()
    started: list[subprocess.Popen[str]] = []
    try:
        for number in range(processes):
            cases = [_as_json(case) for case in sites[number % len(sites)][:TRIED]]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            started.append(process)
            _tell(process.stdin, {**asked, "cases": cases})
        launched = [_answer(process, READY)["launch_s"] for process in started]
        for process in started:
            _tell(process.stdin, {GO: True})
        found = [_answer(process, "step_s") for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
    return _combine(found, launched)


def _combine(found: Sequence[Mapping[str, float]], launched: Sequence[float]) -> Measured:
    """The mean over the processes of a measurement."""
    mean = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
    cost = Cost(
        step_s=mean["step_s"],
        score_s=mean["score_s"],
        final_s=mean["final_s"],
        prepare_s=mean["prepare_s"],
        launch_s=sum(launched) / len(launched),
        at_once=len(found),
        share=min(1.0, mean["share"]),
        memory_gb=mean["memory_gb"],
    )
    return Measured(cost, mean["gflop_a_step"])


def _as_json(case: Case) -> dict[str, Any]:
    images = {name: str(path.absolute()) for name, path in case.images.items()}
    return {"name": case.name, "patient": case.patient, "images": images}


def _tell(stream: IO[str] | None, document: Mapping[str, Any]) -> None:
    assert stream is not None
    try:
        stream.write(json.dumps(document) + "\n")
        stream.flush()
    except BrokenPipeError:
        pass  # it has ended, and its answer says so


def _answer(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """The next line that a process of the measurement says. Raises: DataError, FedbratsError."""
    assert process.stdout is not None
    line = process.stdout.readline()
    document = json.loads(line) if line else {"error": "a process of the measurement ended early; is memory short?"}
    if name in document:
        return dict(document)
    raise (DataError if document.get("is_of_data") else FedbratsError)(str(document.get("error", document)))


def main() -> int:
    """One process of a measurement."""
    asked = json.loads(sys.stdin.readline())
    try:
        import fedbrats.model.training.trial
        import fedbrats.site.local_round  # noqa: F401

        _tell(sys.stdout, {READY: True, "launch_s": time.process_time()})
        if not sys.stdin.readline():
            return 1
        _tell(sys.stdout, _train(asked))
    except FedbratsError as error:
        _tell(sys.stdout, {"error": str(error), "is_of_data": isinstance(error, DataError)})
        return 1
    return 0


def _train(asked: Mapping[str, Any]) -> dict[str, float]:
    from fedbrats.data.cases.case import Case
    from fedbrats.data.prepare.cache import CachedCase, CacheSettings, prepare_case
    from fedbrats.data.regions import BRATS_2018
    from fedbrats.jobs.start import read_start
    from fedbrats.model.settings import TrainingSettings
    from fedbrats.model.training.trial import time_training

    def prepare(folder: Path) -> tuple[CachedCase, float]:
        why = ""
        for entry in asked["cases"]:
            images = {name: Path(path) for name, path in entry["images"].items()}
            began = time.perf_counter()
            try:  # without its labels, whose convention nobody has asked for yet
                case = Case(entry["name"], entry["patient"], images)
                return prepare_case(case, BRATS_2018, folder, preparation), time.perf_counter() - began
            except DataError as error:
                why = f": {error}"
        raise DataError(f"no case can be prepared{why}")

    preparation = CacheSettings(**asked["preparation"])
    threads = int(asked["threads"])
    with tempfile.TemporaryDirectory(prefix="fedbrats-plan-") as scratch:
        case, prepare_s = prepare(Path(scratch))
        network, settings = asked["network"], TrainingSettings(**asked["training"])
        weights = read_start(asked["start"], network)
        began, used = time.perf_counter(), time.process_time()
        timing = time_training(network, settings, case, weights=weights, device=asked["device"], threads=threads)
        share = (time.process_time() - used) / (time.perf_counter() - began)
    return {
        "step_s": timing.step_s,
        "score_s": timing.score_s,
        "final_s": timing.final_s,
        "prepare_s": prepare_s * LABELLED,
        "memory_gb": timing.memory_gb,
        "gflop_a_step": timing.gflop_a_step,
        # Several threads wait for each other, and a processor waits for a GPU: that is nobody else's share.
        "share": share if threads == 1 and timing.device == "cpu" and math.isfinite(share) else 1.0,
    }


if __name__ == "__main__":
    sys.exit(main())
