"""The commands that a page tells: to predict with a model, and to make the run that a comparison lacks."""

from __future__ import annotations

import json
import shlex
from typing import Any

from fedbrats.report.numbers.results import Results
from fedbrats.report.numbers.roles import is_personal

SITES_DIR, CASES, OUT = "sites", "CASES", "masks"  # what a reader puts in
_OF_A_TRAINING = ("num_rounds", "network", "seed", "start")  # and all of the tables below


def predict_command(method: Results, site: str = "SITE") -> str:
    """Predict with a method's model: with the site's own weights where it has some, with several models' mean where
    the method is several runs."""
    words = ["fedbrats", "predict", *map(str, method.all_folders), CASES]
    words += ["--personal", site] if is_personal(method) else []
    return shlex.join([*words, "--out", OUT])


def run_command(job: str, like: Results) -> str:
    """Run a job with the settings of a run that differ from the defaults."""
    return shlex.join(["fedbrats", "poc", "run", job, "--data", SITES_DIR, *_settings_of(like)])


def train_command(like: Results) -> str:
    """Train on all data in one place, with the settings of a run that differ from the defaults."""
    rounds = (like.summary.get("variables") or {}).get("num_rounds")
    words = ["fedbrats", "train", SITES_DIR, *(["--rounds", str(rounds)] if rounds else [])]
    return shlex.join([*words, *_settings_of(like, but=("num_rounds",))])


def _settings_of(run: Results, but: tuple[str, ...] = ()) -> list[str]:
    """`--set` for what a run trained with, where it is not the default; nothing of its method."""
    from fedbrats.data.prepare.settings import CacheSettings
    from fedbrats.jobs.settings import variables
    from fedbrats.model.settings import TrainingSettings

    known = variables()
    tables = (TrainingSettings, CacheSettings)
    names = [*_OF_A_TRAINING, *(name for name, each in known.items() if each.table in tables)]
    own: dict[str, Any] = run.summary.get("variables") or {}
    unlike = [
        name
        for name in names
        if name in own and name in known and name not in but and own[name] != known[name].declared.default
    ]
    return [word for name in unlike for word in ("--set", f"{name}={_as_text(own[name])}")]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
