"""One line and one status say how a participant is; every number that an alert or a panel names is written."""

import fcntl
import json
import os
import re
import socket
import time

import pytest
import yaml

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.health import CRITICAL, GOOD, MEANINGS, look_at, prometheus_text
from fedbrats.admin.operate.places import move_server
from fedbrats.cli.main import main
from fedbrats.shipped import shipped_dir
from tests.end_to_end.consortium import CENTRAL, EAST, LEAD, NORTH, SOUTH, WEST

MONITORING = shipped_dir() / "provisioning" / "monitoring"
LINE = re.compile(r'[a-z_]+\{([a-z]+="([^"\\\n]|\\.)*",?)*\} -?[0-9.e+-]+')


@pytest.fixture
def running(request):
    """Let a kit look as if this process ran it."""

    def run(kit):
        lock = (kit / "instance.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
        request.addfinalizer(lock.close)

    return run


def numbers(kit):
    return {(metric.name, *dict(metric.labels).values()): metric.value for metric in look_at(open_kit(kit)).metrics}


def test_one_that_does_not_run_is_critical(server_kit, capsys):
    assert main(["health", str(server_kit)]) == CRITICAL
    assert capsys.readouterr().out.strip() == f"critical: server {server_kit.name}: it does not run"


def test_a_site_without_a_connection_is_critical_and_with_one_good(site_kit, running):
    running(site_kit)
    assert look_at(open_kit(site_kit)).said == ("it has no connection to fl.brain-consortium.example:8002",)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        path = site_kit / "startup" / "fed_client.json"
        path.write_text(path.read_text().replace(":8002", f":{port}"))
        with socket.create_connection(("127.0.0.1", port)):
            assert look_at(open_kit(site_kit)).status == GOOD


def test_a_server_tells_of_its_jobs_rounds_and_refusals(server_kit, running):
    running(server_kit)
    for number, (job, status) in enumerate((("a", "FINISHED:COMPLETED"), ("b", "FINISHED:ABORTED"), ("c", "RUNNING"))):
        path = server_kit.parent / "storage" / "jobs" / job / "meta"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"status": status, "submit_time": time.time() + number}))
    rows = server_kit / "c" / "fedbrats" / "rows.jsonl"
    rows.parent.mkdir(parents=True)
    told = [
        *({"kind": "refusal", "round": 0, "site": site, "message": "x"} for site in ('we"st', "x", NORTH)),
        {"kind": "round", "round": 0, "answered": [], "silent": [], "seconds": 12.5},
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in told))
    (server_kit / "disabled_clients.json").write_text('{"disabled_clients": ["hospital-east"]}')
    found = numbers(server_kit)
    assert found["fedbrats_jobs", "RUNNING"] == 1
    assert found["fedbrats_last_job_completed",] == 0
    assert (found["fedbrats_round", "c"], found["fedbrats_round_seconds", "c"]) == (1, 12.5)
    assert found["fedbrats_revoked",] == 1
    assert found["fedbrats_sites_expected",] == 5
    refusals = {labels[-1]: value for (name, *labels), value in found.items() if name == "fedbrats_refusals"}
    assert refusals == {NORTH: 1, "other": 2}, "a name that is not of the consortium is no label"


def test_a_server_tells_of_each_site_of_the_consortium_and_of_no_other_name(server_kit):
    assert not [name for name, *_ in numbers(server_kit) if "site_" in name], "nobody has written"
    sites = {NORTH: {"seen": 1e9, "two_machines": ["10.0.0.1"]}, "x": {"seen": 2.0, "two_machines": None}, SOUTH: 5}
    sites[EAST] = {"seen": None, "two_machines": []}  # two processes take turns, and FLARE has lost both
    objections = {"c": {SOUTH: "its list", "x": "no site"}, "d": 5}
    written = {"at": 0.0, "sites": sites, "revoked": [], "objections": objections}
    (server_kit / "sites.json").write_text(json.dumps(written))
    found = numbers(server_kit)
    assert [name for name in found if name[0] == "fedbrats_job_refused"] == [("fedbrats_job_refused", "c", SOUTH)]
    connected = {labels[0]: value for (name, *labels), value in found.items() if name == "fedbrats_site_connected"}
    assert connected == {NORTH: 1, SOUTH: 0, EAST: 0, WEST: 0, CENTRAL: 0}
    assert found["fedbrats_sites_connected",] == 2
    assert found["fedbrats_site_heartbeat_timestamp_seconds", NORTH] == 1e9
    assert (found["fedbrats_two_machines", NORTH], found["fedbrats_two_machines", EAST]) == (1, 1)
    os.utime(server_kit / "sites.json", (0, 0))  # as a server leaves it that has ended
    assert "fedbrats_sites_connected" not in [name for name, *_ in numbers(server_kit)]


def test_a_kit_on_two_machines_is_critical(site_kit, running):
    assert numbers(site_kit)["fedbrats_two_machines",] == 0
    (site_kit / "two_machines.json").write_text('{"machines": "10.0.0.1 and 10.0.0.2\\u001b[2J"}')
    assert numbers(site_kit)["fedbrats_two_machines",] == 1
    said = look_at(open_kit(site_kit)).said
    assert "its kit runs on two machines (10.0.0.1 and 10.0.0.2\\x1b[2J)" in said


def test_jobs_inside_the_kit_count_too(server_kit):
    move_server(server_kit / "local", server_kit / "storage", with_state=True)
    path = server_kit / "storage" / "jobs" / "a" / "meta"
    path.parent.mkdir(parents=True)
    path.write_text('{"status": "RUNNING"}')
    assert numbers(server_kit)["fedbrats_jobs", "RUNNING"] == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c/fedbrats/rows.jsonl", '[]\n{"kind": "round"}\n'),
        ("c/fedbrats/rows.jsonl", '{"kind": "round", "round": 0, "seconds": "x", "silent": 5}\n'),
        ("c/fedbrats/rows.jsonl", "cut\n{}\n"),
        ("../storage/jobs/c/meta", '{"status": "FINISHED:COMPLETED", "submit_time": "x"}'),
        ("local/consortium.json", '{"sites": 5}'),
        ("disabled_clients.json", '{"disabled_clients": 5}'),
        ("sites.json", '{"sites": 5}'),
        ("sites.json", '{"objections": 5}'),
        ("sites.json", "5"),
        ("sites.json", "cut"),
    ],
)
def test_a_damaged_file_does_not_hide_the_rest(server_kit, name, content):
    path = server_kit / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    health = look_at(open_kit(server_kit))
    assert health.said == ("it does not run",)
    assert "fedbrats_certificate_days" in [metric.name for metric in health.metrics]


def test_the_textfile_is_what_prometheus_reads(server_kit, tmp_path, capsys):
    target = tmp_path / "fedbrats.prom"
    assert main(["health", str(server_kit), "--textfile", str(target), "--json"]) == CRITICAL
    assert json.loads(capsys.readouterr().out)["status"] == CRITICAL
    lines = target.read_text().splitlines()
    assert [line for line in lines if not line.startswith("# ") and not LINE.fullmatch(line)] == []
    assert f'fedbrats_up{{kit="{server_kit.name}",kind="server"}} 0' in lines
    assert target.stat().st_mode & 0o777 == 0o644, "the exporter is another user"


def test_a_textfile_is_written_into_a_folder_that_is_there(server_kit, tmp_path, capsys):
    assert main(["health", str(server_kit), "--textfile", str(tmp_path / "none" / "x.prom")]) == 1
    assert f"the folder {tmp_path / 'none'} is not there" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_hostile_label_stays_a_label(server_kit):
    kit = open_kit(server_kit)
    metric = next(iter(look_at(kit).metrics))
    text = prometheus_text(kit, (metric.__class__("fedbrats_refusals", 1.0, (("site", 'a"} 1\nfedbrats_up 1'),)),))
    assert len(text.splitlines()) == 3
    assert LINE.fullmatch(text.splitlines()[-1])


def test_a_person_runs_nothing(kits, capsys):
    assert main(["health", str(kits / LEAD)]) == 1
    assert "fedbrats status" in capsys.readouterr().err


def test_every_alert_and_every_panel_names_numbers_that_are_written():
    alerts = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
    board = json.loads((MONITORING / "grafana.json").read_text())
    asked = [rule["expr"] for rule in alerts]
    asked += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for expression in asked for name in re.findall(r"fedbrats_\w+", expression)}
    assert named == set(MEANINGS), "a number that nobody looks at, or one that does not exist"
    for rule in alerts:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")
