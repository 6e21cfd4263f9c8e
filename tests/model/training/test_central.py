"""Cases of several sites in one place: each score is its own site's, whatever the cases are called."""

from dataclasses import replace

import numpy as np
import pytest

from fedbrats.data.prepare.site_cases import SiteCases
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.central import pooled_trainer, train_centrally

SETTINGS = TrainingSettings(local_steps=1, rotation_degrees=0, scaling=0, final_flips=False)


@pytest.fixture
def namesakes(prepared) -> list[SiteCases]:
    """Two hospitals that call their only validation case alike; that of the first has broken since."""
    first, second = (replace(case, name="case_001", patient=f"patient-{k}") for k, case in enumerate(prepared[1:3]))
    broken = replace(first, image=np.full_like(first.image, np.nan))
    return [SiteCases("north", (prepared[0],), (broken,)), SiteCases("south", (prepared[3],), (second,))]


def test_a_case_that_broke_takes_no_namesake_at_another_site_with_it(namesakes):
    trainer = pooled_trainer({"preset": "tiny", "seed": 0}, SETTINGS, namesakes, seed=0, device="cpu")
    rounds = []
    final, by_case = train_centrally(trainer, namesakes, 1, lambda _, rows: rounds.extend(rows))
    scored = [row for row in (*rounds, *final) if row["kind"] == "metrics"]
    assert {row["stage"] for row in scored} == {"received", "trained", "final"}
    assert {(row["site"], row["cases"]) for row in scored} == {("south", 1)}
    assert [(row["site"], row["patient"]) for row in by_case] == [("south", "patient-1")]
    assert [case.name for case in trainer.rejected] == ["case_001"]
    assert trainer.evaluation.usable_cases == (trainer.evaluation.cases[1],)
