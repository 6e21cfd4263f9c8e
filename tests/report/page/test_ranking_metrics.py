"""The table of the metrics by which BraTS ranks, from the rows of single cases."""

from dataclasses import replace
from pathlib import Path

from fedbrats.report.numbers.results import Results
from fedbrats.report.page.blocks import Details, Table
from fedbrats.report.page.results_table import results_section

REGIONS = ("WT", "TC", "ET")


def case(name: str, dice: float, **more: object) -> dict:
    return {"case": name, "patient": name, "stage": "final", "dice": dict.fromkeys(REGIONS, dice), **more}


def table_of(*methods: Results) -> Table:
    section = results_section(methods, methods)
    (details,) = [block for block in section.blocks if isinstance(block, Details) and "BraTS" in block.summary]
    return details.blocks[0]


def test_every_metric_that_the_cases_have_is_a_column():
    surface = {"surface_dice_05mm": dict.fromkeys(REGIONS), "surface_dice_2mm": dict.fromkeys(REGIONS, 0.5)}
    cases = [case("p1", 1.0, lesion_dice=dict.fromkeys(REGIONS, 0.25), **surface)]
    cases += [case("p2", 0.5, lesion_dice=dict.fromkeys(REGIONS, 0.75), **surface)]
    new = Results("fedavg", "fedavg", Path("a"), {"job": "fedavg"}, [], {"north": cases}, None, {})
    old = replace(new, name="older", cases={"north": [case("p1", 0.5), case("p2", 0.5)]})
    table = table_of(new, old)
    assert table.columns == ("method", "Dice", "lesion-wise Dice", "surface Dice 2 mm")
    assert table.rows == [("fedavg", (0.75, 0.5, 0.5)), ("older", (0.5, None, None))]
