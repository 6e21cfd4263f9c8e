"""The live page: what it says, that it changes nothing, and that a hostile name does nothing in a real browser."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate import page_server
from fedbrats.admin.operate.overview import Overview
from fedbrats.admin.operate.page_server import LOOPBACK, MOST_VISITORS, PageServer, is_revoked_in, tls_of
from fedbrats.admin.operate.watching import page_of_consortium, page_of_machine
from tests.end_to_end.consortium import LEAD, NORTH
from tests.report.page.test_page import BROWSERS, HEADLESS
from tests.security.attacks import attack

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
JOB = "18f294b6-815c-47c5-b35f-0d74ab09547e"
MB = {"down": 2e6, "up": 1e6}
ROWS = [
    {"kind": "job", "job_id": JOB, "version": "1", "at": 0.0},
    {"kind": "site", "round": 0, "site": HOSTILE, "accepted": True, "answered_s": 3.25, "bytes": MB},
    {"kind": "metrics", "round": 0, "site": HOSTILE, "stage": "received", "region": "mean", "dice": 0.512, "cases": 4},
    {"kind": "weight", "round": 0, "site": HOSTILE, "weight": 0.625},
    {"kind": "refusal", "round": 0, "site": "hospital-east", "reason": "not_finite", "message": "no"},
    {"kind": "round", "round": 0, "answered": 1, "silent": ["hospital-south"], "seconds": 4.5, "ended_at": 0.0},
]  # fmt: skip


@pytest.fixture
def working(server_kit):
    """A server whose job has finished a round with a site of a hostile name."""
    rows = server_kit / JOB / "fedbrats" / "rows.jsonl"
    rows.parent.mkdir(parents=True)
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return server_kit


@pytest.fixture
def serve():
    """A function that serves a page until the test ends; returns the server."""
    servers = []

    def begin(page, **how):
        server = PageServer(LOOPBACK, 0, **how)
        server.page = page
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server, method="GET", path=None, host=None):
    path = server.path if path is None else path
    connection = http.client.HTTPConnection(LOOPBACK, server.server_port, timeout=60)
    headers = {} if host is None else {"Host": host}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer, content


def test_a_servers_page_says_how_its_job_is(working):
    page = page_of_machine(open_kit(working))
    for said in (JOB, "0.512", "0.625", "4.5 s", "3.2 s", "hospital-south", "hospital-east", "certificate_days", "2.0"):
        assert said in page, said
    assert "<script" not in page
    assert "<img" not in page


def test_a_servers_page_says_who_does_not_run_a_job_and_why(working):
    whys = {JOB: {"hospital-south": f"its list has {HOSTILE}"}, "other": {"hospital-west": "its budget"}, "d": 5}
    (working / "sites.json").write_text(json.dumps({"objections": whys}))
    page = page_of_machine(open_kit(working))
    for said in ("0.512", "hospital-south", "its list has", "Job other", "hospital-west", "its budget"):
        assert said in page, said
    assert "<script" not in page
    os.utime(working / "sites.json", (0, 0))  # as a server leaves it that has ended
    assert "its list has" not in page_of_machine(open_kit(working))


def test_a_site_sees_its_own_numbers_alone(site_kit):
    page = page_of_machine(open_kit(site_kit))
    assert NORTH in page
    assert "it does not run" in page
    assert "hospital-east" not in page


def test_a_persons_page_says_who_is_there(kits):
    site = {"name": HOSTILE, "state": "connected", "seen_s": 3.0, "machines": [], "flare": "2.9.0", "fedbrats": "0.1.0"}
    standing = {
        "rounds_done": 2,
        "dice": 0.75,
        "refusals": {HOSTILE: 2},
        "answered": ["a"],
        "silent": [],
        "trouble": "",
        "objections": {"hospital-west": f"its budget {HOSTILE}"},
    }
    job = {"job_id": JOB, "job_name": "fedavg", "status": "RUNNING", "round": "2/5", "standing": standing}
    page = page_of_consortium(open_kit(kits / LEAD), Overview({}, [HOSTILE], [site], [job]))
    for said in ("1 of 1 sites are connected", "3 s ago", "0.750", "2/5", "fedavg runs", "hospital-west", "its budget"):
        assert said in page, said
    assert "<script" not in page


def test_no_request_changes_anything_and_no_other_host_is_answered(serve):
    server = serve("<style>p{}</style>hello")
    answer, content = ask(server)
    assert (answer.status, content) == (200, "<style>p{}</style>hello")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert ask(server, "HEAD")[1] == ""
    assert ask(server, host=f"localhost:{server.server_port}")[0].status == 200
    for host in ("evil.example", f"evil.example:{server.server_port}", "", LOOPBACK + ".evil.example"):
        assert ask(server, host=host)[0].status == 421, host
    for path in ("/", "/x", "/../etc/passwd", f"{server.path}?x=1", f"{server.path}/"):
        assert ask(server, path=path)[0].status == 404, path
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(server, method)[0].status == 501, method
    assert server.page == "<style>p{}</style>hello"


@attack(
    "read the page of somebody's `fedbrats watch`, or keep its owner out by connections that say nothing",
    who="any user of the machine",
    happens="its address has a secret part; 32 connections at once, of a minute at most",
)
def test_the_page_is_for_who_knows_its_address_and_nobody_keeps_its_places(serve, monkeypatch):
    monkeypatch.setattr(page_server, "LONGEST_S", 0.2)
    server, other = serve("hello"), serve("hello")
    assert len(server.path) > 20
    assert server.path != other.path
    assert ask(server, path="/")[0].status == 404
    slow = [socket.create_connection((LOOPBACK, server.server_port), timeout=60) for _ in range(MOST_VISITORS + 8)]
    for visitor in slow:
        assert visitor.recv(1) == b"", "hung up, sooner or later"
        visitor.close()
    monkeypatch.setattr(page_server, "LONGEST_S", 60.0)
    for _ in range(1000):  # until the threads have ended
        with contextlib.suppress(OSError, http.client.HTTPException):
            assert ask(server)[1] == "hello"
            return
        time.sleep(0.05)
    raise AssertionError("no place came back")


def test_with_tls_only_who_has_a_certificate_of_the_consortium_sees_it(kits, serve):
    kit = open_kit(kits / NORTH)
    revoked = []
    server = serve("hello", hosts=[kit.name], tls=tls_of(kit), is_revoked=lambda given: bool(revoked) or not given)
    mine = ssl.create_default_context(cafile=str(kit.startup_dir / "rootCA.pem"))
    mine.check_hostname = False

    def asked():
        connection = http.client.HTTPSConnection(LOOPBACK, server.server_port, context=mine, timeout=60)
        connection.request("GET", "/")
        return connection.getresponse().read()

    with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
        asked()
    person = kits / LEAD / "startup"
    mine.load_cert_chain(person / "client.crt", person / "client.key")
    assert asked() == b"hello"
    revoked.append("hers")
    assert b"this certificate was revoked" in asked()


def test_a_list_that_cannot_be_read_revokes_everybody(site_kit):
    kit = open_kit(site_kit)
    own = kit.certificate.public_bytes(Encoding.DER)
    assert not is_revoked_in(kit)(own)
    (kit.local_dir / "revoked.crl").write_text("no list")
    assert is_revoked_in(kit)(own)
    assert is_revoked_in(kit)(b"")


@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_it_and_a_hostile_name_does_nothing(working, serve, tmp_path, width):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser found; install one of {', '.join(BROWSERS)} to look at the page")
    server = serve(page_of_machine(open_kit(working)))
    start = [browser, *HEADLESS, "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    url = f"http://{LOOPBACK}:{server.server_port}{server.path}"
    words = [*start, f"--window-size={width},2000", "--dump-dom", url]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=600, check=True)
    assert re.search(r"<title>fedbrats: server ", shown.stdout), "its title was taken"
    assert "0.625" in shown.stdout
    assert "CONSOLE" not in shown.stderr, "the style sheet was refused, or something was run"
