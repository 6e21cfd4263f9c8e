"""A server that knows which process of a site connects, so that two of one kit which take turns are found.

FLARE 2.9.0 keeps one connection of a site and closes the older of two (`SfmEndpoint.add_connection`). A site's process
says a name with its handshake, drawn when it starts; one that says none, of another version, goes by its address.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time

from nvflare.fuel.f3.drivers.driver_params import DriverParams
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.sfm.sfm_conn import SfmConnection
from nvflare.fuel.f3.sfm.sfm_endpoint import SfmEndpoint
from nvflare.fuel.utils.admin_name_utils import is_valid_admin_client_name

from fedbrats.flare.process.two_machines import TwoMachines
from fedbrats.outside import show

PROCESS = "fedbrats_process"  # a property of the handshake


def name_this_process() -> None:
    """Have this process, a site's, say a name of its own whenever it connects."""
    send_handshake, name = SfmConnection.send_handshake, secrets.token_hex(8)

    def send_with_name(self: SfmConnection, frame_type: int) -> None:
        self.local_endpoint.set_prop(PROCESS, name)
        send_handshake(self, frame_type)

    SfmConnection.send_handshake = send_with_name


def note_connections(machines: TwoMachines) -> None:
    """Have this process, a server's, note every connection of a site. The certificate has proved its name before."""
    add_connection = SfmEndpoint.add_connection

    def add_and_note(self: SfmEndpoint, sfm_conn: SfmConnection) -> None:
        add_connection(self, sfm_conn)
        with contextlib.suppress(Exception):  # a connection matters more than what is noted of it
            note(self.endpoint, machines, time.monotonic())

    SfmEndpoint.add_connection = add_and_note


def note(endpoint: Endpoint, machines: TwoMachines, now: float) -> None:
    """Note who has connected, unless it is a job's process or a person."""
    if "." in endpoint.name or is_valid_admin_client_name(endpoint.name):
        return
    address = host_of(str(endpoint.conn_props.get(DriverParams.PEER_ADDR.value, "")))
    machines.connect(endpoint.name, show(endpoint.get_prop(PROCESS) or address, 40), address, now)


def host_of(address: str) -> str:
    """`10.0.0.1` of `10.0.0.1:4711` or of `ipv4:10.0.0.1:4711`, as FLARE's drivers say it."""
    return show(re.sub(r"^ipv[46]:|:\d+$", "", address), 60)
