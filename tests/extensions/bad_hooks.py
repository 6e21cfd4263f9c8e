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
    """Acts in a step on a parameter that is not there."""

    name = "breaking"

    def change_gradient(self, network):
        dict(network.named_parameters())["head.weight"].grad.zero_()


class Infinite(SiteHook):
    """Makes the loss of a step NaN."""

    name = "infinite"

    def change_loss(self, loss, network):
        return loss * np.nan


class Layered(SiteHook):
    """Wants to know something of its network, and raises then."""

    name = "layered"

    def after_step(self, network):
        raise ValueError(f"no such layer in {type(network.net).__name__}")


class Shifted(SiteHook):
    """Begins a round with weights of another shape."""

    name = "shifted"

    def begin_round(self, site, weights, task):
        return {name: value[None] for name, value in weights.items()}


class Unready(SiteHook):
    """Cannot begin without a state."""

    name = "unready"

    def restore(self, state):
        self.kept = state["kept"]


class Asking(SiteHook):
    """Wants to know something of its site, and raises then."""

    name = "asking"

    def begin_round(self, site, weights, task):
        raise ValueError(f"{site.trainer.usable_training_cases} training cases are too few")


class Nameless(SiteHook):
    """Has no name to keep its state under."""
