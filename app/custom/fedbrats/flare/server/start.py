"""Give a job's rounds their start: the weights inside the signed job replace those that the seed draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from nvflare.apis.fl_context import FLContext

from fedbrats.flare.job_folder import models_folder
from fedbrats.flare.server.state.stored import Model
from fedbrats.jobs.start import unpack_start


def read_first_model(fl_ctx: FLContext, drawn: Mapping[str, Any], sha256: str | None = None) -> Model:
    """The model that the rounds begin with.

    Args:
        drawn: the network's weights as the seed draws them, whose names and shapes the start must have.
        sha256: of the start, where the job says it.

    Raises: DataError where the job holds no start, or one that does not fit.
    """
    expected = {name: np.asarray(value) for name, value in drawn.items()}
    return Model(unpack_start(models_folder(fl_ctx), expected, sha256), {})
