"""Hooks that end a job in its first round: part of the packages that tests and benchmarks/refusals.py install."""

import numpy as np

from fedbrats.federation.said import SaidNumber
from fedbrats.site.hooks.hook import SiteHook


class Raising(SiteHook):
    """Raises in a round."""

    name = "raising"

    def change_update(self, update):
        raise KeyError("head.weight")


class Lost(SiteHook):
    """Gives NaN."""

    name = "lost"

    def change_update(self, update):
        return {name: value * np.nan for name, value in update.items()}


class Loud(SiteHook):
    """Says more than it declares."""

    name = "loud"
    says = {"length": SaidNumber("the length of the update", least=0, most=1)}  # noqa: RUF012

    def say(self):
        return {"length": 1000.0}


class Forgetful(SiteHook):
    """After a round, its state is none that could be kept."""

    name = "forgetful"
    kept = None

    def end_round(self, trained):
        self.kept = {"seen": np.array(["a text"])}

    def state(self):
        return self.kept


class Breaking(SiteHook):
    """Raises in a step."""

    name = "breaking"

    def change_loss(self, loss, network):
        raise ValueError(f"no such layer in {type(network).__name__}")


class Asking(SiteHook):
    """Wants to know something of its site, and raises then."""

    name = "asking"

    def begin_round(self, site, weights, task):
        raise ValueError(f"{site.trainer.usable_training_cases} training cases are too few")


class Nameless(SiteHook):
    """Has no name to keep its state under."""
