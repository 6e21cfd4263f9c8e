"""No argument of a job names a path or an address, and what cannot be judged is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError

from fedbrats.flare.kit.job_rules import NoPaths, find_places
from fedbrats.jobs.build import list_jobs
from fedbrats.jobs.plan import _resolve


@pytest.fixture
def judge():
    """Judge a component of a job."""

    def judge(config):
        context = FLContext()
        context.set_prop(FLContextKey.COMPONENT_CONFIG, config, private=True, sticky=False)
        NoPaths().handle_event(EventType.BEFORE_BUILD_COMPONENT, context)

    return judge


@pytest.mark.parametrize(
    "args",
    [
        {"network": "/etc/passwd"},
        {"network": "..\\secrets"},
        {"network": "~root"},
        {"settings": {"deep": [{"deeper": "a/b"}]}},
        {"settings": {"a/b": 1}},
        {"source_ckpt_file_full_name": "model.pt"},
        {"tracking_uri": "elsewhere"},
        {"model": {"path": "fedbrats.model.network.SegmentationNetwork", "args": {"data_dir": "data"}}},
    ],
)
def test_an_argument_that_names_a_place_is_refused(judge, args):
    with pytest.raises(UnsafeComponentError, match="may not name a path or an address"):
        judge({"path": "some.Component", "args": args})


def test_a_job_of_an_earlier_version_is_told_what_to_do(judge):
    with pytest.raises(UnsafeComponentError, match="another version made it; build it again with this version"):
        judge({"path": "fedbrats.flare.controller.PatientScatterAndGather", "args": {}})


EVIL = {"path": "subprocess.Popen", "args": {"args": ["true"]}, "config_type": "dict"}


@pytest.mark.parametrize(
    "args",
    [
        {"model": EVIL},
        {"model": {"class_path": "os.system", "config_type": "dict"}},
        {"model": {"name": "Popen", "args": {}}},
        {"model": {"path": "torch.optim.SGD", "class_path": "subprocess.Popen"}},
        {"deep": [{"deeper": {"still": EVIL}}]},
        {"optimizer_args": {"path": "torch.optim.Adam", "config_type": "dict"}},
    ],
)
def test_an_argument_that_names_a_foreign_class_is_refused(judge, args):
    """FLARE hands dictionaries with `config_type: dict` through, and its persistor and FedOpt build what is in them."""
    with pytest.raises(UnsafeComponentError, match="classes of the kit's list only"):
        judge({"path": "nvflare.app_opt.pt.file_model_persistor.PTFileModelPersistor", "args": args})


def test_a_checkpoint_is_never_read_with_a_full_unpickler(judge):
    judge({"path": "some.Persistor", "args": {"load_weights_only": True}})
    for args in ({"load_weights_only": False}, {"settings": {"load_weights_only": 0}}):
        with pytest.raises(UnsafeComponentError, match="full unpickler"):
            judge({"path": "some.Persistor", "args": args})
    with pytest.raises(UnsafeComponentError, match="class_attributes"):
        judge({"path": "some.Persistor", "args": {"class_attributes": {"load_weights_only": False}}})


@given(st.text(max_size=20), st.sampled_from(["/", "\\"]), st.text(max_size=20), st.integers(0, 4))
def test_a_separator_is_found_in_any_depth(before, separator, after, depth):
    value = before + separator + after
    for _ in range(depth):
        value = {"a": [value]}
    assert list(find_places({"path": "some.Component", "args": {"x": value}}))


@pytest.mark.parametrize("config", ["text", None, {"path": "some.Component", "args": 3}])
def test_what_cannot_be_judged_is_refused(judge, config):
    with pytest.raises(UnsafeComponentError, match="cannot be judged"):
        judge(config)


@pytest.mark.parametrize("name", [job.name for job in list_jobs()])
def test_our_own_jobs_pass(judge, name, build_any_job):
    for path in (build_any_job(name) / "app" / "config").glob("*.json"):
        document = json.loads(path.read_text())
        for component in _components(_resolve_all(document)):
            judge(component)


def _resolve_all(document):
    return _resolve({key: _resolve(value, document) for key, value in document.items()}, document)


def _components(node):
    if isinstance(node, dict):
        if "path" in node:
            yield node
        for value in node.values():
            yield from _components(value)
    elif isinstance(node, list):
        for value in node:
            yield from _components(value)
