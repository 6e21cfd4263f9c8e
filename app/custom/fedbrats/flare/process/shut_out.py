"""A person whom the server shuts out (`fedbrats revoke`) may do nothing more, also in a session that was open before.

FLARE 2.9.0 asks its list of disabled names when somebody logs in, and never again: `fedbrats job follow`, say, was
answered until it ended by itself.
"""

from __future__ import annotations

import logging
from typing import Any

from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import InternalCommands, MetaStatusValue, make_meta
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.hci.server.login import LoginModule
from nvflare.fuel.sec.audit import AuditService
from nvflare.private.fed.server.server_engine import ServerEngine

from fedbrats.outside import show

logger = logging.getLogger(__name__)


def judge_every_command() -> None:
    """Have this process, a server's, hold the name behind every command against the list as it is now.

    Who comes onto the list loses the sessions that are open, with the downloads that run in them.
    """
    if getattr(LoginModule.pre_command, "whole", False):
        return
    pre_command, disable_clients = LoginModule.pre_command, ServerEngine.disable_clients

    def pre_command_and_judge(self: LoginModule, conn: Connection, args: list[str]) -> bool:
        engine = conn.get_prop(ConnProps.ENGINE)
        if not pre_command(self, conn, args):
            return False
        logs_in = args[0] == InternalCommands.CERT_LOGIN
        name = "".join(args[1:2]) if logs_in else conn.get_prop(ConnProps.USER_NAME)
        if not engine.server.client_manager.is_client_disabled(name):
            return True
        why = f"Client '{show(name)}' is disabled"  # FLARE's words, by which `fedbrats` knows the reason
        if logs_in:
            conn.append_string(f"REJECT: {why}")
        else:
            conn.append_error(why, meta=make_meta(MetaStatusValue.NOT_AUTHENTICATED, why))
        logger.warning(f"refused: a person is shut out; person={show(name)} command={show(args[0])}")
        AuditService.add_event(user=show(name), action="refused", msg=f"{show(args[0])}: shut out")
        end_sessions(engine)
        return False

    pre_command_and_judge.whole = True  # type: ignore[attr-defined]
    LoginModule.pre_command = pre_command_and_judge

    def disable_and_end_sessions(self: ServerEngine, client_names: list[str]) -> Any:
        try:
            return disable_clients(self, client_names)
        finally:  # of several names some may have come onto the list
            end_sessions(self)

    ServerEngine.disable_clients = disable_and_end_sessions


def end_sessions(engine: Any) -> None:
    """End the sessions of those who are shut out, with the downloads that run in them."""
    sessions = engine.server.admin_server.sess_mgr
    for session in sessions.get_sessions():
        if engine.server.client_manager.is_client_disabled(session.user_name):
            sessions.end_session_by_id(session.sess_id)
            logger.warning(f"the session of a person who is shut out was ended; person={show(session.user_name)}")
