"""Secure aggregation: the padded sum is the open one bit for bit, and nobody learns more, whatever goes wrong."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation.factor.similarity import sketch
from fedbrats.privacy.secure.keys import Identity, ProtocolError
from fedbrats.privacy.secure.messages import PadRequest, check_enough, check_shares, threshold
from fedbrats.privacy.secure.ring import bits_for, from_ring, to_ring
from fedbrats.privacy.secure.server import PaddedSum, check_offers, request_for
from fedbrats.privacy.secure.site import PaddedSite
from tests.privacy.secure.consortium import Consortium
from tests.security.attacks import attack

NAMES = tuple(f"site-{number}" for number in range(1, 6))
LENGTH, JOB = 20_000, "job"


@pytest.fixture(scope="module")
def consortium():
    return Consortium()


@pytest.fixture(scope="module")
def identities(consortium):
    return {name: consortium.identity(name) for name in NAMES}


@pytest.fixture
def updates():
    rng = np.random.default_rng(0)
    return {name: (rng.normal(size=LENGTH) * 0.01 * (number + 1)).astype(np.float32)
            for number, name in enumerate(NAMES)}  # fmt: skip


@pytest.fixture
def sites(consortium, identities):
    """Five sites that have exchanged keys."""
    made = {name: PaddedSite(identities[name], consortium.root, JOB, NAMES) for name in NAMES}
    announcements = [site.announce() for site in made.values()]
    for site in made.values():
        site.meet(announcements)
    return made


def request(updates, round_number=0, attempt=0, **coefficients):
    shares = {name: coefficients.get(name, 0.2) for name in updates}
    lengths = {name: float(np.linalg.norm(update)) for name, update in updates.items()}
    return request_for(JOB, round_number, attempt, shares, lengths)


def signed(sites, asked, members):
    return {name: sites[name].sign(asked.round, asked.attempt, members) for name in members}


def revealed(sites, asked, signatures, of=None):
    return {name: sites[name].reveal(asked.round, asked.attempt, signatures) for name in of or signatures}


def exchange(sites, asked, updates, dead=()):
    """The sum over the sites that are not dead when they should answer."""
    total = PaddedSum(asked, LENGTH, len(NAMES))
    for name, site in sites.items():
        answer = site.pad(asked, updates[name])
        if name not in dead:
            total.take(answer)
    signatures = signed(sites, asked, total.close())
    return total, total.release(revealed(sites, asked, signatures))


def open_sum(asked, updates, members):
    added = sum(
        to_ring(updates[name], asked.coefficients[name], asked.bits, len(asked.coefficients)) for name in members
    )
    return from_ring(added, asked.bits)


def test_the_padded_sum_is_the_open_sum_bit_for_bit(sites, updates):
    asked = request(updates)
    _, found = exchange(sites, asked, updates)
    assert np.array_equal(found, open_sum(asked, updates, NAMES))
    exact = sum(0.2 * updates[name].astype(np.float64) for name in NAMES)
    assert np.abs(found - exact).max() <= 0.5 * len(NAMES) * 2.0**-asked.bits < 1e-6 * np.abs(exact).max()


def test_a_site_that_dies_before_it_answers_is_left_out(sites, updates):
    asked = request(updates)
    total, found = exchange(sites, asked, updates, dead=("site-2",))
    assert total.members == ("site-1", "site-3", "site-4", "site-5")
    assert np.array_equal(found, open_sum(asked, updates, total.members))


def test_a_site_that_dies_during_its_answer_is_left_out(sites, updates):
    asked = request(updates)
    total = PaddedSum(asked, LENGTH, len(NAMES))
    for name, site in sites.items():
        answer = site.pad(asked, updates[name])
        if name == "site-4":
            with pytest.raises(ProtocolError, match="no array of 20000"):
                total.take(replace(answer, numbers=answer.numbers[:1000]))
        else:
            total.take(answer)
    signatures = signed(sites, asked, total.close())
    found = total.release(revealed(sites, asked, signatures))
    assert np.array_equal(found, open_sum(asked, updates, [name for name in NAMES if name != "site-4"]))


def test_a_site_that_dies_after_its_answer_costs_the_attempt_and_nothing_is_known(sites, updates):
    asked = request(updates)
    total = PaddedSum(asked, LENGTH, len(NAMES))
    for name, site in sites.items():
        total.take(site.pad(asked, updates[name]))
    alive = [name for name in total.close() if name != "site-5"]
    signatures = {name: sites[name].sign(0, 0, total.members) for name in alive}
    with pytest.raises(ProtocolError, match="site-5 answered and then took off no pad; the round is repeated"):
        total.release(revealed(sites, asked, signatures))
    for name in alive:  # the same updates are never summed over another set
        with pytest.raises(ProtocolError, match="other batches"):
            sites[name].pad(replace(asked, attempt=1), updates[name])
    fresh = {name: updates[name] + np.float32(1e-6) for name in alive}
    again = request(fresh, 0, 1)
    second = PaddedSum(again, LENGTH, len(NAMES))
    for name in alive:
        second.take(sites[name].pad(again, fresh[name]))
    signatures = signed(sites, again, second.close())
    assert np.array_equal(second.release(revealed(sites, again, signatures)), open_sum(again, fresh, alive))


def test_a_late_answer_is_not_counted_and_stays_covered(sites, updates):
    asked = request(updates)
    total = PaddedSum(asked, LENGTH, len(NAMES))
    answers = {name: site.pad(asked, updates[name]) for name, site in sites.items()}
    for name in NAMES[1:]:
        total.take(answers[name])
    signatures = signed(sites, asked, total.close())
    with pytest.raises(ProtocolError, match="after the set was closed"):
        total.take(answers["site-1"])
    reveals = revealed(sites, asked, signatures)
    assert all("site-1" in reveal.pairs for reveal in reveals.values())
    # The server has the late answer and all pads that others shared with it: its own pad still covers it.
    with pytest.raises(ProtocolError, match="signed no set"):
        sites["site-1"].reveal(0, 0, signatures)
    with pytest.raises(ProtocolError, match="says that it has not"):
        sites["site-1"].sign(0, 0, total.members)


def test_a_replayed_answer_or_request_is_refused(sites, updates):
    asked = request(updates)
    old = sites["site-1"].pad(asked, updates["site-1"])
    later = request(updates, 1)
    total = PaddedSum(later, LENGTH, len(NAMES))
    with pytest.raises(ProtocolError, match="answers round 0"):
        total.take(old)
    for again in (asked, replace(asked, bits=asked.bits - 1)):
        with pytest.raises(ProtocolError, match="was answered before"):
            sites["site-1"].pad(again, updates["site-1"] + 1)
    answer = sites["site-1"].pad(later, updates["site-1"] * 2)
    total.take(answer)
    with pytest.raises(ProtocolError, match="has answered already"):
        total.take(answer)
    with pytest.raises(ProtocolError, match="not the one that this site has answered"):
        sites["site-1"].sign(0, 0, NAMES)


def test_a_server_that_tells_two_sets_gets_no_pad(sites, updates):
    asked = request(updates)
    for name, site in sites.items():
        site.pad(asked, updates[name])
    one, other = NAMES[:4], NAMES[1:]
    signatures = {name: sites[name].sign(0, 0, one if name == "site-1" else other) for name in NAMES}
    with pytest.raises(ProtocolError, match="does not fit what it is said to sign"):
        sites["site-1"].reveal(0, 0, {name: signatures[name] for name in one})
    with pytest.raises(ProtocolError, match="not in the set"):
        sites["site-2"].reveal(0, 0, {"site-1": signatures["site-1"]})
    with pytest.raises(ProtocolError, match="another set of sites than before"):
        sites["site-2"].sign(0, 0, one)
    with pytest.raises(ProtocolError, match="3 sites have signed the set, and 4 are needed"):
        sites["site-2"].reveal(0, 0, {name: signatures[name] for name in other[:3]})


def test_a_server_that_tells_two_sites_different_coefficients_gets_no_pad(sites, updates):
    asked = request(updates)
    for name, site in sites.items():
        site.pad(replace(asked, coefficients={**asked.coefficients, "site-3": 0.1}) if name == "site-1" else asked,
                 updates[name])  # fmt: skip
    signatures = signed(sites, asked, NAMES)
    for name in ("site-1", "site-2"):
        with pytest.raises(ProtocolError, match="does not fit"):
            sites[name].reveal(0, 0, signatures)


@attack(
    "learn one hospital's update from a sum under pads, by the coefficients of the others: nought, or next to it",
    who="the server's operator; with an honest server, another hospital",
    happens="refused by each hospital: one counts for 60 % at most, and two for 90 %",
    says="site-1 and site-2 together count for 98% of the sum that is asked for, more than 90%",
)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"site-1": 1.0, "site-2": 0.0, "site-3": 0.0, "site-4": 0.0, "site-5": 0.0}, "site-1 counts for 100% of"),
        (
            {"site-1": 1.0, "site-2": 0.1, "site-3": 0.1, "site-4": 0.1, "site-5": 0.1},
            "site-1 counts for 71% of .* more than 60%",
        ),
        (
            {"site-1": 0.5, "site-2": 0.5, "site-3": 0.01, "site-4": 0.01, "site-5": 0.0},
            "site-1 and site-2 together count for 98% of .* more than 90%",
        ),
        (dict.fromkeys(NAMES, 0.0), "no site counts"),
        ({"site-1": 1.5}, "not between 0 and 1"),
        ({"site-1": float("nan")}, "not between 0 and 1"),
        ({"stranger": 0.2}, "not a site of this job"),
    ],
)
def test_a_request_that_would_tell_one_update_is_refused(sites, updates, changes, sentence):
    asked = PadRequest(JOB, 0, 0, {**dict.fromkeys(NAMES, 0.2), **changes}, 20)
    with pytest.raises(ProtocolError, match=sentence):
        sites["site-1"].pad(asked, updates["site-1"])


def test_the_largest_shares_that_are_allowed_are_answered():
    for shares in ((0.6, 0.3, 0.1), (0.45, 0.45, 0.1), (1 / 3, 1 / 3, 1 / 3)):
        check_shares(dict(zip(NAMES, shares, strict=False)))


def test_a_share_that_grows_in_a_later_round_or_by_who_is_missing_is_refused_then(sites, updates):
    """Every request and every set is judged, not the first of a job alone."""
    exchange(sites, request(updates), updates)
    announcements = [site.announce() for site in sites.values()]
    for site in sites.values():
        site.meet(announcements)
    later = {name: update + np.float32(1e-3) for name, update in updates.items()}
    with pytest.raises(ProtocolError, match="site-1 counts for 71%"):
        sites["site-2"].pad(request(later, 1, **{"site-1": 1.0}, **dict.fromkeys(NAMES[1:], 0.1)), later["site-2"])
    asked = request(later, 2, **{"site-1": 0.9, "site-2": 0.5}, **dict.fromkeys(NAMES[2:], 0.1))
    total = PaddedSum(asked, LENGTH, len(NAMES))
    for name in NAMES:
        if name != "site-2":
            total.take(sites[name].pad(asked, later[name]))
    for refuse in (total.close, lambda: sites["site-1"].sign(2, 0, total.members)):
        with pytest.raises(ProtocolError, match="site-1 counts for 75% of the sum"):
            refuse()


def test_a_sum_over_too_few_is_refused_by_sites_and_server(sites, updates):
    with pytest.raises(ProtocolError, match="a sum over 2 sites is asked for, and at least 4 are needed"):
        sites["site-1"].pad(PadRequest(JOB, 0, 0, dict.fromkeys(NAMES[:2], 0.5), 20), updates["site-1"])
    asked = request(updates)
    total = PaddedSum(asked, LENGTH, len(NAMES))
    for name in NAMES[:3]:
        total.take(sites[name].pad(asked, updates[name]))
    with pytest.raises(ProtocolError, match="a sum over 3 sites"):
        total.close()
    with pytest.raises(ProtocolError, match="a sum over 3 sites"):
        sites["site-1"].sign(0, 0, NAMES[:3])


def offers(updates):
    return {name: sketch({"net": update}) for name, update in updates.items()}


def check(asked, total, found, offered):
    image = sketch({"net": found}).astype(np.float64)
    check_offers(asked, total.members, offered, image, float(np.linalg.norm(found)), LENGTH)


def test_a_site_that_sends_another_update_than_it_offered_is_found(sites, updates):
    offered = offers(updates)
    asked = request(updates)
    honest, found = exchange(sites, asked, updates)
    check(asked, honest, found, offered)
    lying = {**updates, "site-3": np.roll(updates["site-3"], 7)}
    asked = request(lying, 1)
    total, found = exchange(sites, asked, {name: value * np.float32(1.0) + np.float32(0) for name, value in
                                           {**{n: u + np.float32(1e-9) for n, u in updates.items()},
                                            "site-3": lying["site-3"]}.items()})  # fmt: skip
    with pytest.raises(ProtocolError, match="a site has sent another one than it offered"):
        check(asked, total, found, offered)


def test_what_a_sketch_does_not_see_makes_the_sum_longer_than_its_sketch(sites, updates):
    """A site that knows the places of the sketch adds pairs that cancel in it."""
    image = [sketch({"net": np.eye(1, LENGTH, at, dtype=np.float32)[0]}) for at in range(400)]
    places = [(int(np.abs(each).argmax()), float(each[np.abs(each).argmax()])) for each in image]
    hidden = np.zeros(LENGTH, np.float32)
    first: dict[int, int] = {}
    for at, (place, sign) in enumerate(places):
        if place in first and not hidden[first[place]]:
            hidden[first[place]], hidden[at] = 30.0 * places[first[place]][1], -30.0 * sign
        first.setdefault(place, at)
    assert hidden.any()
    assert not sketch({"net": hidden}).any()
    asked = request({**updates, "site-3": updates["site-3"] + hidden})
    total, found = exchange(sites, asked, {**updates, "site-3": updates["site-3"] + hidden})
    with pytest.raises(ProtocolError, match="hides a part of its update"):
        check(asked, total, found, offers(updates))


def test_an_update_longer_than_its_offer_does_not_overflow(sites, updates):
    asked = request(updates)
    with pytest.raises(UpdateError, match="longer than was offered"):
        sites["site-1"].pad(asked, updates["site-1"] * 1e4)
    with pytest.raises(UpdateError, match="overflow"):
        sites["site-1"].pad(asked, updates["site-1"] * np.nan)


def test_what_the_server_sees_of_a_site_is_noise(sites, updates):
    """Every byte that a wiretap at the server has of one site, against its update: no bit and no number tells."""
    asked = request(updates)
    answers = {name: site.pad(asked, updates[name]) for name, site in sites.items()}
    total = PaddedSum(asked, LENGTH, len(NAMES))
    for answer in answers.values():
        total.take(answer)
    reveals = revealed(sites, asked, signed(sites, asked, total.close()))
    from fedbrats.privacy.secure.pads import pad_of

    wire = answers["site-2"].numbers - pad_of(reveals["site-2"].own, LENGTH)  # all that the server can take off
    bound = 5 / np.sqrt(LENGTH)
    for seen in (answers["site-2"].numbers, wire):
        assert abs(np.corrcoef(seen.view(np.int32), updates["site-2"])[0, 1]) < bound
        assert abs(np.corrcoef(seen.view(np.int32), updates["site-1"])[0, 1]) < bound
        bits = np.unpackbits(seen.view(np.uint8))
        assert abs(bits.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(bits))
        counts = np.bincount(seen.view(np.uint8), minlength=256)
        chi = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
        assert 255 - 5 * np.sqrt(2 * 255) < chi < 255 + 5 * np.sqrt(2 * 255)
    again = {name: PaddedSite(site._identity, site._root, JOB, NAMES) for name, site in sites.items()}
    announcements = [site.announce() for site in again.values()]
    for site in again.values():
        site.meet(announcements)
    other = again["site-2"].pad(asked, updates["site-2"])
    assert (other.numbers == answers["site-2"].numbers).mean() < 0.001


@attack(
    "name people as hospitals in `secure_sites`, so that a sum under pads is one hospital's update",
    who="a lead, with the server's operator",
    happens="refused by the hospital: only a site's certificate signs a key",
    says="the certificate of site-2 is of no site: who holds it has no update to add",
)
def test_keys_that_are_not_the_consortiums_are_refused(consortium, identities):
    site = PaddedSite(identities["site-1"], consortium.root, JOB, NAMES)
    others = [PaddedSite(identities[name], consortium.root, JOB, NAMES) for name in NAMES[1:]]
    good = [site.announce(), *(other.announce() for other in others)]
    stranger = Consortium().identity("site-2")
    strange = PaddedSite(stranger, consortium.root, JOB, NAMES).announce()
    named = PaddedSite(consortium.identity("site-2", "site-9"), consortium.root, JOB, NAMES).announce()
    expired = PaddedSite(consortium.identity("site-2", days=-1), consortium.root, JOB, NAMES).announce()
    person = PaddedSite(consortium.identity("site-2", role="lead"), consortium.root, JOB, NAMES).announce()
    console = consortium.identity("site-2", usages=[ExtendedKeyUsageOID.CLIENT_AUTH])
    console = PaddedSite(console, consortium.root, JOB, NAMES).announce()
    elsewhere = PaddedSite(identities["site-2"], consortium.root, "another job", NAMES).announce()
    for announcements, sentence in (
        ([good[0], strange, *good[2:]], "not one of this consortium"),
        ([good[0], named, *good[2:]], "is that of"),
        ([good[0], expired, *good[2:]], "not valid now"),
        ([good[0], person, *good[2:]], "is of no site"),
        ([good[0], console, *good[2:]], "is of no site"),
        ([good[0], elsewhere, *good[2:]], "does not fit what it is said to sign"),
        ([good[0], replace(good[1], public=good[2].public), *good[2:]], "does not fit"),
        (good[:3], "keys of 3 sites, and at least 4 are needed"),
        (good[1:], "no key of site-1"),
        ([*good, good[4]], "twice"),
        ([PaddedSite(identities["site-1"], consortium.root, JOB, NAMES).announce(), *good[1:]], "another key for this"),
    ):
        with pytest.raises(ProtocolError, match=sentence):
            site.meet(announcements)
    with pytest.raises(ProtocolError, match="no keys were exchanged"):
        site.pad(PadRequest(JOB, 0, 0, dict.fromkeys(NAMES, 0.2), 20), np.ones(3))
    site.meet(good)


@attack(
    "stand in for a hospital in a sum under pads, with a kit that was stolen",
    who="a thief of a kit, with the server's operator",
    happens="refused by each hospital, which has the consortium's list of revoked certificates",
    says="the certificate of site-2 was revoked on 2026-11-30",
)
def test_a_key_that_a_revoked_certificate_signed_is_refused(consortium, identities):
    stolen = load_pem_x509_certificate(identities["site-2"].certificate).serial_number

    def revoked_since(certificate):
        return datetime(2026, 11, 30, tzinfo=UTC) if certificate.serial_number == stolen else None

    site = PaddedSite(identities["site-1"], consortium.root, JOB, NAMES, revoked_since)
    others = [PaddedSite(identities[name], consortium.root, JOB, NAMES).announce() for name in NAMES[1:]]
    with pytest.raises(ProtocolError, match="of site-2 was revoked on 2026-11-30"):
        site.meet([site.announce(), *others])
    site.meet([site.announce(), *others[1:]])


def test_what_pads_cannot_do_is_refused_in_one_sentence(consortium, identities):
    with pytest.raises(ConfigurationError, match="a sum of two tells each the other's"):
        PaddedSite(identities["site-1"], consortium.root, JOB, NAMES[:2])
    check_enough(3)
    assert [threshold(sites) for sites in (3, 4, 5, 33, 100)] == [3, 3, 4, 22, 67]


def test_the_ring_has_room_for_the_sum_and_no_more():
    for sites, largest in ((3, 1.0), (100, 0.01), (5, 1e-6), (7, 1e6)):
        bits = bits_for(largest, sites)
        full = np.array([largest, -largest])
        total = sum(to_ring(full, 1.0, bits, sites) for _ in range(sites))
        assert from_ring(total, bits) == pytest.approx(sites * full, rel=1e-6)
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(UpdateError, match="no place in the ring"):
            bits_for(wrong, 3)


def test_no_secret_is_in_the_text_of_an_object(identities, sites, updates):
    sites["site-1"].pad(request(updates), updates["site-1"])
    assert isinstance(identities["site-1"], Identity)
    assert "key" not in repr(identities["site-1"]).split("certificate")[0]
    assert sites["site-1"]._open.own.hex() not in repr(sites["site-1"]._open)
    assert repr(sites["site-1"]._open.own) not in repr(sites["site-1"]._open)
