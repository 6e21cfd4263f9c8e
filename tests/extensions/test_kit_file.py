"""What a kit lets jobs name: the packages of its local/extensions.json, as they were when they were listed."""

import json
import sys

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError

from fedbrats.admin.provision.builders import allow_extensions
from fedbrats.errors import ConfigurationError
from fedbrats.extensions.kit_file import EXTENSIONS_FILE, read_extensions, write_extensions
from fedbrats.extensions.packages import find_package
from fedbrats.flare.kit.job_rules import NoPaths
from fedbrats.flare.kit.policy import SERVER_CLASSES
from tests.flare.conftest import Room
from tests.security.attacks import attack

GATED = "fedbrats.flare.server.gated_aggregator.GatedAggregator"
EXECUTOR = "fedbrats.flare.site.executor.SegmentationExecutor"
NAMED = [
    {"path": GATED, "args": {"method": {"path": "mine.Mean", "args": {}}}},
    {"path": "fedbrats.model.network.SegmentationNetwork", "args": {"preset": "mine.Net", "seed": 0}},
    {"path": EXECUTOR, "args": {"network": {"mine.Net": {"width": 2}}}},
    {"path": EXECUTOR, "args": {"training": {"loss": "mine.Squared"}}},
    {"path": EXECUTOR, "args": {"hooks": {"mine.Clipped": {"most": 1.0}}}},
]


@pytest.fixture
def judge(tmp_path):
    """Judge a component of a job at a kit, as FLARE does: with a workspace, and before there is an engine."""
    room = Room(tmp_path / "kit")

    def judge(config):
        fl_ctx = FLContext()
        fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, room.workspace, private=True, sticky=False)
        fl_ctx.set_prop(FLContextKey.COMPONENT_CONFIG, config, private=True, sticky=False)
        NoPaths().handle_event(EventType.BEFORE_BUILD_COMPONENT, fl_ctx)

    judge.local = tmp_path / "kit" / "local"
    return judge


@attack(
    "class of another package",
    who="a submitter",
    happens="the job is refused before anything of the package is imported",
    says="the class mine.Net is not one that may run here",
)
@pytest.mark.parametrize("config", NAMED)
def test_a_class_that_the_kit_does_not_list_is_refused_unimported(mine, judge, config):
    with pytest.raises(UnsafeComponentError, match=r"not one that may run here|of the kit's list only"):
        judge(config)
    assert "mine" not in sys.modules


@pytest.mark.parametrize("config", NAMED)
def test_a_class_of_a_package_that_the_kit_lists_may_run(mine, judge, config):
    write_extensions(judge.local, [find_package("mine")])
    judge(config)
    other = json.loads(json.dumps(config).replace("mine.", "mine.Not"))
    with pytest.raises(UnsafeComponentError):
        judge(other)


@attack(
    "package changed after the consortium listed it",
    who="whoever replaces an installed package",
    happens="the job is refused before anything of the package is imported",
    says="mine 1.2 is installed here, and 1.2 with another sha256 was allowed",
)
@pytest.mark.parametrize("config", NAMED)
def test_a_package_that_is_not_the_one_listed_is_refused_unimported(mine, judge, config):
    write_extensions(judge.local, [find_package("mine")])
    (mine / "__init__.py").write_text("raise SystemExit('imported')")
    with pytest.raises(UnsafeComponentError, match="is installed here"):
        judge(config)


def test_a_list_that_is_broken_allows_nothing(mine, judge):
    write_extensions(judge.local, [find_package("mine")])
    (judge.local / EXTENSIONS_FILE).write_text('{"packages": [{"package": "os==1 sha256:0"}]}')
    with pytest.raises(ConfigurationError):
        read_extensions(judge.local)
    with pytest.raises(UnsafeComponentError):
        judge({"path": GATED, "args": {}})


@pytest.mark.parametrize("side", ["server", "client"])
def test_provisioning_lists_a_package_at_both_sides_and_its_aggregators_with_flare(mine, tmp_path, side):
    both = [tmp_path / name for name in ("resources.json.default", "resources.json")]  # FLARE reads the second first
    for resources in both:
        resources.write_text(json.dumps({side: {}, "class_allow_list": list(SERVER_CLASSES)}))
    for _ in range(2):
        allow_extensions(tmp_path, [find_package("mine")])
    for resources in both:
        more = set(json.loads(resources.read_text())["class_allow_list"]) - set(SERVER_CLASSES)
        assert more == ({"mine.Mean"} if side == "server" else set())
    assert read_extensions(tmp_path) == [find_package("mine")]
