"""Which cases are shown: those of the run, each at its own site."""

import dataclasses

import pytest

from fedbrats.report.numbers.results import ALL_SITES, read_results
from fedbrats.report.page.gallery import rank_cases


def row(case, dice):
    return {"case": case, "dice": {"WT": dice, "TC": dice, "ET": dice}}


@pytest.mark.parametrize(
    ("cases", "ranked"),
    [
        (
            {"north": [row("001", 0.9), row("002", 0.7)], "south": [row("001", 0.5)]},
            [(0.5, ("south", "001")), (0.7, ("north", "002")), (0.9, ("north", "001"))],
        ),
        ({ALL_SITES: [row("001", 0.9), row("002", 0.7)]}, [(0.7, ("north", "002"))]),  # which 001 it is, nobody knows
    ],
)
def test_cases_of_one_name_at_two_sites_are_two(federated, cases, ranked):
    [run] = read_results(federated[:1])
    found = rank_cases(dataclasses.replace(run, cases=cases), [("north", "001"), ("north", "002"), ("south", "001")])
    assert [key for _, key in found] == [key for _, key in ranked]
    assert [dice for dice, _ in found] == pytest.approx([dice for dice, _ in ranked])
