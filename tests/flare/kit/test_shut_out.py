"""A person whom the server shuts out is refused every command, also in a session that was open before."""

from types import SimpleNamespace

import pytest
from nvflare.fuel.f3.message import Message
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import InternalCommands
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.hci.server.login import LoginModule
from nvflare.fuel.hci.server.sess import SessionManager
from nvflare.private.fed.server.client_manager import ClientManager
from nvflare.private.fed.server.server_engine import ServerEngine
from nvflare.private.fed.utils.identity_utils import IdentityAsserter

from fedbrats.flare.process.shut_out import judge_every_command
from tests.end_to_end.consortium import SERVER
from tests.security.attacks import attack

LEAD, OTHER = "lead@university.example", "statistician@university.example"


@pytest.fixture
def server(kits):
    """FLARE's own login filter, sessions and list of disabled names, without a network."""
    startup = kits / SERVER / "startup"
    asserter = IdentityAsserter(str(startup / "server.key"), str(startup / "server.crt"))  # it signs sessions' tokens
    judge_every_command()
    judge_every_command()  # a process may build several of them
    sessions, manager = SessionManager(cell=None), ClientManager()
    engine = SimpleNamespace(
        server=SimpleNamespace(client_manager=manager, admin_server=SimpleNamespace(sess_mgr=sessions))
    )
    login = LoginModule(sessions)

    def ask(token, *command):
        conn = Connection(props={ConnProps.ENGINE: engine, ConnProps.REQUEST: Message({}, "")})
        conn.set_prop(ConnProps.HCI_SERVER, SimpleNamespace(get_id_asserter=lambda: asserter))
        conn.request = {"data": [{"type": "token", "data": token}]}
        return login.pre_command(conn, list(command)), str(conn.close())

    def open_session(name):
        return sessions.create_session(name, "university", "lead", "console").make_token(asserter)

    yield SimpleNamespace(ask=ask, open=open_session, manager=manager, sessions=sessions, engine=engine)
    sessions.shutdown()


@attack(
    "go on in a session that was open when the server's operator shut one out",
    who="a person who was revoked, or the thief of their kit",
    happens="the next command is refused, and a download that runs ends",
    says="refused: a person is shut out; ",
)
def test_a_session_that_was_open_is_refused_its_next_command(server, caplog):
    lead, other = server.open(LEAD), server.open(OTHER)
    assert server.ask(lead, "get_job_meta", "a")[0]
    server.manager.disable_client(LEAD)
    for _ in range(2):  # FLARE makes a session anew of a token that is sent again
        passed, said = server.ask(lead, "get_job_meta", "a")
        assert not passed
        assert f"Client '{LEAD}' is disabled" in said
        assert "not_authenticated" in said
        assert [session.user_name for session in server.sessions.get_sessions()] == [OTHER]
    assert server.ask(other, "get_job_meta", "a")[0]
    assert f"refused: a person is shut out; person={LEAD} command=get_job_meta" in caplog.text
    server.manager.enable_client(LEAD)
    assert server.ask(lead, "get_job_meta", "a")[0]


def test_a_login_over_a_connection_that_is_open_is_refused(server):
    assert server.ask("", InternalCommands.CERT_LOGIN, LEAD)[0]
    server.manager.disable_client(LEAD)
    passed, said = server.ask("", InternalCommands.CERT_LOGIN, LEAD)
    assert (passed, "REJECT" in said) == (False, True)


def test_a_session_that_asks_for_nothing_ends_with_its_download(server):
    server.open(LEAD)
    session, cancelled = server.sessions.get_sessions()[0], []
    server.sessions.bind_download(session.sess_id, "transaction", lambda: cancelled.append(True))
    ServerEngine.disable_clients(server.engine, [OTHER])
    assert server.sessions.get_sessions() == [session]
    ServerEngine.disable_clients(server.engine, [LEAD])
    assert (server.sessions.get_sessions(), cancelled) == ([], [True])
