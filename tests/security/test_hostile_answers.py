"""Every text of a training answer, set to what a file system, a log or a thread could be fooled by, changes nothing."""

import threading
import tracemalloc

import numpy as np
import pytest
from nvflare.apis.dxo import from_shareable

from fedbrats.flare.server.tracking import Curves
from fedbrats.methods.fedavg import WeightedFedAvg
from tests.flare.conftest import gated
from tests.flare.server import Server, honest
from tests.security.attacks import attack

FIRST = "00000000-0000-4000-8000-000000000001"
HOSTILE = ("../../x", "/x", "a\x00b", "x" * 300, "a\n2026 - ERROR - forged\x1b[31m", "9" * 10**6)


def replaced(value, path, text):
    """A copy of nested dictionaries in which one key, or the value there, is another text."""
    name, *rest = path
    if name == "key":
        first = next(iter(value))
        return {(text if key == first else key): each for key, each in value.items()}
    return {**value, name: replaced(value[name], rest, text) if rest else text}


# Where a text stands in an answer, or could: a path of keys into the DXO's meta and data, and into the answer itself.
PLACES = [
    ("meta", ("fedbrats", name))
    for name in ("manifest", "version", "begins", "training_cases", "steps", "loss", "seconds", "received")
]
PLACES += [("meta", path) for path in (("fedbrats",), ("key",), ("initial_metrics",), ("initial_metrics", "key"))]
PLACES += [("meta", ("fedbrats", "key")), ("meta", ("fedbrats", "received", "dice", "key")), ("data", ("key",))]
PLACES += [("header", "a header"), ("cookie", "__contribution_round__"), ("cookie", "a cookie"), ("kind", None)]


def spoil(reply, place, text):
    what, where = place
    if what == "header":
        reply.set_header(where, text)
    elif what == "cookie":
        reply.add_cookie(where, text)
    else:
        dxo = from_shareable(reply)
        if what == "kind":
            dxo.data_kind = text
        elif what == "meta":
            dxo.meta = replaced(dxo.meta, where, text)
        else:
            dxo.data = replaced(dxo.data, where, text)
        reply = dxo.update_shareable(reply)
    return reply


def tree(folder):
    """Every file and folder outside the run folder of the job."""
    return {str(path) for path in folder.rglob("*") if FIRST not in path.parts}


@attack(
    "put a path, a NUL, 300 signs, a line break or a megabyte into any text of a training answer",
    who="a hospital",
    happens="left out or refused; no file, no thread and no memory more, and the others are counted in every round",
)
@pytest.mark.parametrize("text", HOSTILE, ids=("up", "root", "nul", "long", "lines", "megabyte"))
def test_no_text_of_an_answer_becomes_a_path_a_thread_or_a_line(tmp_path, text):
    def behave(server, site, number, weights):
        reply = honest(server, site, number, weights)
        return spoil(reply, PLACES[number], text) if site == "c" else reply

    rule = {"min_clients": 2, "attempts": 1}
    method = gated(WeightedFedAvg)
    server = Server(
        tmp_path / "kit",
        FIRST,
        rounds=len(PLACES),
        aggregator=method,
        participation=rule,
        behaviour=behave,
    )
    server.room.components["curves"] = Curves()
    (tmp_path / "kit" / FIRST).mkdir(parents=True, exist_ok=True)
    before, threads = tree(tmp_path), threading.active_count()
    tracemalloc.start()
    server.run()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert server.room.said == []
    assert len(server.rows("round")) == len(PLACES)
    assert most < 100 * 2**20
    assert threading.active_count() <= threads + 8  # of FLARE and of TensorBoard, for three sites
    assert {path for path in tree(tmp_path) - before if "state" not in path} == set()
    log = "\n".join(row["message"] for row in server.rows("refusal"))
    assert all(line.isprintable() and len(line) < 500 for line in log.splitlines())
    assert "forged" not in {line.partition(" - ")[2] for line in log.splitlines()}
    assert all({"a", "b"} <= set(row["counted"]) for row in server.rows("participation"))
    assert all(np.isfinite(value).all() for value in server.weights.values())
