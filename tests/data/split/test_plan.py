"""Splits keep patients together, lose no case silently, follow from the seed, and say why they cannot be made.

Nothing here is read from files: examinations are made up.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbrats.data.cases.case import MODALITIES, Case
from fedbrats.data.check.checks import Examination
from fedbrats.data.check.problems import make_problem
from fedbrats.data.regions import BRATS_2018
from fedbrats.data.split.partitions import geometric_sizes, site_name
from fedbrats.data.split.plan import SplitPlan, SplitSettings, plan_split
from fedbrats.errors import ConfigurationError, DataError, FedbratsError
from tests.generated.asking import attempt

SCHEMES = ("equal", "unequal", "tumour-size", "dirichlet:0.5")


def examine(
    name: str, patient: str | None = None, ml: float = 10.0, folder: str = "data", print_: str = ""
) -> Examination:
    """An examination of a sound case that is nowhere."""
    images = {modality: Path(folder, name, f"{name}_{modality}.nii") for modality in MODALITIES}
    case = Case(name, patient or name, images, Path(folder, name, f"{name}_seg.nii"))
    return Examination(case, (), {1: ml / 2, 4: ml / 2}, {"t1": print_ or name})


def examine_many(count: int, cases_each: int = 1) -> list[Examination]:
    return [examine(f"p{k:02d}-{j}", f"p{k:02d}", ml=float(k + 1)) for k in range(count) for j in range(cases_each)]


def names_of(plan: SplitPlan) -> dict[str, dict[str, list[str]]]:
    return {
        site.site: {
            section: [case.name for case in getattr(site, section)] for section in ("training", "validation", "test")
        }
        for site in plan.sites
    }


def places_of(plan: SplitPlan) -> dict[str, set[tuple[str, str]]]:
    """Patient -> the (site, section) pairs where it is."""
    places: dict[str, set[tuple[str, str]]] = {}
    for site in plan.sites:
        for section in ("training", "validation", "test"):
            for case in getattr(site, section):
                places.setdefault(case.patient, set()).add((site.site, section))
    return places


@st.composite
def cohorts(draw: st.DrawFn) -> list[Examination]:
    """Up to 20 patients with one to three cases each."""
    counts = draw(st.lists(st.integers(1, 3), min_size=6, max_size=20))
    volumes = draw(st.lists(st.floats(0.1, 300), min_size=len(counts), max_size=len(counts)))
    return [
        examine(f"c{k:02d}-{j}", f"p{k:02d}", ml)
        for k, (count, ml) in enumerate(zip(counts, volumes, strict=True))
        for j in range(count)
    ]


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.sampled_from(SCHEMES), st.integers(1, 3), st.integers(0, 5), st.sampled_from([None, 0, 1]))
def test_no_case_is_lost_and_no_patient_is_in_two_places(
    cohort: list[Examination], by: str, sites: int, seed: int, fold: int | None
) -> None:
    chosen = SplitSettings(by=by, sites=sites, seed=seed, fold=fold, folds=2)
    try:
        plan = plan_split(cohort, chosen)
    except DataError as error:
        assert "no training case" in str(error)  # noqa: PT017
        return
    cases = Counter(case.name for site in plan.sites for case in site.cases)
    assert cases == Counter(e.case.name for e in cohort)
    assert all(len(places) == 1 for places in places_of(plan).values())
    assert len(plan.sites) == sites
    assert all(site.training for site in plan.sites)
    assert names_of(plan_split(cohort, chosen)) == names_of(plan)


def test_seeds_differ() -> None:
    cohort = examine_many(20)
    plans = [names_of(plan_split(cohort, SplitSettings(sites=3, seed=seed))) for seed in (0, 1)]
    assert plans[0] != plans[1]


@pytest.mark.parametrize("by", SCHEMES)
def test_every_patient_is_validated_in_exactly_one_fold(by: str) -> None:
    cohort = examine_many(12, cases_each=2)
    held_out: Counter[str] = Counter()
    for fold in range(4):
        plan = plan_split(cohort, SplitSettings(by=by, sites=2, fold=fold, folds=4))
        held_out.update(case.name for site in plan.sites for case in site.validation)
        sizes = [len(site.validation) for site in plan.sites]
        assert sum(sizes) == 6
        assert min(sizes) > 0
    assert held_out == Counter(e.case.name for e in cohort)


def test_the_test_patients_are_the_same_in_every_fold_and_in_no_fold() -> None:
    cohort = examine_many(17, cases_each=2)
    chosen = SplitSettings(sites=2, folds=3, test_share=0.2)
    plans = [names_of(plan_split(cohort, replace(chosen, fold=fold))) for fold in range(3)]
    test, held_out = (
        [{n for site in plan.values() for n in site[s]} for plan in plans] for s in ("test", "validation")
    )
    assert test[0] == test[1] == test[2]
    assert [len(site["test"]) for site in plans[0].values()] == [4, 4]
    for plan in plans:
        assert not test[0] & {name for site in plan.values() for s in ("training", "validation") for name in site[s]}
    assert sorted(name for fold in held_out for name in fold) == sorted({e.case.name for e in cohort} - test[0])


def test_a_test_share_leaves_something_to_train_and_to_validate_on() -> None:
    chosen = SplitSettings(sites=2, folds=2, fold=0, test_share=0.7)
    plan = plan_split(examine_many(6), chosen)
    assert [(len(s.training), len(s.validation), len(s.test)) for s in plan.sites] == [(1, 1, 1)] * 2


def test_splits_on_record_stay_as_they_are() -> None:
    held_out = [
        [case.name for site in plan.sites for case in site.validation]
        for fold in (0, 1, None)
        for plan in [plan_split(examine_many(8), SplitSettings(sites=2, seed=3, fold=fold))]
    ]
    assert held_out == [["p03-0", "p06-0", "p07-0"], ["p02-0", "p00-0", "p01-0"], ["p06-0", "p07-0"]]


def test_folds_leave_the_sites_as_they_are() -> None:
    cohort = examine_many(12)
    chosen = SplitSettings(sites=3, fold=0, folds=3)
    plans = [plan_split(cohort, replace(chosen, fold=fold, folds=folds)) for fold, folds in ((0, 3), (1, 3), (1, 2))]
    homes = [{site.site: sorted(case.name for case in site.cases) for site in plan.sites} for plan in plans]
    assert homes[0] == homes[1] == homes[2]


def test_shares_give_every_section_a_case_where_there_are_enough() -> None:
    plan = plan_split(examine_many(15), SplitSettings(sites=3, validation_share=0.1, test_share=0.2))
    assert [(len(s.training), len(s.validation), len(s.test)) for s in plan.sites] == [(3, 1, 1)] * 3
    lone = plan_split(examine_many(2), SplitSettings(sites=2))
    assert [(len(s.training), len(s.validation)) for s in lone.sites] == [(1, 0)] * 2


def test_sizes_of_the_schemes() -> None:
    cohort = examine_many(30)

    def sizes(by: str) -> list[int]:
        return [len(site.cases) for site in plan_split(cohort, SplitSettings(by=by, sites=3)).sites]

    assert sizes("equal") == [10, 10, 10]
    assert sizes("unequal") == geometric_sizes(30, 3) == [15, 9, 6]
    assert sizes("tumour-size") == [10, 10, 10]


def test_tumour_size_orders_the_sites() -> None:
    plan = plan_split(examine_many(9), SplitSettings(by="tumour-size", sites=3))
    assert [sorted(c.patient for c in site.cases) for site in plan.sites] == [
        [f"p{k:02d}" for k in range(start, start + 3)] for start in (0, 3, 6)
    ]


def test_a_small_alpha_makes_sites_differ_more() -> None:
    cohort = examine_many(40)

    def spread(alpha: float) -> float:
        means = []
        for seed in range(10):
            plan = plan_split(cohort, SplitSettings(by=f"dirichlet:{alpha}", sites=4, seed=seed))
            means.append([np.mean([sum(plan.labels[c.name].values()) for c in s.cases]) for s in plan.sites])
        return float(np.std(means, axis=1).mean())

    assert spread(0.3) > 1.5 * spread(100)


def test_institutions_become_sites_and_the_smallest_are_joined() -> None:
    institutions = ["CBICA"] * 5 + ["TCIA01"] * 3 + ["2013"] * 2 + ["TCIA10"]
    cohort = [examine(f"Brats18_{name}_{k}_1") for k, name in enumerate(institutions)]
    plan = plan_split(cohort, SplitSettings(by="institution"))
    assert [(site.site, len(site.cases)) for site in plan.sites] == [
        ("cbica", 5),
        ("site-2013", 2),
        ("tcia01", 3),
        ("tcia10", 1),
    ]
    joined = plan_split(cohort, SplitSettings(by="institution", sites=3))
    assert [(site.site, len(site.cases)) for site in joined.sites] == [("cbica", 5), ("tcia01", 3), ("others", 3)]
    with pytest.raises(DataError, match="only 4 groups"):
        plan_split(cohort, SplitSettings(by="institution", sites=5))


def test_a_group_called_others_is_joined_and_nobody_vanishes() -> None:
    institutions = ["OTHERS"] * 5 + ["CBICA"] * 3 + ["TCIA01"] * 2 + ["TCIA10"]
    cohort = [examine(f"Brats18_{name}_{k}_1") for k, name in enumerate(institutions)]
    sizes = {
        sites: {site.site: len(site.cases) for site in plan_split(cohort, SplitSettings("institution", sites)).sites}
        for sites in (2, 3, 4, None)
    }
    assert sizes[2] == {"cbica": 3, "others": 8}
    assert sizes[3] == {"cbica": 3, "tcia01": 2, "others": 6}
    assert sizes[4] == sizes[None] == {"cbica": 3, "others": 5, "tcia01": 2, "tcia10": 1}


def test_grade_is_told_by_folders() -> None:
    cohort = [examine(f"c{k}", folder="data/HGG" if k < 3 else "data/LGG") for k in range(5)]
    plan = plan_split(cohort, SplitSettings(by="grade"))
    assert [(site.site, len(site.cases)) for site in plan.sites] == [("hgg", 3), ("lgg", 2)]
    with pytest.raises(DataError, match="no folder of case x is called HGG or LGG"):
        plan_split([examine("x")], SplitSettings(by="grade"))


def write_table(folder: Path, *rows: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_table_names_sites_and_folds(tmp_path: Path) -> None:
    rows = [f"{k},p{k:02d}-0,{'Sankt Gallen' if k < 4 else 'BERN'},{k % 2}" for k in range(8)]
    table = write_table(tmp_path, "row,BraTS_ID,clinic,fold", *rows)
    plan = plan_split(examine_many(9), SplitSettings(by=f"{table}:clinic", fold=1))
    assert names_of(plan) == {
        "bern": {"training": ["p04-0", "p06-0"], "validation": ["p05-0", "p07-0"], "test": []},
        "sankt-gallen": {"training": ["p00-0", "p02-0"], "validation": ["p01-0", "p03-0"], "test": []},
    }
    assert plan.dropped == {"p08-0": "table.csv has no row for it"}
    with pytest.raises(ConfigurationError, match=r"no case is in fold 2; the folds are \[0, 1\]"):
        plan_split(examine_many(8), SplitSettings(by=f"{table}:clinic", fold=2))


@pytest.mark.parametrize(
    ("column", "rows", "complaint"),
    [
        ("site", ["case,clinic", "p00-0,a"], "has no column 'site'; it has case, clinic"),
        ("site", ["case,site", "q,a"], "no column of .* holds the name of a case, such as p00-0"),
        (
            "site",
            ["case,site", "p00-0,", "p00-1,a", "p01-0,a", "p01-1,a"],
            "says nothing in column site about case p00-0",
        ),
        ("site", ["case,site", "p00-0,a", "p00-1,b", "p01-0,a", "p01-1,a"], "patient p00 would be at a and b"),
        ("site", ["case,site,fold", "p00-0,a,0", "p00-1,a,1", "p01-0,a,0", "p01-1,a,0"], "patient p00 one fold"),
        ("site", ["case,site,fold", "p00-0,a,x", "p00-1,a,x", "p01-0,a,0", "p01-1,a,0"], "patient p00 one fold"),
        ("site", [""], "it has no rows"),
    ],
)
def test_a_table_that_does_not_do(tmp_path: Path, column: str, rows: list[str], complaint: str) -> None:
    table = write_table(tmp_path, *rows)
    with pytest.raises(DataError, match=complaint):
        plan_split(examine_many(2, cases_each=2), SplitSettings(by=f"{table}:{column}", fold=0))


def test_a_fold_column_means_nothing_where_no_fold_is_asked_for(tmp_path: Path) -> None:
    table = write_table(tmp_path, "case,site,fold", *(f"p0{k}-0,a,{'test' if k else ''}" for k in range(4)))
    plan = plan_split(examine_many(4), SplitSettings(by=f"{table}:site"))
    assert [len(site.cases) for site in plan.sites] == [4]
    with pytest.raises(DataError, match="p00"):
        plan_split(examine_many(4), SplitSettings(by=f"{table}:site", fold=0))


def test_rows_that_contradict_each_other_are_refused_and_repeated_ones_are_not(tmp_path: Path) -> None:
    rows = [f"p0{k}-0,{'ab'[k % 2]},{scan}" for k in range(4) for scan in ("before", "after")]
    plan = plan_split(examine_many(4), SplitSettings(by=f"{write_table(tmp_path, 'case,site,scan', *rows)}:site"))
    assert [len(site.cases) for site in plan.sites] == [2, 2]
    table = write_table(tmp_path, "case,site,scan", *rows, "p00-0,b,later")
    with pytest.raises(DataError, match="says both a and b in column site about case p00-0"):
        plan_split(examine_many(4), SplitSettings(by=f"{table}:site"))


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        plan_split(examine_many(2), SplitSettings(by=f"{tmp_path}/no.csv:site"))


def test_unfit_cases_are_left_out_with_their_reason() -> None:
    cohort = examine_many(4)
    case = cohort[0].case
    broken = make_problem(case.name, case.images["t2"], "unreadable", "it is truncated")
    cohort[0] = replace(cohort[0], problems=(broken,))
    cohort[1] = replace(cohort[1], case=replace(cohort[1].case, label=None), labels=None)
    warned = make_problem(cohort[2].case.name, None, "partial-coverage", "two thirds")
    cohort[2] = replace(cohort[2], problems=(warned,))
    cohort[3] = replace(cohort[3], labels={3: 1.0, 4: 1.0})
    plan = plan_split([*cohort, examine("more")], SplitSettings(sites=1), BRATS_2018)
    assert sorted(case.name for site in plan.sites for case in site.cases) == ["more", "p02-0"]
    assert set(plan.dropped) == {"p00-0", "p01-0", "p03-0"}
    assert plan.dropped["p00-0"] == "unreadable: it is truncated"
    assert plan.dropped["p01-0"] == "there is no segmentation"
    assert plan.dropped["p03-0"].startswith("unknown-labels")


def test_identical_images_make_one_patient() -> None:
    cohort = [examine("a", print_="same"), examine("b"), examine("c", print_="same"), examine("d", patient="b")]
    for seed in range(5):
        plan = plan_split(cohort, SplitSettings(sites=2, seed=seed))
        sites = [{case.name for case in site.cases} for site in plan.sites]
        assert {"a", "c"} in sites
        assert {"b", "d"} in sites


def test_patients_that_two_kinds_of_evidence_join_are_one() -> None:
    cohort = [examine("a", "p", print_="x"), examine("b", "q", print_="y"), examine("c", "q", print_="x"), examine("d")]
    plan = plan_split(cohort, SplitSettings(sites=2))
    assert {"a", "b", "c"} in [{case.name for case in site.cases} for site in plan.sites]


@pytest.mark.parametrize(
    ("by", "sites", "complaint"),
    [
        ("random", 2, "--by random is not known; choose equal"),
        ("equal:3", 2, "--by equal:3 is not known"),
        ("dirichlet", 2, "--by dirichlet is not known"),
        ("dirichlet:x", 2, "dirichlet:ALPHA with ALPHA above 0"),
        ("dirichlet:-1", 2, "dirichlet:ALPHA with ALPHA above 0"),
        ("equal", None, "--by equal needs --sites N"),
        ("unequal", 9, r"4 patient\(s\) cannot be shared out to 9 sites"),
        ("institution", None, "the name of case p00-0 tells no institution"),
    ],
)
def test_a_split_that_cannot_be_made_says_why(by: str, sites: int | None, complaint: str) -> None:
    with pytest.raises(FedbratsError, match=complaint):
        plan_split(examine_many(4), SplitSettings(by=by, sites=sites))


def test_an_alpha_that_starves_a_site_is_refused() -> None:
    with pytest.raises(DataError, match="leaves some of 5 sites with fewer than 2 patients"):
        plan_split(examine_many(12), SplitSettings(by="dirichlet:0.0001", sites=5))


def test_a_site_without_training_cases_is_refused() -> None:
    cohort = [examine("Brats18_CBICA_A_1"), examine("Brats18_CBICA_B_1"), examine("Brats18_TCIA01_1_1")]
    with pytest.raises(DataError, match="site tcia01 would have no training case"):
        plan_split(cohort, SplitSettings(by="institution", fold=0, folds=2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sites": 0},
        {"folds": 1},
        {"validation_share": 1.0},
        {"test_share": -0.1},
        {"validation_share": 0.6, "test_share": 0.4},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="--"):
        SplitSettings(**wrong)


def test_no_segmentation_at_all() -> None:
    examination = examine("a")
    blind = replace(examination, case=replace(examination.case, label=None), labels=None)
    with pytest.raises(DataError, match=r"none of the 1 cases can be trained on \(there is no segmentation: 1\); run"):
        plan_split([blind], SplitSettings(sites=1))


@given(st.integers(1, 500), st.integers(1, 12))
def test_geometric_sizes(total: int, sites: int) -> None:
    if total < sites:
        return
    sizes = geometric_sizes(total, sites)
    assert sum(sizes) == total
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) >= min(2, total // sites)


@given(st.text() | st.text("aB1 -_.ö", max_size=60))
def test_site_names_suit_flare(text: str) -> None:
    name, refused = attempt(site_name, text)
    if name is None:
        assert repr(text) in refused
        return
    assert 0 < len(name) < 64
    assert name[0].isalpha()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.endswith("-")
    assert name not in ("server", "admin")


@pytest.mark.parametrize(
    ("text", "name"), [("Köln", "koln"), ("Großhadern", "grosshadern"), ("São Paulo 2", "sao-paulo-2"), ("7", "site-7")]
)
def test_accents_are_left_out_of_site_names(text: str, name: str) -> None:
    assert site_name(text) == name


@pytest.mark.parametrize(
    ("one", "other", "complaint"),
    [
        ("Site_1", "site 1", "'Site_1' and 'site 1' would both be site site-1"),
        ("A+", "A-", "'A+' and 'A-' would both be site a"),
        ("Köln", "Koln", "would both be site koln"),
        ("1", "site-1", "would both be site site-1"),
        ("東京", "大阪", "cannot be the name of a site: FLARE and certificates carry only a-z"),
        ("Київ 1", "Львів 1", "cannot be the name of a site"),
        ("+", "-", "cannot be the name of a site: expected 1 to 58"),
        ("x" * 70, "y", "cannot be the name of a site: expected 1 to 58"),
    ],
)
def test_hospitals_that_would_fall_together_are_named(tmp_path: Path, one: str, other: str, complaint: str) -> None:
    table = write_table(tmp_path, "case,hospital", *(f"p0{k}-0,{one if k < 2 else other}" for k in range(4)))
    with pytest.raises(DataError, match=re.escape(complaint)):
        plan_split(examine_many(4), SplitSettings(by=f"{table}:hospital"))


@pytest.mark.parametrize(
    ("separator", "encoding"), [(";", "utf-8"), ("\t", "utf-8-sig"), (",", "utf-16"), ("\t", "utf-16-le-bom")]
)
def test_tables_as_spreadsheets_save_them_are_read(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = [separator.join((f"p0{k}-0", ("Köln", "Bonn")[k % 2], "a note, with a comma")) for k in range(4)]
    text = "\r\n".join([separator.join(("case", "town", "note")), *rows]).replace("a note, with a comma", '"a, b; c"')
    bom = "\ufeff" if encoding.endswith("bom") else ""
    (tmp_path / "table.csv").write_bytes((bom + text).encode(encoding.removesuffix("-bom")))
    plan = plan_split(examine_many(4), SplitSettings(by=f"{tmp_path}/table.csv:town"))
    assert [site.site for site in plan.sites] == ["bonn", "koln"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("case,town\np00-0,Köln\n".encode("cp1252"), "is not in UTF-8, .* save it as `CSV UTF-8`"),
        ("case;town\np00-0;Łódź\n".encode("cp1250"), "is not in UTF-8"),
        (b"PK\x03\x04 xlsx", "a workbook of a spreadsheet; save it as CSV"),
    ],
)
def test_tables_that_cannot_be_read_say_what_to_save(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        plan_split(examine_many(4), SplitSettings(by=f"{tmp_path}/table.csv:town"))
    assert "codec" not in str(caught.value)


def test_a_patient_column_or_pattern_keeps_cases_together(tmp_path: Path) -> None:
    cohort = [examine(f"scan{k}") for k in range(8)]
    rows = [f"scan{k},a,{'xyxyzzww'[k]},{k // 2}" for k in range(8)]
    table = write_table(tmp_path, "case,site,patient,who", *rows)
    sharing = {"validation_share": 0.5}

    def patients(**how: str) -> dict[str, set[tuple[str, str]]]:
        places = places_of(plan_split(cohort, SplitSettings(**{"by": f"{table}:site", **sharing, **how})))
        assert all(len(place) == 1 for place in places.values())
        return places

    assert patients().keys() == {"x", "y", "z", "w"}  # the column is honoured
    assert patients(patient="who").keys() == {"0", "1", "2", "3"}
    assert patients(patient=f"{table}:who").keys() == {"0", "1", "2", "3"}
    assert patients(patient="(scan[0-3]|scan)").keys() == {"scan0", "scan1", "scan2", "scan3", "scan"}


@pytest.mark.parametrize(
    ("who", "complaint"),
    [
        ("person", "no column of a table"),
        ("(a)(b)", "2 groups"),
        ("(a", "not a regular expression"),
        ("(PAT[0-9]+)_", "does not fit the name of case p00-0"),
    ],
)
def test_a_patient_that_cannot_be_told_so_is_said(who: str, complaint: str) -> None:
    with pytest.raises(FedbratsError, match=complaint):
        plan_split(examine_many(4), SplitSettings(sites=1, patient=who))
