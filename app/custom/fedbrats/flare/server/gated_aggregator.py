"""FLARE's aggregator of a job: a method combines what passes the gates; what does not is refused aloud."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.aggregator import Aggregator as FlareAggregator
from nvflare.app_common.abstract.model import ModelLearnableKey
from nvflare.app_common.app_constant import AppConstants

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation import gates
from fedbrats.federation.aggregator import Aggregator, Combined, combine_safely
from fedbrats.federation.averaging import Averaging
from fedbrats.federation.gates import Contribution, Expectation, Refusal
from fedbrats.federation.said import numbers_of
from fedbrats.federation.sharing import personal_in_round, split_names
from fedbrats.federation.spool import Spool
from fedbrats.flare.job_folder import local_folder
from fedbrats.flare.padded_messages import Offer, read_offer
from fedbrats.flare.protocol import read_answer
from fedbrats.flare.server.contributions import cast_like, read_contribution
from fedbrats.flare.server.padded.offers import Weighed, expect_sketches, weigh
from fedbrats.flare.server.row_events import fire_rows
from fedbrats.jobs.secure import PADS
from fedbrats.jobs.settings import check_values
from fedbrats.outside import show
from fedbrats.site.site_file import read_server_facts

TOTAL_ROUNDS = "fedbrats_total_rounds"  # FLARE's own NUM_ROUNDS is not there while answers are accepted
SAID_NUMBERS = "fedbrats_said_numbers"  # of the answer that was accepted last, for the recorder's row of it


class CaseRegister(FlareAggregator):
    """An aggregator that knows how many cases each site has registered."""

    def __init__(self) -> None:
        super().__init__()
        self._registered: Mapping[str, int] | None = {}  # nobody, until the register has been read
        self._register_fault: ConfigurationError | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Read the consortium's register of cases when a run starts; where it cannot be read, nobody is registered."""
        if event_type == EventType.START_RUN:
            try:
                self._registered = read_server_facts(local_folder(fl_ctx)).registered_cases
            except ConfigurationError as error:  # FLARE 2.9.0 logs what leaves this method and goes on
                self._registered, self._register_fault = {}, error
                self.log_error(fl_ctx, str(error))
            if self._registered is None:
                self.log_warning(
                    fl_ctx, "no register of cases on this server: sites weigh by what they say of themselves"
                )

    def check_register(self) -> None:
        """Refuse to begin without the limits that the consortium agreed on; for a workflow, which can end the job.

        Raises: ConfigurationError where this server's register is there and cannot be used.
        """
        if self._register_fault:
            raise self._register_fault

    def registered_cases(self) -> dict[str, int]:
        """The cases of each site of the consortium; empty where this server keeps no register."""
        return dict(self._registered or {})


class _UpdateStore:
    """Keeps updates of a round, on the disk where they do not fit into so many MiB."""

    def __init__(self, memory_mb: float) -> None:
        self._memory_mb = memory_mb
        self._spool: Spool | None = None

    def keep(self, contribution: Contribution, component: FLComponent, fl_ctx: FLContext) -> Contribution:
        """The contribution, its update on the disk where the round is large; in memory where the disk is full."""
        if self._spool is None:
            run_dir = Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id()))
            self._spool = Spool(run_dir, int(self._memory_mb * 2**20))
        try:
            return replace(contribution, update=self._spool.keep(contribution.update))
        except OSError as error:
            component.log_warning(
                fl_ctx,
                f"an update stays in memory, because the disk does not take it: {error}; site={contribution.site}",
            )
            return contribution

    def clear(self) -> None:
        """Forget the round."""
        if self._spool:
            self._spool.clear()


class GatedAggregator(CaseRegister):
    """Collects gated contributions of a round; a method says what becomes of them.

    Args:
        method: what combines them.
        network_id: the component that knows the network's names.
        personal, personal_rounds: which names must not arrive, and when none may, as in SegmentationExecutor.
        memory_mb: updates of a round that do not fit into so many MiB wait on the server's disk.
        clip_multiple, weight_power: the settings of `fedbrats.federation.averaging.Averaging`.
        secure: whether sites offer updates, whose sum is given later (`weigh`, `give`), in place of sending them.

    Attributes:
        offers: of the round, by site; none in an open job.

    Raises: ConfigurationError for a value out of bounds, and for a `weight_power` where the rule ignores cases.
    """

    def __init__(
        self,
        method: Aggregator,
        network_id: str = "network",
        personal: str = "none",
        personal_rounds: int = 0,
        memory_mb: float = 1024,
        clip_multiple: float = 2.0,
        weight_power: float = 1.0,
        secure: str = "none",
    ):
        super().__init__()
        if not isinstance(method, Aggregator):
            raise ConfigurationError(f"{type(method).__name__} is no {Aggregator.__name__} of fedbrats")
        self._method = method
        settings = {"personal": personal, "personal_rounds": personal_rounds, "memory_mb": memory_mb, "secure": secure}
        check_values(settings)
        self._averaging = Averaging(clip_multiple=clip_multiple, weight_power=weight_power)
        if not method.weighs_by_cases:
            self._averaging.refuse_power(type(method).__name__)
        method.weight_power = weight_power
        self._network_id = network_id
        self._personal = personal
        self._personal_rounds = personal_rounds
        self._contributions: dict[str, Contribution] = {}
        self._store = _UpdateStore(memory_mb)
        self._heard: set[str] = set()
        self._pads = secure == PADS
        self.offers: dict[str, Offer] = {}
        self._given: Combined | None = None

    def accept(self, shareable: Shareable, fl_ctx: FLContext) -> bool:
        """Gate one answer; a refused one is a log line and a row, and leaves the round as if it had not come."""
        site = fl_ctx.get_peer_context().get_identity_name()
        expectation, offer = self._expect(fl_ctx), None
        if self._pads:
            expectation = expect_sketches(expectation)
        try:
            contribution = read_contribution(site, shareable)
            if self._pads and expectation.shapes:
                offer = read_offer(site, read_answer(shareable))
        except (UpdateError, ValueError, TypeError, LookupError, AttributeError) as error:
            why = show(str(error), 200)
            message = f"The update of {site} in round {expectation.round_number} is not counted: {why}."
            refusal: Refusal | None = Refusal(site, expectation.round_number, "unreadable", message)
        else:
            weights = fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)[ModelLearnableKey.WEIGHTS]
            contribution = replace(contribution, update=cast_like(contribution.update, weights))
            refusal = gates.check(contribution, expectation, self._heard, self._method.hears)
        if refusal:
            at_end = f"round={refusal.round_number} site={site} reason={refusal.reason}"
            self.log_warning(fl_ctx, f"{refusal.message} {at_end}")
            row = {"round": refusal.round_number, "site": site, "reason": refusal.reason, "message": refusal.message}
            fire_rows(self, [{"kind": "refusal", **row}], fl_ctx)
            return False
        said = numbers_of(contribution.said, self._method.hears) if contribution.update else {}  # a personal round
        fl_ctx.set_prop(SAID_NUMBERS, said, private=True, sticky=False)
        self._heard.add(site)
        if offer:
            self.offers[site] = offer
        self._contributions[site] = self._store.keep(replace(contribution, cases=int(contribution.cases)), self, fl_ctx)
        return True

    def aggregate(self, fl_ctx: FLContext) -> Shareable:
        """Combine the round's contributions; of offers, the sum that was given. Raises: UpdateError where none was."""
        combined = self._given
        if self.offers and combined is None:
            raise UpdateError("the round's updates are covered, and their sum is not known")
        if not self.offers:
            combined, _ = self._combine(fl_ctx)
        if combined is None:
            return DXO(DataKind.WEIGHT_DIFF, data={}).to_shareable()
        round_number = fl_ctx.get_prop(AppConstants.CURRENT_ROUND)
        fire_rows(self, [{"kind": "weight", "round": round_number, **row} for row in combined.rows], fl_ctx)
        return DXO(DataKind.WEIGHT_DIFF, data=dict(combined.update), meta=combined.meta).to_shareable()

    def weigh(self, fl_ctx: FLContext) -> Weighed:
        """What the method makes of the offers. Raises: UpdateError where it is no weighted mean of them."""
        combined, contributions = self._combine(fl_ctx)
        assert combined is not None
        return weigh(combined, contributions, self.offers)

    def give(self, combined: Combined) -> None:
        """Take the mean of what was offered."""
        self._given = combined

    def shared_weights(self, fl_ctx: FLContext) -> dict[str, np.ndarray]:
        """The global model's weights that sites share in this round."""
        weights = fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)[ModelLearnableKey.WEIGHTS]
        return {name: np.asarray(weights[name]) for name in self._expect(fl_ctx).shapes}

    def _expect(self, fl_ctx: FLContext) -> Expectation:
        return expect(fl_ctx, self._network_id, (self._personal, self._personal_rounds), self._registered)

    def _combine(self, fl_ctx: FLContext) -> tuple[Combined | None, list[Contribution]]:
        """(what the method makes of the contributions, None where nothing is shared; they themselves, clipped)."""
        round_number = fl_ctx.get_prop(AppConstants.CURRENT_ROUND)
        contributions = [self._contributions[site] for site in sorted(self._contributions)]
        if not contributions:
            self.log_error(fl_ctx, f"no update was accepted: the model stays as it is; round={round_number}")
        if not any(each.update for each in contributions):  # all is personal in this round
            return None, contributions
        if multiple := self._averaging.clip_multiple:
            contributions, _, clipped = gates.clip_to_median(contributions, multiple)
            if clipped:
                self.log_warning(
                    fl_ctx,
                    f"updates were clipped to {multiple} median lengths; round={round_number} "
                    f"sites={','.join(clipped)}",
                )
        return combine_safely(self._method, contributions, round_number), contributions

    def tell(self) -> Mapping[str, Any]:
        """What the method tells every site with the next model."""
        return self._method.tell()

    def get_persist_state(self, fl_ctx: FLContext) -> dict[str, Any]:
        """FLARE's hook, which the controller calls: what the method remembers, to be kept beside its model."""
        return dict(self._method.state())

    def restore(self, state_data: dict[str, Any], fl_ctx: FLContext) -> None:
        """FLARE's hook: the method as it was."""
        self._method.restore(state_data)

    def counted_cases(self) -> dict[str, int]:
        """The cases of each site that is counted in the present round."""
        return {site: int(each.cases) for site, each in list(self._contributions.items())}

    def reset(self, fl_ctx: FLContext) -> None:
        """Forget the round; FLARE calls it after each."""
        self._contributions, self.offers, self._given = {}, {}, None
        self._heard = set()
        self._store.clear()


def expect(
    fl_ctx: FLContext, network_id: str, personal: tuple[str, int], registered: Mapping[str, int] | None
) -> Expectation:
    """What every update of the present round must look like.

    Args:
        network_id: the component that knows the network's names.
        personal: the job's personal set, and how many of its last rounds are personal.
        registered: the cases of each site.
    """
    weights = fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)[ModelLearnableKey.WEIGHTS]
    network = fl_ctx.get_engine().get_component(network_id)
    round_number = fl_ctx.get_prop(AppConstants.CURRENT_ROUND)
    kind = personal_in_round(*personal, round_number, fl_ctx.get_prop(TOTAL_ROUNDS, math.inf))
    shared, _ = split_names(weights, network.personal_names(kind))
    return Expectation(
        shapes={name: tuple(np.shape(weights[name])) for name in shared},
        round_number=round_number,
        max_cases=registered,
    )
