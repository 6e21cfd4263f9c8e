"""Production on loopback: one server and five hospitals, each from its own kit's start.sh, over mutual TLS.

One federation serves all tests of this file. What must be refused is refused by real processes, and the evidence is
read from the logs of both sides.
"""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from fedbrats.data.phantom_cohort import CohortSettings, write_cohort
from fedbrats.data.sites import new_sites_folder, write_record
from fedbrats.flare.processes import find_processes, stop
from fedbrats.flare.remote import submit, wait_for_end
from fedbrats.flare.sessions import admin_session
from fedbrats.model.network import SegmentationNetwork
from tests.end_to_end.consortium import (
    ADMIN,
    HOSPITAL_IT,
    LEAD,
    MEMBER,
    QUICK,
    SERVER,
    Consortium,
    console,
    start_kit,
    wait_for,
)
from tests.end_to_end.intruders import copy_kit_as, edit_startup, expire, sign_nothing, sign_then_alter
from tests.end_to_end.own_key import make_own_key_kit

pytestmark = pytest.mark.end_to_end
FEDBRATS = str(Path(sys.executable).parent / "fedbrats")
PERSONAL = SegmentationNetwork(QUICK["network"]).personal_names("head")
SETTINGS = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
NORTH, SOUTH, EAST, WEST, CENTRAL = (
    "hospital-north",
    "hospital-south",
    "hospital-east",
    "hospital-west",
    "hospital-central",
)


def fedbrats(*words, cwd, check=True):
    done = subprocess.run([FEDBRATS, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300)
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def consortium(tmp_path_factory):
    folder = tmp_path_factory.mktemp("consortium")
    with new_sites_folder(folder / "sites") as temporary:
        sites = list(write_cohort(temporary, CohortSettings(sites=5, cases=3, spacing_mm=4.0)))
        write_record(temporary, sites, {"made_by": "phantom"})
    federation = Consortium(folder, folder / "sites")
    try:
        federation.start()
        federation.wait_until_connected()
        yield federation
    finally:
        federation.stop()
        assert find_processes(folder) == []


@pytest.fixture(scope="module")
def fedavg(consortium):
    """The id of a finished fedavg, submitted by the lead from the command line while a fedper runs beside it."""
    with admin_session(consortium.kit(LEAD)) as session:
        fedper = submit(session, consortium.job("fedper", num_rounds=1))
        words = ("submit", "fedavg", "--kit", consortium.kit(LEAD), *SETTINGS, "--wait", "--json")
        document = json.loads(fedbrats(*words, cwd=consortium.folder).stdout)
        assert document["status"] == "FINISHED:COMPLETED"
        assert wait_for_end(session, fedper) == "FINISHED:COMPLETED"
    return document["job_id"]


def test_the_lead_fetches_the_result_and_its_provenance(consortium, fedavg):
    done = fedbrats("fetch", fedavg, "--kit", consortium.kit(LEAD), "--json", cwd=consortium.folder)
    document = json.loads(done.stdout)
    assert sorted(document["per_site"]) == sorted(consortium.sites)
    assert document["rounds"] == QUICK["num_rounds"]
    results = consortium.folder / document["results"]
    assert (results / "global_model.pt").is_file()
    provenance = json.loads((results / "provenance.json").read_text())
    assert (provenance["submitter_name"], provenance["submitter_role"]) == (LEAD, "lead")
    assert len(provenance["job_sha256"]) == 64
    cases = [item["case"] for path in consortium.folder.glob("sites/*/datalist.json") for item in _items(path)]
    for path in (results / "server").rglob("*"):
        assert not path.is_file() or not [case for case in cases if case.encode() in path.read_bytes()], path


def test_the_member_sees_the_job_and_is_refused_its_result(consortium, fedavg):
    shown = json.loads(fedbrats("status", "--kit", consortium.kit(MEMBER), "--json", cwd=consortium.folder).stdout)
    assert set(shown["sites"]) == set(consortium.sites)
    assert fedavg in [job["job_id"] for job in shown["jobs"]]
    refused = fedbrats("fetch", fedavg, "--kit", consortium.kit(MEMBER), cwd=consortium.folder, check=False)
    assert refused.returncode == 1
    assert f"refused this to {MEMBER} (member)" in refused.stderr


@pytest.mark.parametrize("person", [MEMBER, HOSPITAL_IT])
def test_who_may_not_submit_is_refused(consortium, person):
    refused = fedbrats("submit", "fedavg", "--kit", consortium.kit(person), cwd=consortium.folder, check=False)
    assert refused.returncode == 1
    assert "refused" in refused.stderr
    assert "not authorized" in refused.stderr.lower()


@pytest.fixture(scope="module")
def refused_jobs(consortium):
    """Jobs that a site or the server must stop, side by side, each at another site: name -> (job id, status)."""
    jobs = {
        "class": _change(consortium.job(sites=[NORTH]), "client", _other_executor),
        "site path": _change(consortium.job(sites=[SOUTH]), "client", _path_at_site),
        "server path": _change(consortium.job(sites=[EAST]), "server", _path_at_server),
        "scope": _in_scope(consortium.job(sites=[WEST]), "wide-open"),
    }
    return _submit(consortium, jobs)


@pytest.mark.parametrize(
    ("name", "participant", "evidence"),
    [
        ("class", NORTH, "'nvflare.app_common.np.np_trainer.NPTrainer' at config path"),
        ("site path", SOUTH, "fedbrats.flare.filters.KeepShared, network does"),
        ("server path", SERVER, "PTFileModelPersistor, source_ckpt_file_full_name does"),
        ("scope", SERVER, "privacy scope 'wide-open' is not allowed"),
    ],
)
def test_a_job_against_the_policy_is_stopped_where_it_would_run(consortium, refused_jobs, name, participant, evidence):
    job_id, status = refused_jobs[name]
    assert status != "FINISHED:COMPLETED"
    assert evidence in _job_log(consortium, participant, job_id)


def test_a_job_with_code_is_refused(consortium):
    words = ("job", "build", "fedavg", "--with-code", "--out", "with-code")
    built = fedbrats(*words, cwd=consortium.folder).stdout.strip()
    words = ("submit", built, "--kit", consortium.kit(ADMIN), "--wait", "--json")
    refused = fedbrats(*words, cwd=consortium.folder, check=False)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["status"] == "FINISHED:FAILED_TO_RUN"
    assert "BYOC not permitted" in consortium.log(SERVER)


def test_an_unsigned_job_is_refused(consortium, monkeypatch):
    sign_nothing(monkeypatch)
    status = _run(consortium, consortium.job(sites=[NORTH]))
    assert status != "FINISHED:COMPLETED"
    assert "unsigned job rejected" in consortium.log(SERVER)


def test_a_job_altered_after_it_was_signed_is_refused(consortium, monkeypatch):
    sign_then_alter(monkeypatch)
    status = _run(consortium, consortium.job(sites=[NORTH]))
    assert status != "FINISHED:COMPLETED"
    assert "does not pass signature verification" in consortium.log(SERVER)


@pytest.fixture(scope="module")
def ruled_jobs(consortium):
    """Jobs, side by side, at hospitals whose own rules they meet: name -> (job id, status)."""
    clip = {"path": "nvflare.app_common.filters.percentile_privacy.PercentilePrivacy", "args": {"gamma": 1e-9}}
    keep = {"path": "fedbrats.flare.site_gate.SiteGate", "args": {"keep": [PERSONAL[0]]}}
    jobs = {
        "clipped": consortium.job(sites=[CENTRAL], num_rounds=1),
        "unfiltered": _change(consortium.job("fedper", sites=[WEST], num_rounds=1), "client", _without_filters),
        "kept": consortium.job(sites=[SOUTH], num_rounds=1),
    }
    with _extra_filter(consortium.kit(CENTRAL), clip), _extra_filter(consortium.kit(SOUTH), keep):
        return _submit(consortium, jobs)


def test_a_hospitals_filter_wins_over_the_job(consortium, ruled_jobs):
    """The job asks for no filter; the hospital lets through one billionth of every weight's change."""
    changes = _fetch_changes(consortium, *ruled_jobs["clipped"])
    assert 0 < max(changes.values()) < 1e-7


def test_personal_weights_that_a_job_asks_for_do_not_leave(consortium, ruled_jobs):
    """FedPer without its filter: the site's gate takes the personal weights out all the same."""
    changes = _fetch_changes(consortium, *ruled_jobs["unfiltered"])
    assert {name for name, change in changes.items() if change == 0} >= set(PERSONAL)
    assert max(changes.values()) > 0


def test_a_hospital_that_keeps_weights_gives_nothing_to_a_job_that_asks_for_them(consortium, ruled_jobs):
    job_id, status = ruled_jobs["kept"]
    assert status != "FINISHED:COMPLETED"
    assert f"this hospital keeps {PERSONAL[0]}" in _job_log(consortium, SOUTH, job_id)


class TestIntruders:
    """Kits that are not what they say: each is started as it would be, and never becomes a site."""

    @pytest.fixture(scope="class")
    def intruders(self, consortium, tmp_path_factory):
        """Every intruder at once, for each needs some seconds to fail: name -> kit."""
        folder = tmp_path_factory.mktemp("intruders")
        kits = {
            "other root": _kit_of_another_root(consortium, folder),
            "other name": copy_kit_as(consortium.kit(CENTRAL), folder / "renamed", "hospital-elsewhere"),
            "expired": expire(consortium, CENTRAL, folder / "expired"),
            "altered": edit_startup(consortium.kit(CENTRAL), folder / "altered", connection_security="clear"),
            "plain": edit_startup(
                consortium.kit(CENTRAL), folder / "plain", unsigned=True, connection_security="clear"
            ),
        }
        before = _connected(consortium)
        try:
            for kit in kits.values():
                start_kit(kit)
            yield kits
            assert _connected(consortium) == before
        finally:
            stop(folder)

    @pytest.mark.parametrize(
        ("name", "who", "evidence"),
        [
            ("other root", "intruder", "CERTIFICATE_VERIFY_FAILED"),
            ("other name", "server", "authenticated as 'hospital-central' but claimed endpoint 'hospital-elsewhere'"),
            ("altered", "intruder", "not secure content"),
            ("plain", "server", "WRONG_VERSION_NUMBER"),
        ],
    )
    def test_is_refused(self, consortium, intruders, name, who, evidence):
        kit = consortium.kit(SERVER) if who == "server" else intruders[name]
        wait_for(lambda: evidence in console(kit), timeout_s=60)

    def test_an_expired_certificate_is_refused_and_the_doctor_says_so(self, consortium, intruders):
        """FLARE 2.9.0's own client gives up on it without a word in its log."""
        done = fedbrats("doctor", intruders["expired"], "--json", cwd=consortium.folder, check=False)
        found = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
        assert found["expiry"]["state"] == found["server"]["state"] == "failed"
        assert "fedbrats provision renew hospital-central" in found["expiry"]["remedy"]
        wait_for(lambda: "certificate has expired" in console(consortium.kit(SERVER)), timeout_s=60)


def test_the_doctor_finds_every_kit_healthy(consortium):
    for name in (SERVER, *consortium.sites[:2], LEAD):
        done = fedbrats("doctor", consortium.kit(name), "--json", cwd=consortium.folder, check=False)
        document = json.loads(done.stdout)
        assert document["healthy"], [f for f in document["findings"] if f["state"] == "failed"]
        answers = [f for f in document["findings"] if f["check"] == "server"]
        assert name == SERVER or "both certificates accepted" in answers[0]["found"]


def test_a_hospital_with_a_key_of_its_own_joins(consortium, tmp_path):
    """Only the request travels: `nvflare cert request`, `approve`, `nvflare package`, as the runbook has it."""
    kit = make_own_key_kit(consortium, tmp_path)
    try:
        start_kit(kit)
        wait_for(lambda: "hospital-new" in _connected(consortium))
    finally:
        stop(tmp_path)


def test_the_server_speaks_to_nobody_without_a_certificate(consortium):
    with socket.create_connection(("localhost", consortium.port), timeout=5) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        plain.settimeout(5)
        assert plain.recv(1024) == b""


def test_the_console_from_login_to_shutdown(consortium):
    kit = consortium.kit(ADMIN)
    fedbrats("job", "build", "fedavg", "--out", kit / "transfer", *SETTINGS, "--set", "num_rounds=500", cwd=kit)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb"}
    terminal = pexpect.spawn(
        "bash", [str(kit / "startup" / "fl_admin.sh")], env=environment, timeout=60, encoding="utf-8",
        dimensions=(50, 220),
    )  # fmt: skip
    try:
        terminal.expect("User Name:")
        terminal.sendline(ADMIN)
        terminal.expect("> ")
        terminal.sendline("check_status server")
        terminal.expect(r"Registered clients: \d")
        terminal.sendline("submit_job fedavg")
        terminal.expect(r"[Ss]ubmitted job: ([0-9a-f-]{36})")
        job_id = terminal.match.group(1)
        _until(terminal, f"list_jobs {job_id}", "RUNNING")
        terminal.sendline(f"abort_job {job_id}")
        terminal.expect("Are you sure")
        terminal.sendline("y")
        _until(terminal, f"list_jobs {job_id}", "FINISHED:ABORTED")
        terminal.sendline(f"download_job {job_id}")
        terminal.expect("(?i)done|download")
        wait_for(lambda: list((kit / "transfer" / job_id).rglob("log.txt")), 30)
        terminal.sendline(f"shutdown client {CENTRAL}")
        terminal.expect("Confirm with User Name")
        terminal.sendline(ADMIN)
        terminal.expect("> ")
        terminal.sendline("bye")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)
    wait_for(lambda: not find_processes(consortium.kit(CENTRAL)), 60)
    assert CENTRAL not in _connected(consortium)


def _items(datalist):
    document = json.loads(datalist.read_text())
    return document["training"] + document["validation"] + document["test"]


def _change(job, side, change):
    path = job / "app" / "config" / f"config_fed_{side}.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return job


def _other_executor(document):
    document["executors"][0]["executor"] = {"path": "nvflare.app_common.np.np_trainer.NPTrainer", "args": {}}


def _path_at_site(document):
    document["task_result_filters"][0]["filters"][0]["args"]["network"] = "/etc/passwd"


def _path_at_server(document):
    persistor = next(entry for entry in document["components"] if entry["id"] == "persistor")
    persistor["args"]["source_ckpt_file_full_name"] = "model.pt"


def _without_filters(document):
    document["task_result_filters"] = []


def _in_scope(job, scope):
    meta = json.loads((job / "meta.json").read_text())
    (job / "meta.json").write_text(json.dumps({**meta, "scope": scope}))
    return job


def _submit(consortium, jobs):
    """Submit jobs as the lead and wait for all of them: name -> (job id, status)."""
    with admin_session(consortium.kit(LEAD)) as session:
        ids = {name: submit(session, job) for name, job in jobs.items()}
        return {name: (job_id, wait_for_end(session, job_id)) for name, job_id in ids.items()}


def _run(consortium, job):
    return _submit(consortium, {"job": job})["job"][1]


def _job_log(consortium, participant, job_id):
    """What a participant logged of a job: its own log, and that of the job's process."""
    path = consortium.kit(participant) / job_id / "log.txt"
    return consortium.log(participant) + (path.read_text(errors="replace") if path.exists() else "")


def _fetch_changes(consortium, job_id, status):
    """How far a finished job has moved each weight from where it began."""
    import torch

    assert status == "FINISHED:COMPLETED"
    fetched = fedbrats("fetch", job_id, "--kit", consortium.kit(LEAD), "--json", cwd=consortium.folder)
    results = consortium.folder / json.loads(fetched.stdout)["results"]
    initial = SegmentationNetwork(QUICK["network"]).state_dict()
    final = torch.load(results / "global_model.pt", weights_only=True)["model"]
    return {name: float((final[name] - initial[name]).abs().max()) for name in initial}


@contextmanager
def _extra_filter(kit, entry):
    """A hospital's privacy.json with one filter more, while the block runs."""
    path = kit / "local" / "privacy.json"
    before = path.read_text()
    document = json.loads(before)
    document["scopes"][0]["task_result_filters"].append(entry)
    path.write_text(json.dumps(document))
    try:
        yield
    finally:
        path.write_text(before)


def _kit_of_another_root(consortium, folder):
    from fedbrats.flare.provisioning import build_kits

    return build_kits(consortium.project, folder / "other-root") / CENTRAL


def _connected(consortium):
    with admin_session(consortium.kit(ADMIN)) as session:
        return {client.name for client in session.get_system_info().client_info}


def _until(terminal, command, expected, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        terminal.sendline(command)
        if terminal.expect([expected, pexpect.TIMEOUT], timeout=3) == 0:
            return
    pytest.fail(f"{command} never showed {expected}")
