"""The executor on real cases of a site, in one process: what it answers, what it keeps, what never leaves."""

import json
import logging
import pickle
import shutil

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.site.executor import SegmentationExecutor
from fedbrats.flare.site.filters import KeepShared
from fedbrats.model.network import SegmentationNetwork
from fedbrats.rows import CASES_FILE, ROWS_FOLDER
from tests.flare.conftest import JOB_ID, Room

TRAINING = {"local_epochs": 1, "patch_size": [24, 24, 24]}


@pytest.fixture
def new_site(tmp_path, phantom_sites):
    """A site's room with its site file; the executor in it is made anew at every call, as after a restart."""

    def make(personal="none", facts=(), **options):
        room = Room(tmp_path / "kit", identity="site-1")
        document = {
            "data_dir": str(phantom_sites / "site-1"),
            "cache_dir": str(tmp_path / "cache"),
            "personal_dir": "personal",
            "threads": 1,
            "min_cases": 1,
            **dict(facts),
        }
        (room.root / "local" / "fedbrats.json").write_text(json.dumps(document))
        executor = SegmentationExecutor(network="tiny", personal=personal, training=TRAINING, **options)
        room.components["executor"] = executor
        return room, executor

    return make


def moved(number):
    """A model near that of round 0, as training leaves it: a site refuses one that jumps."""
    return {name: value + np.float32(1e-3 * number) for name, value in weights().items()}


def weights(seed=0):
    return {name: value.numpy().copy() for name, value in SegmentationNetwork("tiny", seed=seed).state_dict().items()}


def execute(room, executor, task="train", model=None, round_number=0, rounds=2, signal=None):
    shareable = DXO(DataKind.WEIGHTS, data=model or weights()).to_shareable()
    shareable.set_header(AppConstants.CURRENT_ROUND, round_number)
    shareable.set_header(AppConstants.NUM_ROUNDS, rounds)
    with room.new_context() as fl_ctx:
        return executor.execute(task, shareable, fl_ctx, signal or Signal())


def test_a_round_answers_with_a_difference_and_a_report(new_site):
    room, executor = new_site()
    dxo = from_shareable(execute(room, executor))
    assert dxo.data_kind == DataKind.WEIGHT_DIFF
    assert set(dxo.data) == set(weights())
    assert any(value.any() for value in dxo.data.values())
    report = dxo.get_meta_prop(REPORT_KEY)
    assert report["training_cases"] == 4
    assert report["steps"] == 4
    assert report["validation_cases"] == 1
    for stage in ("received", "trained"):
        assert set(report[stage]["dice"]) == {"mean", "WT", "TC", "ET"}
    assert dxo.get_meta_prop("initial_metrics") == {"val_dice": report["received"]["dice"]["mean"]}


def test_the_same_seed_gives_the_same_update_bit_for_bit(new_site):
    one, two = (from_shareable(execute(*new_site())).data for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_no_case_name_no_path_and_no_personal_weight_leaves_the_site(new_site, phantom_sites):
    room, executor = new_site(personal="head")
    keep = KeepShared(network="tiny", personal="head")
    personal = SegmentationNetwork("tiny").personal_names("head")
    site = json.loads((phantom_sites / "site-1" / "datalist.json").read_text())
    secrets = [item[key].encode() for item in site["training"] + site["validation"] for key in ("case", "patient")]
    secrets += [str(phantom_sites).encode(), str(room.root).encode()]
    for round_number in range(2):
        for task in ("train", "validate"):
            reply = execute(room, executor, task, round_number=round_number)
            with room.new_context() as fl_ctx:
                sent = pickle.dumps(keep.process(reply, fl_ctx))  # only to look through every byte of it
            with np.load(room.root / "personal" / JOB_ID / "site-1" / "personal.npz") as own:
                assert set(own.files) == set(personal)
                secrets_now = secrets + [own[name].tobytes() for name in own.files]
            assert not [secret for secret in secrets_now if secret in sent]


def test_personal_weights_survive_rounds_and_a_restart_and_merge_back(new_site):
    room, executor = new_site(personal="head")
    personal = SegmentationNetwork("tiny").personal_names("head")
    execute(room, executor)
    with np.load(room.root / "personal" / JOB_ID / "site-1" / "personal.npz") as own:
        kept = {name: own[name] for name in own.files}
    assert any(not np.array_equal(kept[name], weights()[name]) for name in personal)
    room, executor = new_site(personal="head")  # the site's machine was restarted
    execute(room, executor, "validate", model=weights(seed=5))
    now = executor._site.trainer.get_weights()
    for name, value in weights(seed=5).items():
        np.testing.assert_array_equal(now[name], kept[name] if name in personal else value)


@pytest.mark.parametrize("personal", ["none", "head"])
def test_in_the_last_rounds_a_site_fits_the_model_to_itself_and_sends_nothing(new_site, personal):
    options = {"personal": personal, "personal_rounds": 2}
    room, executor = new_site(**options)
    keep = KeepShared(network="tiny", **options)
    sent = []
    for number in range(4):
        reply = execute(room, executor, model=moved(number), round_number=number, rounds=4)
        with room.new_context() as fl_ctx:
            sent.append(set(from_shareable(keep.process(reply, fl_ctx)).data))
        if number == 2:
            room, executor = new_site(**options)  # the site's machine was restarted
        trained = executor._site.trainer.get_weights() if executor._site else {}
    shared = set(weights()) - (set(SegmentationNetwork("tiny").personal_names("head")) if personal == "head" else set())
    assert sent == [shared, shared, set(), set()]
    with np.load(room.root / "personal" / JOB_ID / "site-1" / "personal.npz") as own:
        assert all(np.array_equal(own[name], trained[name]) for name in weights())
    execute(room, executor, "validate", model=weights(seed=9))  # whatever the server sends, the model is the site's own
    assert all(np.array_equal(value, trained[name]) for name, value in executor._site.trainer.get_weights().items())


def test_an_answer_of_no_known_round_stays_where_rounds_matter():
    keep = KeepShared(network="tiny", personal_rounds=1)
    with pytest.raises(UpdateError, match="which of how many rounds"):
        keep.process(DXO(DataKind.WEIGHT_DIFF, data=weights()).to_shareable(), None)


def test_corrupt_personal_weights_are_said_and_never_replaced(new_site, caplog):
    room, executor = new_site(personal="head")
    execute(room, executor)
    path = room.root / "personal" / JOB_ID / "site-1" / "personal.npz"
    path.write_bytes(path.read_bytes()[:100])
    room, executor = new_site(personal="head")
    with caplog.at_level(logging.ERROR):
        assert execute(room, executor).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "personal weights" in caplog.text
    assert path.stat().st_size == 100


def test_a_round_that_failed_after_training_is_trained_from_what_the_round_before_left(new_site, monkeypatch):
    """Asked again, the site answers with the bits of one that never failed."""
    undisturbed = new_site(personal="head")
    expected = [from_shareable(execute(*undisturbed, round_number=number)).data for number in range(2)][1]
    shutil.rmtree(undisturbed[0].root)
    room, executor = new_site(personal="head")
    execute(room, executor)
    with monkeypatch.context() as patch:
        patch.setattr("fedbrats.site.state.new_folder", _full_disk)
        assert execute(room, executor, round_number=1).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    again = from_shareable(execute(room, executor, round_number=1)).data
    assert all(np.array_equal(again[name], expected[name]) for name in expected)


def _full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_the_loss_of_fewer_cases_than_the_site_allows_is_not_told(new_site, monkeypatch):
    """One step of one case is the loss of a patient, however many the site has."""
    monkeypatch.setitem(TRAINING, "local_epochs", None)
    monkeypatch.setitem(TRAINING, "local_steps", 1)
    report = from_shareable(execute(*new_site(facts={"min_cases": 2}.items()))).get_meta_prop(REPORT_KEY)
    assert (report["training_cases"], report["loss_cases"], report["loss"]) == (4, 1, None)


def test_small_groups_are_not_described(new_site):
    room, executor = new_site(facts={"min_cases": 2}.items())
    report = from_shareable(execute(room, executor)).get_meta_prop(REPORT_KEY)
    assert report["received"] is None
    assert report["trained"] is None
    assert report["loss"] is not None  # four training cases
    data = from_shareable(execute(room, executor, "validate")).data
    assert data["metrics"] is None


def test_a_round_is_validated_on_as_many_cases_as_the_site_wants_and_the_end_on_all(new_site, phantom_sites, tmp_path):
    datalist = json.loads((phantom_sites / "site-1" / "datalist.json").read_text())
    cases = datalist["training"] + datalist["validation"]  # five
    for item in cases:
        item["image"] = [str(phantom_sites / "site-1" / path) for path in item["image"]]
        item["label"] = str(phantom_sites / "site-1" / item["label"])
    (tmp_path / "all").mkdir()
    mostly = {**datalist, "training": cases[:1], "validation": cases[1:]}
    (tmp_path / "all" / "datalist.json").write_text(json.dumps(mostly))
    facts = {"data_dir": str(tmp_path / "all"), "round_validation_cases": 2}
    for least, counted in ((1, 2), (2, 2), (4, None)):
        room, executor = new_site(facts={**facts, "min_cases": least}.items())
        reply = execute(room, executor)
        if counted is None:  # fewer than the hospital's least number: the site file says so
            assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
            continue
        assert from_shareable(reply).get_meta_prop(REPORT_KEY)["validation_cases"] == counted
        assert from_shareable(execute(room, executor, "validate")).data["validation_cases"] == 4
    room, executor = new_site(facts={**facts, "min_cases": 3, "round_validation_cases": 3}.items())
    report = from_shareable(execute(room, executor)).get_meta_prop(REPORT_KEY)
    assert report["validation_cases"] == 4  # the one that was left out would be described by the difference


def test_scores_of_cases_stay_in_a_file_of_the_site(new_site):
    room, executor = new_site()
    execute(room, executor)
    rows = [json.loads(line) for line in (room.root / JOB_ID / ROWS_FOLDER / CASES_FILE).read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["received", "trained"]
    assert set(rows[0]) == {"round", "stage", "case", "patient", "dice", "iou"}


def test_validation_after_training_can_be_switched_off(new_site):
    room, executor = new_site(validate_trained=False)
    report = from_shareable(execute(room, executor)).get_meta_prop(REPORT_KEY)
    assert report["trained"] is None
    assert report["received"] is not None


def test_an_abort_ends_the_round_early(new_site):
    signal = Signal()
    signal.trigger(True)
    room, executor = new_site()
    assert execute(room, executor, signal=signal).get_return_code() == ReturnCode.TASK_ABORTED


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"data_dir": "/nowhere"}, "datalist.json"),
        ({"data_dir": 5}, "data_dir"),
        ({"speed": 1}, 'unknown entry "speed"'),
        ({"threads": 0}, "threads is 0, expected a whole number"),
        ({"misbehaviour": {"site-1": "noise"}}, 'unknown entry "misbehaviour"'),
    ],
)
def test_a_bad_site_file_ends_in_one_sentence(new_site, caplog, facts, sentence):
    room, executor = new_site(facts=facts.items())
    with caplog.at_level(logging.ERROR):
        assert execute(room, executor).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert sentence in caplog.text
    assert "Traceback" not in caplog.text


def test_the_filter_fails_closed():
    keep = KeepShared(network="tiny", personal="head")
    update = weights()
    for bad in ({**update, "stranger": np.zeros(2)}, {name: update[name] for name in list(update)[1:]}):
        with pytest.raises(UpdateError, match="nothing is sent"):
            keep.process(DXO(DataKind.WEIGHT_DIFF, data=bad).to_shareable(), None)
    with pytest.raises(UpdateError, match="nothing is sent"):
        keep.process(Shareable(), None)
    with pytest.raises(UpdateError, match="nothing is sent"):
        keep.process(DXO(DataKind.ANALYTIC, data={"a": 1}).to_shareable(), None)
    with pytest.raises(ConfigurationError):
        KeepShared(network="tiny", personal="no.such.prefix.")


def test_the_filter_keeps_exactly_the_shared_names():
    personal = set(SegmentationNetwork("tiny").personal_names("norm"))
    kept = from_shareable(
        KeepShared(network="tiny", personal="norm").process(
            DXO(DataKind.WEIGHT_DIFF, data=weights()).to_shareable(), None
        )
    ).data
    assert set(kept) == set(weights()) - personal


def test_a_hospital_that_demands_pads_does_not_even_train_without_them(new_site, caplog):
    """The refusal is one sentence in the hospital's own log; a job that shares nothing is none of pads' business."""
    room, executor = new_site(facts={"require_pads": True})
    with caplog.at_level(logging.ERROR):
        reply = execute(room, executor)
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    [record] = [each for each in caplog.records if "require_pads" in each.message]
    assert "site site-1 takes no part: this job would send its update without pads" in record.message
    assert not (room.root / "personal").exists(), "nothing was trained"
    room, executor = new_site(personal="all", facts={"require_pads": True})
    assert from_shareable(execute(room, executor)).data_kind == DataKind.WEIGHT_DIFF
