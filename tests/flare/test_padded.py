"""A job with `secure=pads`: FLARE's real server, real sites' parts, and only sums arrive, whatever goes wrong."""

import copy
import math

import numpy as np
import pytest
from nvflare.apis.dxo import from_shareable
from nvflare.app_common.app_constant import AppConstants

from fedbrats.errors import ConfigurationError
from fedbrats.federation.factor.similarity import sketch
from fedbrats.flare import padded_messages as messages
from fedbrats.flare.protocol import OFFER_KEY, REPORT_KEY, SECURE_ANSWER, SECURE_REVEAL, SECURE_SIGN
from fedbrats.flare.site.padding import Padding
from fedbrats.methods.contribution import ContributionFactor
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.model.network import SegmentationNetwork
from fedbrats.privacy.secure.keys import SITE_STARTUP, read_servers
from fedbrats.privacy.secure.ring import from_ring, to_ring
from tests.flare.conftest import Room
from tests.flare.padded import NAMES, SERVER_NAME, Kits, PaddedJob
from tests.security.attacks import attack


@pytest.fixture(scope="module")
def kits():
    return Kits()


def flat(update):
    return np.concatenate([update[name].ravel() for name in sorted(update)])


def moved(job):
    """What the job's one round added to its first weights, flat."""
    first = {name: value.numpy() for name, value in SegmentationNetwork("tiny").state_dict().items()}
    return flat({name: value.astype(np.float64) - first[name] for name, value in job.server.weights.items()})


def open_mean(job, members, times=0, number=0):
    """The mean of these sites' updates by the open integer sum, with the bits of the job's row."""
    row = job.server.rows("padded")[-1]
    sites = len(row["asked"])
    total = sum(to_ring(flat(job.updates[name, number, times]), 1 / sites, row["bits"], sites) for name in members)
    return (from_ring(total, row["bits"]) * sites / len(members)).astype(np.float32)


def at(task, act):
    """A hand that acts once, at a task, in the place of the site's answer."""
    done = []

    def hand(job, name, now, message):
        if now != task or done:
            return message
        done.append(now)
        return act(job, name, message)

    return hand


def died(job, name, message):
    job.die(name)


@pytest.mark.parametrize("method", [WeightedFedAvg, ContributionFactor])
def test_the_model_moves_by_the_open_integer_sum_bit_for_bit(tmp_path, kits, method):
    found = []
    job = PaddedJob(tmp_path, kits, method=method)
    aggregator = job.server.room.components["aggregator"]
    weigh, give = aggregator.weigh, aggregator.give
    aggregator.weigh = lambda fl_ctx: found.append(weigh(fl_ctx)) or found[0]
    aggregator.give = lambda combined: found.append(combined) or give(combined)
    job.run()
    assert job.server.room.said == []
    [row] = job.server.rows("padded")
    assert row["members"] == row["asked"] == list(NAMES)
    assert row["lacks"] is None
    assert row["bytes"]["up"] == len(NAMES) * 4 * moved(job).size
    weighed, given = found
    total = sum(
        to_ring(flat(job.updates[name, 0, 0]), weighed.coefficients[name], row["bits"], len(NAMES)) for name in NAMES
    )
    mean = from_ring(total, row["bits"]) / math.fsum(weighed.weights[name] for name in NAMES)
    assert flat(given.update).tobytes() == mean.astype(np.float32).tobytes()
    assert moved(job) == pytest.approx(np.mean([flat(job.updates[name, 0, 0]) for name in NAMES], axis=0), abs=1e-6)
    weights = {row["site"]: row["weight"] for row in job.server.rows("weight")}
    assert weights == pytest.approx(dict.fromkeys(NAMES, 0.2), abs=0.1)
    assert sum(weights.values()) == pytest.approx(1.0)
    assert {row["bytes"]["up"] for row in job.server.rows("site")} == {4 * 4096}


@pytest.mark.parametrize("task", [SECURE_ANSWER, "garbage"])
def test_a_site_that_dies_before_or_during_its_covered_answer_is_left_out(tmp_path, kits, task):
    def cut(job, name, data):
        reply = job.honest(name, SECURE_ANSWER, data)
        answer = from_shareable(reply)
        answer.data["numbers"] = answer.data["numbers"][:1000]
        job.die(name)
        return answer.update_shareable(reply)

    act = died if task == SECURE_ANSWER else cut
    job = PaddedJob(tmp_path, kits, hands={"site-4": at(SECURE_ANSWER, act)}).run()
    assert job.server.room.said == []
    [row] = job.server.rows("padded")
    alive = [name for name in NAMES if name != "site-4"]
    assert row["members"] == alive
    assert row["asked"] == list(NAMES)
    assert moved(job) == pytest.approx(open_mean(job, alive), abs=1e-6)
    assert {each["site"] for each in job.server.rows("weight")} == set(alive)


@pytest.mark.parametrize("task", [SECURE_SIGN, SECURE_REVEAL])
def test_a_site_that_dies_after_its_covered_answer_costs_the_attempt(tmp_path, kits, task):
    """The others train the round again on other batches, and the first attempt stays covered."""
    job = PaddedJob(tmp_path, kits, hands={"site-5": at(task, died)}).run()
    assert job.server.room.said == []
    first, second = job.server.rows("padded")
    assert "site-5 answered and then took off no pad" in first["lacks"] or "site-1" in first["lacks"]
    alive = list(NAMES[:4])
    assert (second["attempt"], second["members"], second["lacks"]) == (2, alive, None)
    assert {times for name, _, times in job.updates if name in alive} == {0, 1}
    assert moved(job) == pytest.approx(open_mean(job, alive, times=1), abs=1e-6)


def test_a_share_that_grows_in_a_later_round_ends_the_job_without_training_in_vain(tmp_path, kits):
    """The first round is equal; in the second a site says a hundred cases, and would be most of the sum."""

    def more(job, name, task, message):
        if task == "train" and message.get_header(AppConstants.CURRENT_ROUND) == 1:
            answer = from_shareable(message)
            answer.meta[REPORT_KEY]["training_cases"] = 100
            return answer.update_shareable(message)
        return message

    job = PaddedJob(tmp_path, kits, hands={"site-2": more}, rounds=2).run()
    first, second = job.server.rows("padded")
    assert first["lacks"] is None
    assert "site-2 counts for 71% of the sum that is asked for, more than 60%" in second["lacks"]
    assert (second["round"], second["attempt"], second["members"]) == (1, 1, [])
    [said] = job.server.room.said
    assert "round 1 has no sum" in said
    assert "set a smaller weight_power" in said
    assert {times for _, _, times in job.updates} == {0}, "nobody trains the round again"


def test_a_late_and_a_replayed_answer_are_not_counted(tmp_path, kits):
    """The second round gets the first round's answer of site-2, and the first one the answer of site-3 too late."""
    kept = {}

    def replay(job, name, task, message):
        if task != SECURE_ANSWER:
            return message
        reply = job.honest(name, task, message)
        kept.setdefault(name, reply)
        return kept[name]

    job = PaddedJob(tmp_path, kits, hands={"site-2": replay}, rounds=2).run()
    assert job.server.room.said == []
    first, second = job.server.rows("padded")
    assert first["members"] == list(NAMES)
    assert second["members"] == [name for name in NAMES if name != "site-2"]
    [refusal] = job.server.rows("refusal")
    assert refusal["site"] == "site-2"
    assert "answers round 0, attempt 1" in refusal["message"]


def test_a_late_answer_is_a_row_and_stays_covered(tmp_path, kits):
    job = PaddedJob(tmp_path, kits, hands={"site-3": at(SECURE_ANSWER, died)}).run()
    before = moved(job)
    with job.server.room.new_context() as fl_ctx:
        client = next(each for each in job.server.room.clients.values() if each.name == "site-3")
        job.server.controller.process_result_of_unknown_task(client, SECURE_ANSWER, "task", None, fl_ctx)
    assert [row["site"] for row in job.server.rows("late")] == ["site-3"]
    assert np.array_equal(moved(job), before)


def test_a_server_that_tells_two_sites_different_sets_gets_no_pads(tmp_path, kits):
    """site-1 is told another set than the others; nobody takes a pad off, in any attempt."""
    revealed = []

    def lied_to(job, name, task, message):
        if task == SECURE_SIGN:
            data = {**messages.read(message), "members": list(NAMES[:4])}
            return job.sent(name, job.honest(name, task, messages.write(data)))
        return watched(job, name, task, message)

    def watched(job, name, task, message):
        if task == SECURE_REVEAL:
            reply = job.honest(name, task, message)
            revealed.append(reply.get_return_code())
            return reply
        return message

    hands = {"site-1": lied_to, **dict.fromkeys(NAMES[1:], watched)}
    job = PaddedJob(tmp_path, kits, hands=hands).run()
    assert revealed
    assert set(revealed) == {"EXECUTION_EXCEPTION"}
    assert len(job.server.rows("padded")) == 2  # as many attempts as the job has
    assert "round 0 has no sum: after 2 attempts" in job.server.room.said[0]
    assert not moved(job).any()


def test_a_site_that_offers_another_sketch_than_it_sends_is_found(tmp_path, kits):
    def lie(job, name, task, reply):
        if task != "train":
            return reply
        with job.rooms[name].new_context() as fl_ctx:
            offered = job.offer.process(reply, fl_ctx)
        answer = from_shareable(offered)
        answer.data["sketch"] = np.roll(answer.data["sketch"], 1000)
        return copy.copy(answer.update_shareable(offered))

    job = PaddedJob(tmp_path, kits, hands={"site-3": lie}).run()
    assert all("a site has sent another one than it offered" in row["lacks"] for row in job.server.rows("padded"))
    assert "round 0 has no sum" in job.server.room.said[0]
    assert not moved(job).any()


@attack(
    "have every update under pads rounded to nothing, by the offer of a length that the own update does not have",
    who="a hospital",
    happens="that hospital's offer is refused; the others' sum has all its bits",
    says="it says that its update is 1e+09 long, and its sketch is 0.1 long",
)
@pytest.mark.parametrize("length", [1e9, 1e300, 1e-9])
def test_a_length_that_the_sketch_does_not_have_is_refused(tmp_path, kits, length):
    def lie(job, name, task, reply):
        if task != "train":
            return reply
        with job.rooms[name].new_context() as fl_ctx:
            offered = job.offer.process(reply, fl_ctx)
        answer = from_shareable(offered)
        answer.set_meta_prop(OFFER_KEY, {**answer.get_meta_prop(OFFER_KEY), "length": length})
        return copy.copy(answer.update_shareable(offered))

    job = PaddedJob(tmp_path, kits, hands={"site-3": lie}).run()
    members = [name for name in NAMES if name != "site-3"]
    row = job.server.rows("padded")[-1]
    assert (row["members"], row["lacks"]) == (members, None)
    assert row["bits"] > 20
    assert "and its sketch is" in job.server.rows("refusal")[0]["message"]
    np.testing.assert_allclose(moved(job), open_mean(job, members), atol=1e-6)


@attack(
    "name the server among the hospitals of `secure_sites`, so that a sum under pads holds one hospital less",
    who="a lead, with the server's operator",
    happens="refused by each hospital, whose kit says who the server is",
    says="secure_sites of the job names fl.brain-consortium.example, a server: it has no update to add",
)
def test_the_server_is_no_site_of_a_sum(tmp_path, kits):
    room = Room(tmp_path, identity="site-1", job_id="job-1")
    kits.write(room.root / "startup", "site-1")
    padding = Padding("pads", ["site-1", "site-2", "site-3", SERVER_NAME])
    with room.new_context() as fl_ctx, pytest.raises(ConfigurationError, match=f"names {SERVER_NAME}, a server"):
        padding.offer({"weight": np.ones(3)}, 0, fl_ctx)


@pytest.mark.parametrize("content", [None, "{}", '{"servers": [{}]}', '{"servers": 1}', "["])
def test_a_kit_that_does_not_say_who_the_server_is_pads_nothing(tmp_path, kits, content):
    kits.write(tmp_path, "site-1")
    path = tmp_path / SITE_STARTUP
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="does not say who the server is"):
        read_servers(tmp_path)


def test_a_server_that_was_stopped_repeats_the_round_on_other_batches(tmp_path, kits):
    """A job that goes on in another one: the sites know what they have padded, and the first sum's updates are gone."""
    job = PaddedJob(tmp_path / "one", kits, sites=tmp_path / "sites").run()
    again = PaddedJob(tmp_path / "two", kits, sites=tmp_path / "sites", job_id="job-2").run()
    assert {times for _, _, times in job.updates} == {0}
    assert {times for _, _, times in again.updates} == {1}
    assert again.server.room.said == []


def test_what_the_servers_process_received_of_a_site_tells_nothing_of_its_update(tmp_path, kits):
    """Every byte of one site's messages against the true update; the sketch is open, and 4096 numbers of many."""
    job = PaddedJob(tmp_path, kits).run()
    update = flat(job.updates["site-2", 0, 0])
    raw = b"".join(job.wire["site-2"])
    covered = next(part for part in job.wire["site-2"] if len(part) > 4 * update.size)
    assert update.tobytes() not in raw
    assert not [
        name for name, value in job.updates["site-2", 0, 0].items() if value.nbytes > 64 and value.tobytes() in raw
    ]
    bound = 5 / np.sqrt(update.size)
    for offset in range(4):  # wherever the array begins in the message
        numbers = np.frombuffer(covered, np.uint8)[offset:]
        seen = numbers[: numbers.size // 4 * 4].view(np.int32).astype(np.float64)
        correlations = np.correlate(seen - seen.mean(), (update - update.mean()).astype(np.float64), "valid")
        assert np.abs(correlations).max() / (seen.std() * update.std() * update.size) < bound
    assert sketch(job.updates["site-2", 0, 0]).tobytes() in raw


def test_the_personal_rounds_of_a_padded_job_send_nothing(tmp_path, kits):
    job = PaddedJob(tmp_path, kits, rounds=2)
    job.server.room.components["aggregator"]._personal_rounds = 1
    honest = job.trained
    job.trained = lambda site, number, weights: honest(site, number, weights) if number == 0 else {}
    job.run()
    assert job.server.room.said == []
    assert [row["round"] for row in job.server.rows("padded")] == [0]
    assert {row["round"] for row in job.server.rows("site") if row["accepted"]} == {0, 1}
