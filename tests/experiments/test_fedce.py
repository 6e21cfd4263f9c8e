"""The simulation's FedCE is FLARE's: the same updates give the same weights, round after round."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.simulation.methods import Answer, FedCE
from experiments.simulation.quadratics import SIZE, as_layers

SITES = ("a", "b", "c", "d")


@pytest.mark.parametrize("seed", range(3))
def test_weights_follow_flares_class(seed: int) -> None:
    torch = pytest.importorskip("torch")
    from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
    from nvflare.app_opt.pt.fedce import FedCEConstants, FedCEModelAggregator, PTFedCEHelper

    rng = np.random.default_rng(seed)
    ours, theirs = FedCE(dict.fromkeys(SITES, 10)), FedCEModelAggregator()
    for round_number in range(5):
        common = rng.standard_normal(SIZE)
        answers = [
            Answer(site, 10, common + rng.standard_normal(SIZE) * (1 + i), 0.0, float(rng.uniform(0.1, 1.0)))
            for i, site in enumerate(SITES)
        ]
        answers[3] = Answer("d", 10, np.zeros(SIZE) if round_number == 2 else -answers[3].update, 0.0, 0.5)
        for each in answers:
            params = {name: torch.from_numpy(part) for name, part in as_layers(each.update).items()}
            model = FLModel(params=params, params_type=ParamsType.DIFF, meta={"client_name": each.site})
            theirs.accept_model(PTFedCEHelper.set_minus_model_score(model, each.minus_score))
        aggregated = theirs.aggregate_model()
        theirs.reset_stats()
        step = ours.step(answers, round_number)
        assert step.weights == pytest.approx(aggregated.meta[FedCEConstants.CONTRIBUTION_WEIGHTS], abs=1e-5)
        for name, part in as_layers(step.update).items():
            assert np.allclose(part, np.asarray(aggregated.params[name]), atol=1e-4)
