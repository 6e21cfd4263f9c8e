"""The site's own gate: what leaves a hospital whatever a job says."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from fedbrats.data.cases.datalist import read_datalist
from fedbrats.errors import FedbratsError, UpdateError
from fedbrats.flare.kit.site_gate import SiteGate, names_in
from fedbrats.flare.packing import Compress
from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.site.filters import KeepShared
from fedbrats.flare.site.padding import Offer
from fedbrats.site.personal import save_personal
from tests.security.attacks import attack

JOB = "a-job"
METRICS = {"dice": {"mean": 0.5}, "iou": {"mean": 0.4}}


@pytest.fixture
def site(tmp_path, phantom_sites):
    """A hospital: its FLARE context, with local/fedbrats.json that asks for at least three cases."""
    local = tmp_path / "local"
    local.mkdir()
    facts = {"data_dir": str(phantom_sites / "site-1"), "cache_dir": "c", "personal_dir": "personal", "min_cases": 3}
    (local / "fedbrats.json").write_text(json.dumps(facts))
    workspace = SimpleNamespace(get_site_config_dir=lambda: str(local))
    context = FLContext()
    engine = SimpleNamespace(get_workspace=lambda: workspace)
    context.set_prop(ReservedKey.ENGINE, engine, private=True, sticky=False)
    context.set_prop(FLContextKey.CURRENT_RUN, JOB, private=False, sticky=False)
    context.set_prop(ReservedKey.RUN_NUM, JOB, private=False, sticky=False)
    context.set_prop(ReservedKey.IDENTITY_NAME, "site-1", private=False, sticky=False)
    return SimpleNamespace(context=context, folder=tmp_path, data=phantom_sites / "site-1")


def update(**report):
    weights = {"a.weight": np.ones(2, "f4"), "head.weight": np.ones(1, "f4")}
    report = {
        "validation_cases": 9,
        "training_cases": 9,
        "loss_cases": 9,
        "loss": 0.1,
        "received": METRICS,
        "trained": METRICS,
        **report,
    }
    meta = {REPORT_KEY: report, MetaKey.INITIAL_METRICS: {"val_dice": 0.5}}
    return DXO(DataKind.WEIGHT_DIFF, weights, meta).to_shareable()


def sent(site, shareable, **gate):
    return from_shareable(SiteGate(**gate).process(shareable, site.context))


def test_an_honest_update_passes_whole(site):
    dxo = sent(site, update())
    assert set(dxo.data) == {"a.weight", "head.weight"}
    assert dxo.get_meta_prop(REPORT_KEY)["trained"] == METRICS


def test_what_the_job_keeps_at_the_site_is_taken_out(site):
    save_personal(site.folder / "personal" / JOB / "site-1", {"head.weight": np.ones(1, "f4")})
    assert set(sent(site, update()).data) == {"a.weight"}


def test_what_the_hospital_keeps_is_not_given_to_a_job_that_asks(site):
    with pytest.raises(UpdateError, match=r"keeps head\.weight"):
        sent(site, update(), keep=["head."])


def test_a_list_of_the_hospitals_that_matches_nothing_stops_everything(site):
    with pytest.raises(FedbratsError, match="matches no parameter"):
        sent(site, update(), keep=["haed."])


def test_metrics_of_few_cases_are_taken_out(site):
    dxo = sent(site, update(validation_cases=2))
    report = dxo.get_meta_prop(REPORT_KEY)
    assert report["received"] is None
    assert report["trained"] is None
    assert report["loss"] == 0.1
    assert dxo.get_meta_prop(MetaKey.INITIAL_METRICS) is None


def with_pads(site, *filters):
    """The hospital demands pads, and the job has these filters for what it trained."""
    path = site.folder / "local" / "fedbrats.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "require_pads": True}))
    runner = SimpleNamespace(task_result_filters={"train/out": list(filters)})
    site.context.set_prop(FLContextKey.RUNNER, runner, private=True, sticky=False)
    site.context.set_prop(FLContextKey.TASK_NAME, "train", private=True, sticky=False)


@pytest.mark.parametrize(
    "filters", [(), (Offer("none"),), (Offer("pads"), Compress("none")), (KeepShared("tiny"),)], ids=len
)
def test_a_hospital_that_demands_pads_lets_no_update_out_without_them(site, filters):
    with_pads(site, *filters)
    sentence = r"^site site-1 takes no part: this job would send its update without pads .*, and require_pads"
    with pytest.raises(UpdateError, match=sentence):
        sent(site, update())
    save_personal(site.folder / "personal" / JOB / "site-1", {"a.weight": np.ones(2), "head.weight": np.ones(1)})
    assert sent(site, update()).data == {}, "nothing is shared, and nothing is to cover"


def test_a_hospital_that_demands_pads_takes_part_where_the_last_filter_covers(site):
    with_pads(site, KeepShared("tiny"), Offer("pads"))
    assert set(sent(site, update()).data) == {"a.weight", "head.weight"}


@attack(
    "ask for an update of one patient",
    who="a lead, or the server's operator",
    happens="the update does not leave the hospital",
    says="nothing is sent: the update rests on 2 distinct cases, and min_cases in the site file is 3",
)
@pytest.mark.parametrize("cases", [2, 0, None])
def test_an_update_of_few_cases_does_not_leave(site, cases):
    with pytest.raises(UpdateError, match=f"rests on {cases or 0} distinct cases, and min_cases in the site file is 3"):
        sent(site, update(loss_cases=cases))


def test_a_validation_of_few_cases_is_taken_out(site):
    answer = DXO(DataKind.METRICS, {"validation_cases": 2, "metrics": METRICS}).to_shareable()
    assert sent(site, answer).data["metrics"] is None


@pytest.mark.parametrize("kind", [DataKind.WEIGHTS, DataKind.STATISTICS, DataKind.COLLECTION])
def test_other_kinds_of_results_do_not_leave(site, kind):
    with pytest.raises(UpdateError, match="nothing is sent"):
        sent(site, DXO(kind, {"x": 1}).to_shareable())


def submission(weights=("head.weight",), **meta):
    part = DXO(DataKind.WEIGHTS, {name: np.ones(1, "f4") for name in weights}, {"model": "fedper", **meta})
    return DXO(DataKind.COLLECTION, {"fedper": part}).to_shareable()


def share(site):
    path = site.folder / "local" / "fedbrats.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "share_personal_models": True}))


def test_personal_models_leave_only_where_the_hospital_shares_them(site):
    with pytest.raises(UpdateError, match="does not share its personal models"):
        sent(site, submission())
    assert sent(site, DXO(DataKind.COLLECTION, {}).to_shareable()).data == {}
    share(site)
    assert set(sent(site, submission()).data["fedper"].data) == {"head.weight"}
    with pytest.raises(UpdateError, match=r"keeps head\.weight"):
        sent(site, submission(), keep=["head."])
    with pytest.raises(UpdateError, match="names a path, a case or a patient"):
        sent(site, submission(note="/data/brats"))


def test_a_result_that_is_no_dxo_does_not_leave(site):
    with pytest.raises(UpdateError, match="nothing is sent"):
        SiteGate().process(Shareable({"x": 1}), site.context)


def test_a_short_name_is_not_found_inside_a_checksum():
    """A patient called 017 would stop every result whose manifest has these three signs in a row."""
    case = SimpleNamespace(name="BRATS_017", patient="017")
    secrets = names_in(SimpleNamespace(cases=[case, SimpleNamespace(name="a", patient="1")]))
    assert not secrets.search("f3017ac9")
    assert not secrets.search("version 1 of 0.1.0")
    assert secrets.search("patient 017, worst")
    assert secrets.search("of BRATS_017")


def test_a_path_a_case_or_a_patient_in_any_text_stops_the_result(site):
    case = read_datalist(site.data).training[0]
    for text in ("/data/brats", "C:\\data", f"worst {case.name}", case.patient):
        with pytest.raises(UpdateError, match="names a path, a case or a patient"):
            sent(site, update(note={"deep": [text]}))
