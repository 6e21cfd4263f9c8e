"""Secure aggregation at a site: the update stays here, and leaves under pads that only a sum takes off.

The filter `Offer` acts last, on what the hospital's and the job's filters let through. It keeps the update in the
component `Padding` and sends a sketch in its place. The tasks after `train` come to that component.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.filter import Filter
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FilterKey, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation.factor.similarity import sketch
from fedbrats.flare import padded_messages as messages
from fedbrats.flare.job_folder import local_folder
from fedbrats.flare.padded_messages import Offer as OfferedUpdate
from fedbrats.flare.protocol import SAID_KEY, SECURE_ANSWER, SECURE_REVEAL, SECURE_SIGN, SECURE_TASKS, require_answer
from fedbrats.jobs.secure import PADS
from fedbrats.jobs.settings import check_values
from fedbrats.privacy.secure.keys import ProtocolError, read_identity, read_servers
from fedbrats.privacy.secure.site import PaddedSite
from fedbrats.revoked import revoked_since
from fedbrats.site.padded_rounds import note_padded
from fedbrats.site.site_file import SiteFacts

PADDING = "padding"  # the component's id in a job


class Padding(FLComponent):
    """The update that this site has offered, and its side of the protocol.

    Args:
        secure, sites: the variables `secure` and `secure_sites` of the job.
    """

    def __init__(self, secure: str = "none", sites: Sequence[str] | None = None) -> None:
        super().__init__()
        check_values({"secure": secure, "secure_sites": sites})
        self._pads, self._names = secure == PADS, tuple(sites or ())
        self._site: PaddedSite | None = None
        self._offered: tuple[int, NDArray[np.floating]] | None = None

    def offer(self, update: Mapping[str, np.ndarray], round_number: int, fl_ctx: FLContext) -> OfferedUpdate:
        """Keep an update; returns what the server may know of it. Raises: FedbratsError where this site cannot pad."""
        site = self._open(fl_ctx)
        flat = np.concatenate([np.ravel(update[name]) for name in sorted(update)])
        length = float(np.linalg.norm(flat.astype(np.float64)))
        self._offered = round_number, flat
        return OfferedUpdate(sketch(update), length, site.announce())

    def answer(self, task: str, data: Mapping[str, Any], folder: Path, fl_ctx: FLContext) -> dict[str, Any]:
        """The answer to a task of a padded round.

        Args:
            folder: of the job at this site, for the record of what was padded.

        Raises: ProtocolError for what this site must not answer; DataError, OSError where the record cannot be kept.
        """
        site = self._open(fl_ctx)
        if task == SECURE_ANSWER:
            return self._pad(site, data, folder)
        number, attempt = messages.whole(data, "round"), messages.whole(data, "attempt")
        if task == SECURE_SIGN:
            return {"signature": site.sign(number, attempt, messages.names_of(data, "members"))}
        if task == SECURE_REVEAL:
            return messages.write_reveal(site.reveal(number, attempt, messages.signatures_of(data)))
        raise ProtocolError(f"{task} is no task of a padded round, which has {', '.join(SECURE_TASKS)}")

    def _pad(self, site: PaddedSite, data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        request, announcements = messages.read_request(data)
        if self._offered is None or self._offered[0] != request.round:
            raise ProtocolError(f"this site has no update of round {request.round} that was not padded yet")
        site.meet(announcements)
        note_padded(folder, request.round)
        (_, update), self._offered = self._offered, None
        return messages.write_padded(site.pad(request, update))

    def _open(self, fl_ctx: FLContext) -> PaddedSite:
        if not self._pads:
            raise ConfigurationError("the job has secure=none, and asks for an update under pads")
        if self._site is None:
            name = fl_ctx.get_identity_name()
            if name not in self._names:
                raise ConfigurationError(f"secure_sites of the job does not name {name}: it takes no part in sums")
            startup = Path(fl_ctx.get_engine().get_workspace().get_startup_kit_dir())
            identity, root = read_identity(startup, name)
            if servers := sorted(read_servers(startup) & set(self._names)):
                raise ConfigurationError(
                    f"secure_sites of the job names {servers[0]}, a server: it has no update to add"
                )
            revoked = partial(revoked_since, local_dir=local_folder(fl_ctx), root=root)
            self._site = PaddedSite(identity, root, fl_ctx.get_job_id(), self._names, revoked)
        return self._site


class Offer(Filter):
    """Keeps an update at the site and sends its sketch, length and key; does nothing for `none`.

    Stops a result that has an update and says more beside it, or that cannot be kept.

    Args:
        secure: the variable `secure` of the job.

    Attributes:
        covers: whether it does.
    """

    def __init__(self, secure: str = "none") -> None:
        super().__init__()
        check_values({"secure": secure})
        self.covers = secure == PADS

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Return the offer; raises UpdateError, which stops the result, in doubt."""
        if not self.covers or shareable.get_return_code() != ReturnCode.OK:
            return shareable
        dxo: DXO = require_answer(shareable)
        if dxo.data_kind != DataKind.WEIGHT_DIFF:
            raise UpdateError(f"nothing is sent: {dxo.data_kind} is no update that can be covered")
        if dxo.get_meta_prop(SAID_KEY):
            raise UpdateError("nothing is sent: pads do not cover what the job's method says beside the update")
        if not dxo.data:  # a personal round
            return shareable
        padding, number = padding_of(fl_ctx), shareable.get_header(AppConstants.CURRENT_ROUND)
        if not isinstance(number, int):
            raise UpdateError("nothing is sent: the result does not say its round")
        messages.write_offer(dxo, padding.offer(dxo.data, number, fl_ctx))
        return dxo.update_shareable(shareable)


def padding_of(fl_ctx: FLContext) -> Padding:
    """The job's component of that kind. Raises: UpdateError where it has none."""
    found = fl_ctx.get_engine().get_component(PADDING)
    if not isinstance(found, Padding):
        raise UpdateError("nothing is sent: the job asks for pads and has no component that makes them")
    return found


def refuse_open(facts: SiteFacts, task: str, fl_ctx: FLContext) -> None:
    """Raise UpdateError where a hospital demands pads and a job would send the update of a task without them.

    The job's last filter must be the one that keeps updates here: another one after it could send something else.
    """
    if not facts.require_pads:
        return
    runner = fl_ctx.get_prop(FLContextKey.RUNNER)
    table = getattr(runner, "task_result_filters", None) or {}
    filters = table.get(f"{task}{FilterKey.DELIMITER}{FilterKey.OUT}") or [None]
    if not (isinstance(filters[-1], Offer) and filters[-1].covers):
        raise UpdateError(
            f"site {fl_ctx.get_identity_name()} takes no part: this job would send its update without pads "
            f"(secure=none), and require_pads in its site file demands them"
        )
