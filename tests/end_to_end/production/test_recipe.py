"""FLARE's ProdEnv runs a recipe of fedbrats with a person's kit of `fedbrats provision`."""

from pathlib import Path

import pytest
from nvflare.recipe import ProdEnv

from fedbrats.recipe import FedBratsRecipe
from fedbrats.rows import read_rows
from tests.end_to_end.consortium import LEAD, QUICK

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]


def test_a_recipe_runs_in_production(consortium):
    kit = str(consortium.kit(LEAD))
    run = FedBratsRecipe("fedavg", settings={**QUICK, "num_rounds": 1}, name="from-a-recipe").run(
        ProdEnv(startup_kit_location=kit, username=LEAD, login_timeout=60.0)
    )
    result = Path(run.get_result())
    assert run.get_status() == "FINISHED:COMPLETED"
    [rows] = [read_rows(path) for path in result.rglob("rows.jsonl")]
    assert {row["site"] for row in rows if row["kind"] == "site" and row["accepted"]} == set(consortium.sites)
