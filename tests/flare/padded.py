"""Sites that pad, beside the server of `tests.flare.server`: real component and filter, in kits with certificates."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from nvflare.apis.shareable import ReturnCode, Shareable, make_reply
from nvflare.app_common.app_constant import AppConstants

from fedbrats.errors import FedbratsError
from fedbrats.flare import padded_messages as messages
from fedbrats.flare.site.padding import Offer, Padding
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.privacy.secure.keys import CERTIFICATE, KEY, ROOT, SITE_STARTUP
from fedbrats.site.padded_rounds import times_padded
from tests.flare.conftest import Room
from tests.flare.server import Server, answer, gated, train
from tests.privacy.secure.consortium import Consortium

SERVER_NAME = "fl.brain-consortium.example"
NAMES = tuple(f"site-{number}" for number in range(1, 6))
Hand = Callable[["PaddedJob", str, str, Shareable], Shareable | None]  # what a site does in the place of its answer
Train = Callable[[str, int, dict[str, np.ndarray]], dict[str, np.ndarray]]


class Kits:
    """The kits of a consortium's sites."""

    def __init__(self):
        self._consortium = Consortium()
        self._identities = {name: self._consortium.identity(name) for name in NAMES}

    def write(self, startup: Path, name: str) -> None:
        own = self._identities[name]
        (startup / CERTIFICATE).write_bytes(own.certificate)
        key = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (startup / KEY).write_bytes(key)
        (startup / SITE_STARTUP).write_text(json.dumps({"servers": [{"identity": SERVER_NAME}]}))
        (startup / ROOT).write_bytes(self._consortium.root.public_bytes(Encoding.PEM))


class PaddedJob:
    """A job with pads: a server, and sites that offer and pad unless a hand says otherwise.

    Attributes:
        updates: what each site trained, by (site, round, times padded before).
        wire: every byte that reached the server, by site.
    """

    def __init__(
        self,
        root: Path,
        kits: Kits,
        *,
        hands: dict[str, Hand] | None = None,
        method: Any = WeightedFedAvg,
        rounds: int = 1,
        job_id: str = "job-1",
        sites: Path | None = None,
    ):
        self.hands, self.updates, self.wire = hands or {}, {}, {name: [] for name in NAMES}
        self.trained: Train = lambda site, number, weights: train(site, number, weights)[0]
        self.rooms, self.offer, self.gone = {}, Offer("pads"), set()
        for name in NAMES:
            room = Room((sites or root) / name, identity=name, job_id=job_id)
            kits.write(room.root / "startup", name)
            room.components["padding"] = Padding("pads", list(NAMES))
            self.rooms[name] = room
        aggregator = gated(method, secure="pads")
        pads = {"secure": "pads", "secure_sites": list(NAMES)}
        self.server = Server(
            root / "server", job_id, NAMES, aggregator=aggregator, rounds=rounds, behaviour=self.train, **pads
        )
        self.server.others = self.answer
        disconnected = self.server.controller.get_client_disconnect_time
        self.server.controller.get_client_disconnect_time = lambda name: (
            1.0 if name in self.gone else disconnected(name)
        )

    def folder(self, name: str) -> Path:
        return self.rooms[name].root / "personal"

    def train(self, server, name, number, weights):
        times = times_padded([self.folder(name)], number)
        update = self.updates[name, number, times] = self.trained(name, number + 1000 * times, weights)
        reply = answer(update, 0.5, number)
        reply.set_header(AppConstants.CURRENT_ROUND, number)
        reply.set_return_code(ReturnCode.OK)
        if hand := self.hands.get(name):
            found = hand(self, name, "train", reply)
            if found is not reply:
                return found
        with self.rooms[name].new_context() as fl_ctx:
            return self.sent(name, self.offer.process(reply, fl_ctx))

    def answer(self, server, name, task, data):
        if hand := self.hands.get(name):
            found = hand(self, name, task, data)
            if found is not data:
                return found
        return self.sent(name, self.honest(name, task, data))

    def honest(self, name: str, task: str, data: Shareable) -> Shareable:
        """What the executor does with the task."""
        with self.rooms[name].new_context() as fl_ctx:
            try:
                padding = self.rooms[name].components["padding"]
                reply = messages.write(padding.answer(task, messages.read(data), self.folder(name), fl_ctx))
                reply.set_return_code(ReturnCode.OK)
                return reply
            except FedbratsError:
                return make_reply(ReturnCode.EXECUTION_EXCEPTION)

    def sent(self, name: str, reply: Shareable) -> Shareable:
        self.wire[name].append(pickle.dumps(reply))  # only to look through every byte of it
        return reply

    def die(self, name: str) -> None:
        """The site is gone, and the server sees it."""
        self.gone.add(name)

    def run(self) -> PaddedJob:
        self.server.run()
        return self
