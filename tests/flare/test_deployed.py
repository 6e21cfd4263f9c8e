"""A job with a number out of bounds is refused where it runs, in one sentence, whatever its submitter checked."""

import inspect
import json
import logging
from pathlib import Path

import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.signal import Signal

from fedbrats.errors import ConfigurationError
from fedbrats.federation.factor.settings import FactorSettings
from fedbrats.flare.packing import Compress
from fedbrats.flare.server.gated_aggregator import GatedAggregator
from fedbrats.flare.server.job_models import JobModels
from fedbrats.flare.server.workflow import QuorumScatterAndGather
from fedbrats.flare.site.cross_site import CrossSiteExecutor
from fedbrats.flare.site.executor import SegmentationExecutor
from fedbrats.flare.site.filters import KeepShared
from fedbrats.jobs.build import build_job
from fedbrats.jobs.settings import variables
from fedbrats.methods.contribution import ContributionFactor
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.methods.robust_means import CoordinateMedian, TrimmedMean
from tests.flare.conftest import JOB_ID, Room, gated
from tests.flare.server import Server, ServerRoom


def deploy(config_dir: str, source: Path, **values) -> None:
    """FLARE's copy of a job at a participant, with variables that somebody has changed since it was built."""
    Path(config_dir).mkdir(parents=True)
    for path in (build_job("fedavg", source) / "app" / "config").iterdir():
        document = json.loads(path.read_text())
        document |= {name: value for name, value in values.items() if name in document}
        (Path(config_dir) / path.name).write_text(json.dumps(document))


def test_no_component_has_another_default_than_is_declared():
    for kind in (QuorumScatterAndGather, GatedAggregator, TrimmedMean, SegmentationExecutor, KeepShared):
        for name, parameter in inspect.signature(kind).parameters.items():
            if name in variables() and name not in ("hooks", "start"):  # a table, and what a build resolves
                assert parameter.default == variables()[name].declared.default, (kind, name)


def test_the_server_ends_such_a_job_before_its_first_round(tmp_path):
    server = Server(tmp_path / "kit", JOB_ID)
    deploy(server.room.workspace.get_app_config_dir(JOB_ID), tmp_path / "jobs", evaluation_timeout_s=0)
    assert server.run().room.said == ["evaluation_timeout_s is 0, expected a whole number from 1 to 100000000"]
    assert server.rows("round") == []


def test_the_server_ends_such_a_job_that_evaluates(tmp_path):
    room = ServerRoom(tmp_path / "kit")
    deploy(room.workspace.get_app_config_dir(JOB_ID), tmp_path / "jobs", poll_interval_s=0)
    room.components["model_locator"] = JobModels()
    with room.new_context() as fl_ctx:
        room.fire_event(EventType.START_RUN, fl_ctx)
    assert room.said == ["poll_interval_s is 0, expected a number from 0.001 to 60"]


@pytest.mark.parametrize("kind", [SegmentationExecutor, CrossSiteExecutor])
def test_a_site_answers_nothing_to_such_a_job(tmp_path, caplog, kind):
    room = Room(tmp_path / "kit", identity="site-1")
    deploy(room.workspace.get_app_config_dir(JOB_ID), tmp_path / "jobs", learning_rate=11)
    executor = kind(network="tiny")
    with caplog.at_level(logging.ERROR), room.new_context() as fl_ctx:
        answer = executor.execute("validate", DXO(DataKind.WEIGHTS, data={}).to_shareable(), fl_ctx, Signal())
    assert answer.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "learning_rate is 11, expected a number from 1e-09 to 10" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: QuorumScatterAndGather(rollback_drop=-1), "rollback_drop is -1"),
        (lambda: QuorumScatterAndGather({"min_clients": 0}), "min_clients is 0"),
        (lambda: gated(WeightedFedAvg, memory_mb=-1), "memory_mb is -1"),
        (lambda: gated(WeightedFedAvg, personal_rounds=-1), "personal_rounds is -1"),
        (lambda: gated(WeightedFedAvg, clip_multiple=-1), "clip_multiple is -1"),
        (lambda: gated(ContributionFactor, factor={"clip_multiple": 3}), "factor has no setting .clip_multiple."),
        (lambda: gated(CoordinateMedian, weight_power=0.5), "weight_power is 0.5 and CoordinateMedian does not weigh"),
        (lambda: gated(TrimmedMean, trim=0.7), "trim is 0.7"),
        (lambda: SegmentationExecutor(seed=-1), "seed is -1"),
        (lambda: SegmentationExecutor(personal_rounds=0.5), "personal_rounds is 0.5"),
        (lambda: SegmentationExecutor(validate_received=1), "validate_received is 1"),
        (lambda: KeepShared(personal_rounds=-1), "personal_rounds is -1"),
        (lambda: Compress("zip"), "none, float16, int8"),
    ],
)
def test_a_component_holds_its_own_arguments_to_the_bounds(make, said):
    """Arguments that stand in a component, and not in a variable, are judged too."""
    with pytest.raises(ConfigurationError, match=said):
        make()
    assert ContributionFactor(factor={"memory": 0.5})._settings == FactorSettings(memory=0.5)
