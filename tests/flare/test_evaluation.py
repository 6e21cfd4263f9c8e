"""What a site may answer to an evaluation: about models that it was asked about, once, and never a file."""

from types import SimpleNamespace

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.workflows.global_model_eval import GlobalModelEval
from nvflare.private.fed.server.server_commands import ShowStatsCommand
from nvflare.widgets.info_collector import InfoCollector
from safetensors.numpy import save_file

from fedbrats.errors import DataError, UpdateError
from fedbrats.flare.process.early_questions import answer_early_questions
from fedbrats.flare.protocol import FINAL_MODEL, SILENT_SITES
from fedbrats.flare.server.evaluation import FinalEvaluation, read_parts
from fedbrats.flare.server.recorder import Recorder
from fedbrats.model.network import SegmentationNetwork
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER, read_rows
from tests.flare.conftest import JOB_ID, Room
from tests.security.attacks import attack

HOSTILE = ["../../x", "/x", "a\x00b", "x" * 300, "a\nb", "", "\x1b[31m", 7, ["a"], {"a": 1}]
SITE = "hospital-east"


@pytest.fixture
def evaluation(tmp_path):
    """A workflow that has asked two sites about the final model, and how to have it hear an answer."""
    workflow = FinalEvaluation(model_locator_id="locator")
    room = Room(tmp_path / "server", components={"recorder": Recorder(), "workflow": workflow})
    workflow._server_models = {FINAL_MODEL: "where it lies"}
    with room.new_context() as fl_ctx:
        room.fire_event("_start_run", fl_ctx)

    def hear(answer, *, late=False, site=SITE):
        with room.new_context() as fl_ctx:
            if late:
                workflow._accept_val_result(client_name=site, result=answer, fl_ctx=fl_ctx)
            else:
                task = SimpleNamespace(props={AppConstants.MODEL_OWNER: FINAL_MODEL})
                client = SimpleNamespace(name=site)
                workflow._receive_val_result_cb(SimpleNamespace(task=task, client=client, result=answer), fl_ctx)
        return read_rows(tmp_path / "server" / JOB_ID / ROWS_FOLDER / ROWS_FILE)

    return hear


def test_a_question_how_the_job_stands_logs_nothing(tmp_path, caplog):
    workflow = FinalEvaluation(model_locator_id="locator")
    room = Room(tmp_path / "server", components={"workflow": workflow})
    with room.new_context() as fl_ctx:
        room.fire_event(InfoCollector.EVENT_TYPE_GET_STATS, fl_ctx)
    assert caplog.text == ""


def test_a_question_before_the_job_has_begun_is_answered_with_nothing():
    answer_early_questions()
    answer_early_questions()
    assert ShowStatsCommand().process(Shareable(), FLContext()) == {}
    collector = SimpleNamespace(get_run_stats=lambda: {"rounds": 3})
    fl_ctx = SimpleNamespace(get_engine=lambda: SimpleNamespace(get_widget=lambda _: collector))
    assert ShowStatsCommand().process(Shareable(), fl_ctx) == {"rounds": 3}


def test_who_was_silent_in_the_rounds_is_not_waited_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(GlobalModelEval, "control_flow", lambda self, *_: asked.extend(self._participating_clients))
    sites = ["hospital-east", "hospital-north", "hospital-south"]
    workflow = FinalEvaluation(model_locator_id="locator", participating_clients=sites)
    room = Room(tmp_path / "server")
    with room.new_context() as fl_ctx:
        workflow.control_flow(Signal(), fl_ctx)
        fl_ctx.set_prop(SILENT_SITES, ["hospital-north", "hospital-west"], private=True, sticky=True)
    with room.new_context() as fl_ctx:
        workflow.control_flow(Signal(), fl_ctx)
    assert asked == [*sites, "hospital-east", "hospital-south"]


def answered(cookie=FINAL_MODEL, **data):
    dice = dict.fromkeys(("WT", "TC", "ET", "mean"), 0.5)
    report = {"validation_cases": 5, "metrics": {"dice": dice, "iou": dice}, **data}
    answer = DXO(DataKind.METRICS, data=report).to_shareable()
    answer.add_cookie(AppConstants.MODEL_OWNER, cookie)
    return answer


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_an_answer_becomes_rows_and_no_file(evaluation, tmp_path):
    before = tree(tmp_path)
    rows = evaluation(answered())
    assert [row["stage"] for row in rows if row["kind"] == "metrics"] == ["final"] * 4
    assert tree(tmp_path) == before


@attack(
    "write a file at any path of the server by the name of a model in an answer to an evaluation",
    who="a hospital",
    happens="the task says which model it is; an answer becomes rows and no file",
    says="hospital-east sent an evaluation of ../../x, which nobody asked for: it is not counted",
)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_cookie_is_no_name(evaluation, tmp_path, text):
    """In time, the task says which model it is; later, only a name that was asked about counts."""
    before = tree(tmp_path)
    rows = evaluation(answered(text))
    assert {row["site"] for row in rows if row["kind"] == "metrics"} == {SITE}
    rows = evaluation(answered(text), late=True, site="hospital-west")
    assert [row["reason"] for row in rows if row["kind"] == "refusal"] == ["not-asked"]
    assert {row["site"] for row in rows if row["kind"] == "metrics"} == {SITE}
    assert tree(tmp_path) == before


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_in_an_answer_is_no_name_either(evaluation, tmp_path, text):
    before = tree(tmp_path)
    for data in ({"validation_cases": text}, {"metrics": text}, {str(text): text}):
        evaluation(answered(**data), site=f"site {data.keys()}")
    answer = answered()
    answer.set_header("a header", text)
    evaluation(answer)
    assert tree(tmp_path) == before


def test_the_first_answer_of_a_site_counts(evaluation):
    evaluation(answered())
    rows = evaluation(answered(), late=True)
    assert len([row for row in rows if row["kind"] == "metrics"]) == 4
    assert [row["message"] for row in rows if row["kind"] == "refusal"] == [f"a second evaluation of {FINAL_MODEL}"]


class TestPersonalParts:
    """What a site submits for the other sites to evaluate."""

    @pytest.fixture
    def network(self):
        return SegmentationNetwork("tiny")

    @pytest.fixture
    def folder(self, tmp_path, network):
        weights = {name: np.ascontiguousarray(value.numpy()) for name, value in network.state_dict().items()}
        save_file(weights, tmp_path / "fedper.safetensors", metadata={"personal": "head", "job_id": "job-1"})
        return tmp_path

    @pytest.fixture
    def part(self, network):
        prefixes = tuple(network.personal_names("head"))
        return {name: value.numpy() for name, value in network.state_dict().items() if name.startswith(prefixes)}

    def test_those_of_a_model_of_the_job_are_read(self, folder, network, part):
        found = read_parts(submitted({"fedper": part}), folder, network)
        assert set(found) == {"fedper"}
        assert set(found["fedper"].data) == set(part)

    @pytest.mark.parametrize("text", HOSTILE[:7], ids=range(7))
    def test_a_name_is_one_of_the_job(self, folder, network, part, text):
        with pytest.raises((DataError, UpdateError)):
            read_parts(submitted({text: part}), folder, network)

    def test_names_and_shapes_are_those_of_the_model(self, folder, network, part):
        name = next(iter(part))
        for other in ({}, {**part, "more": part[name]}, {**part, name: np.zeros(3)}, {**part, name: "text"}):
            with pytest.raises(UpdateError, match="names and shapes"):
                read_parts(submitted({"fedper": other}), folder, network)
        with pytest.raises(UpdateError, match="no set of weights"):
            read_parts(DXO(DataKind.COLLECTION, data={"fedper": part}).to_shareable(), folder, network)
        with pytest.raises((UpdateError, ValueError)):
            read_parts(Shareable(), folder, network)


def submitted(parts):
    collection = {name: DXO(DataKind.WEIGHTS, data=part) for name, part in parts.items()}
    return DXO(DataKind.COLLECTION, data=collection).to_shareable()
