"""Talk to a federation's server with a person's startup kit, over FLARE's API and mutual TLS."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedbrats.admin.kits import Kit, open_kit
from fedbrats.errors import FedbratsError
from fedbrats.flare.archives import judge_downloads
from fedbrats.flare.downloads import judge_replies

PATIENCE_S, RETRY_S = 300.0, 2.0
CONNECT_S = 10.0
SHUT_OUT = "is disabled"  # in FLARE's words for a name that `fedbrats revoke` shut out


def judge_server() -> None:
    """From now on this process, a person's, judges what a server sends before FLARE acts on it, in any session."""
    judge_downloads()
    judge_replies()


@contextlib.contextmanager
def admin_session(kit: Path, timeout_s: float = 30.0) -> Iterator[Any]:
    """Open a FLARE API session as the person whom the kit's certificate names.

    It is always closed, for its threads keep a process alive (seen in FLARE 2.9.0).
    """
    from nvflare.fuel.flare_api.flare_api import new_secure_session

    judge_server()
    person = open_kit(kit)
    # FLARE 2.9.0 prints a traceback for a login that the server refuses, and raises the same.
    with quiet(), open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        session = new_secure_session(person.name, str(kit), timeout=timeout_s)
    try:
        yield session
    finally:
        with quiet():
            session.close()


@contextlib.contextmanager
def person_session(kit: Path, timeout_s: float = 30.0) -> Iterator[Any]:
    """As `admin_session`; what FLARE refuses becomes a sentence.

    Raises: FedbratsError where the kit is no person's, the server does not answer, or it refuses.
    """
    from nvflare.apis.fl_exception import FLCommunicationError
    from nvflare.fuel.flare_api.api_spec import AuthenticationError, AuthorizationError, JobNotFound, NoConnection

    person = open_kit(kit)
    if person.kind != "admin":
        raise FedbratsError(f"{kit} is the kit of the {person.kind} {person.name}; this needs the kit of a person")
    _reach(person)
    try:
        with admin_session(kit, timeout_s) as session:
            yield session
    except AuthorizationError as error:
        raise FedbratsError(f"the server refused this to {person.name} ({person.role}): {error}") from error
    except FLCommunicationError as error:
        said = f"{error} {error.__context__} {error.__cause__}"
        if SHUT_OUT in said:
            raise _shut_out(person) from error
        raise FedbratsError(
            f"{person.name} could not log in at {person.server}: it refuses the kit: {error}; ask the project admin"
        ) from error
    except (AuthenticationError, NoConnection) as error:
        if SHUT_OUT in str(error):  # of a session that was open
            raise _shut_out(person) from error
        raise FedbratsError(
            f"{person.name} could not log in at {person.server}: {error}; `fedbrats doctor {kit}` says what is wrong"
        ) from error
    except JobNotFound as error:
        raise FedbratsError(f"the server knows no such job: {error}") from error


def _reach(person: Kit) -> None:
    """Raise FedbratsError where nothing listens at the server's address: FLARE takes half a minute to say less."""
    host, _, port = person.server.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise FedbratsError(
            f"the server {person.server} cannot be reached: {error}; it is down, or a firewall is between: "
            f"`fedbrats doctor {person.folder}` says more"
        ) from None


def _shut_out(person: Kit) -> FedbratsError:
    return FedbratsError(
        f"{person.name} could not log in at {person.server}, or go on: the server shuts out this name "
        f"(`fedbrats revoke`); ask the project admin"
    )


def job_status(session: Any, job_id: str, patience_s: float = PATIENCE_S) -> str:
    """The status of a job; a server that does not answer for a while is asked again.

    Raises: FedbratsError where it does not answer for as long as `patience_s`; the job may well go on without us.
    """
    from nvflare.fuel.flare_api.api_spec import NoConnection

    deadline = time.monotonic() + patience_s
    while True:
        try:
            return str(session.get_job_meta(job_id).get("status", ""))
        except NoConnection as error:
            if time.monotonic() > deadline:
                raise FedbratsError(
                    f"the server has not answered for {patience_s:.0f} s, so nothing is known of job {job_id}: {error}"
                ) from error
        time.sleep(RETRY_S)


def pause_between_questions(waited_s: float, shortest_s: float) -> float:
    """Seconds until a server is asked again about a job: a hundredth of the wait so far, half a minute at the most.

    The server writes every question into its audit trail, which nobody may throw away: weeks must not fill it.
    """
    return min(30.0, max(shortest_s, waited_s / 100))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep FLARE's prints off standard output, which belongs to --json."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
