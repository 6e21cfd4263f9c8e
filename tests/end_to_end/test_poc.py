"""Real FLARE POC federations on loopback: one command, the admin console, and a POC that FLARE prepared by itself."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import psutil
import pytest

from fedbrats.admin.run.processes import find_processes
from fedbrats.model.network import SegmentationNetwork
from fedbrats.run_folder import personal_of_sites

pytestmark = pytest.mark.end_to_end
FEDBRATS = str(Path(sys.executable).parent / "fedbrats")
NVFLARE = str(Path(sys.executable).parent / "nvflare")
QUICK = ("--set", "num_rounds=2", "--set", "network=tiny", "--set", "local_steps=2")


def fedbrats(*words, cwd, check=True):
    done = subprocess.run([FEDBRATS, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=550)
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def federation(tmp_path_factory, phantom_sites):
    """A POC that is up: its folder; taken down afterwards whatever happened."""
    folder = tmp_path_factory.mktemp("federation")
    fedbrats("poc", "up", "--data", phantom_sites, cwd=folder)
    yield folder
    fedbrats("poc", "down", cwd=folder)
    assert find_processes(folder / "build" / "poc") == []


def test_run_trains_reports_and_leaves_no_process(tmp_path, phantom_sites):
    done = fedbrats("poc", "run", "fedavg", "--data", phantom_sites, *QUICK, "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["job"] == "fedavg"
    assert document["status"] == "FINISHED:COMPLETED"
    assert document["rounds"] == 2
    assert document["sites"] == len(document["per_site"]) == len(list(Path(phantom_sites).glob("*/datalist.json")))
    assert document["cases"] == sum(site["cases"] for site in document["per_site"].values()) > 0
    for metric in ("dice", "iou"):
        assert set(document[metric]) == {"mean", "WT", "TC", "ET"}
        assert all(0 <= value <= 1 for value in document[metric].values())
    results = Path(document["results"])
    assert document == json.loads((tmp_path / results / "summary.json").read_text())
    assert document["findings"] == []
    assert (tmp_path / results / "global_model.pt").is_file()
    assert list((tmp_path / results).rglob("events.out.tfevents.*")), "no TensorBoard events"
    assert re.search(r"fedavg: round \d/2", done.stderr)  # a round may be over before it is next looked at
    assert find_processes(tmp_path / "build" / "poc") == []


def test_rows_carry_sites_and_never_patients(tmp_path, phantom_sites, federation):
    document = json.loads(fedbrats("poc", "submit", "fedavg", *QUICK, "--json", cwd=federation).stdout)
    server = federation / document["results"] / "server"
    cases = [item["case"] for path in Path(phantom_sites).glob("*/datalist.json") for item in _items(path)]
    for path in server.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [case for case in cases if case.encode() in content], path


def test_in_its_last_rounds_fine_tuning_sends_nothing(federation, tmp_path):
    rounds = ("--set", "num_rounds=3", "--set", "personal_rounds=1")
    words = ("poc", "submit", "fine_tuned", *QUICK, *rounds, "--json")
    results = federation / json.loads(fedbrats(*words, cwd=federation).stdout)["results"]
    rows = [json.loads(line) for path in results.rglob("rows.jsonl") for line in path.read_text().splitlines()]
    sent = [{row["bytes"]["up"] for row in rows if row["kind"] == "site" and row["round"] == n} for n in range(3)]
    assert min(sent[0] | sent[1]) > 0
    assert sent[2] == {0}
    personal = personal_of_sites(results, tmp_path)  # in the results folder itself: tmp_path is no workspace
    assert len(personal) == 2
    assert all(results in path.parents for path in personal.values())
    assert not [row for row in rows if row["kind"] == "refusal"]


def test_compressed_rounds_move_a_quarter_of_the_bytes_both_ways(federation):
    words = ("poc", "submit", "fedavg", *QUICK, "--set", "compression=int8", "--json")
    document = json.loads(fedbrats(*words, cwd=federation).stdout)
    rows = [json.loads(line) for line in (federation / document["results"] / "rows.jsonl").read_text().splitlines()]
    moved = [row["bytes"] for row in rows if row["kind"] == "site"]
    assert len(moved) == 2 * document["sites"]
    assert not [row for row in rows if row["kind"] == "refusal"]
    full = sum(4 * value.numel() for value in SegmentationNetwork("tiny").state_dict().values())
    assert all(0 < each[way] < 0.3 * full for each in moved for way in ("up", "down"))  # many small tensors


def test_status_shows_sites_and_jobs(federation):
    document = json.loads(fedbrats("poc", "status", "--json", cwd=federation).stdout)
    assert all(document["sites"].values())


def test_flares_admin_console_submits_lists_and_downloads(federation):
    """The console as a person uses it: a terminal, its prompts, the job in its transfer folder."""
    kit = json.loads((federation / "build" / "poc" / "processes.json").read_text())["kits"] + "/admin@example.org"
    fedbrats("job", "build", "fedavg", "--out", f"{kit}/transfer", *QUICK, cwd=federation)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb"}
    console = pexpect.spawn(
        "bash", [f"{kit}/startup/fl_admin.sh"], env=environment, timeout=180, encoding="utf-8", dimensions=(50, 220)
    )
    try:
        if console.expect(["User Name:", "> "]) == 0:  # in POC the kit's certificate says who it is
            console.sendline("admin@example.org")
            console.expect("> ")
        console.sendline("submit_job fedavg")
        console.expect(r"[Ss]ubmitted job: ([0-9a-f-]{36})")
        job_id = console.match.group(1)
        for _ in range(60):
            console.sendline(f"list_jobs {job_id}")
            if console.expect(["FINISHED:COMPLETED", "FINISHED:[A-Z_]+", pexpect.TIMEOUT], timeout=3) == 0:
                break
        else:
            pytest.fail("the job did not finish")
        console.sendline(f"download_job {job_id}")
        console.expect("Done|[Dd]ownload", timeout=60)
        console.expect("> ")
        console.sendline("bye")
        console.expect(pexpect.EOF)
    finally:
        console.close(force=True)
    assert list((Path(kit) / "transfer" / job_id).rglob("FL_global_model.pt"))


def test_a_job_with_code_runs_on_a_poc_that_flare_prepared(tmp_path, phantom_sites):
    """Stock sites, no fedbrats in the policy: the job brings the package (BYOC), the sites say where their data is."""
    from fedbrats.admin.run.processes import free_port, participant_environment, stop

    environment = {
        **participant_environment(),
        "HOME": str(tmp_path / "home"),
        "NVFLARE_POC_WORKSPACE": str(tmp_path / "poc"),
        "PYTHONSAFEPATH": "1",
    }
    (tmp_path / "home").mkdir()

    def nvflare(*words, timeout=400):
        done = subprocess.run([NVFLARE, *words], env=environment, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    nvflare("poc", "prepare", "-n", "2")
    kits = tmp_path / "poc" / "example_project" / "prod_00"
    _change_port(kits, free_port())
    for site in ("site-1", "site-2"):
        fedbrats("site", kits / site, "--data", Path(phantom_sites) / site, "--threads", "1", cwd=tmp_path)
    built = fedbrats("job", "build", "fedavg", "--with-code", *QUICK, cwd=tmp_path).stdout.strip()
    try:
        nvflare("poc", "start")
        submitted = json.loads(nvflare("--format", "json", "job", "submit", "-j", str(tmp_path / built)))
        job_id = submitted["data"]["job_id"]
        nvflare("job", "monitor", job_id, timeout=300)
        nvflare("job", "download", job_id, "-o", str(tmp_path / "out"))
    finally:
        stop(tmp_path / "poc")
    assert find_processes(tmp_path / "poc") == []
    assert list((tmp_path / "out").rglob("FL_global_model.pt"))


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("run", "fedavgg", "--data", "{sites}"), 2, "no job named 'fedavgg'"),
        (("run", "fedavg", "--data", "{sites}", "--set", "rounds=3"), 2, "no variable 'rounds'"),
        (("run", "fedavg", "--data", "nowhere"), 1, "nowhere"),
        (("submit", "fedavg"), 1, "fedbrats poc up"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_starts_nothing(tmp_path, phantom_sites, words, status, sentence):
    done = fedbrats("poc", *(word.format(sites=phantom_sites) for word in words), cwd=tmp_path, check=False)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert find_processes(tmp_path / "build" / "poc") == []


def test_a_site_with_nothing_to_train_on_is_named_before_anything_starts(tmp_path, phantom_sites):
    sites = tmp_path / "sites"
    shutil.copytree(phantom_sites, sites, symlinks=True)
    path = sites / "site-2" / "datalist.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": []}))
    for command in ("poc", "simulate"):
        words = ([command, "run"] if command == "poc" else [command]) + ["fedavg", "--data", sites]
        done = fedbrats(*words, cwd=tmp_path, check=False)
        assert done.returncode == 1
        assert "site-2 has no training case" in done.stderr
    assert find_processes(tmp_path / "build" / "poc") == []


def test_a_poc_left_over_from_a_crash_is_named_and_can_be_taken_down(tmp_path, phantom_sites):
    up = subprocess.Popen([FEDBRATS, "poc", "run", "fedavg", "--data", str(phantom_sites), *QUICK], cwd=tmp_path)
    workspace = tmp_path / "build" / "poc"
    _wait_for(lambda: len(find_processes(workspace)) >= 2)
    up.kill()
    up.wait()
    refused = fedbrats("poc", "run", "fedavg", "--data", phantom_sites, *QUICK, cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert "fedbrats poc down" in refused.stderr
    fedbrats("poc", "down", cwd=tmp_path)
    assert find_processes(workspace) == []
    fedbrats("poc", "run", "fedavg", "--data", phantom_sites, *QUICK, cwd=tmp_path)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_command_that_is_ended_stops_everything(tmp_path, phantom_sites, number, status):
    run = subprocess.Popen(
        [FEDBRATS, "poc", "run", "fedavg", "--data", str(phantom_sites), *QUICK, "--set", "num_rounds=500"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # the tests themselves may run under nohup
    )
    for line in run.stderr:
        if re.search(r"round ([2-9]|\d\d+)/500", line):  # rounds are short: any of them may go by unseen
            break
    run.send_signal(number)
    if number != signal.SIGINT:  # a terminal that is closed signals twice, and nobody reads on
        run.stderr.close()
        run.send_signal(number)
    said = run.stderr.read() if number == signal.SIGINT else ""
    assert run.wait(timeout=240) == status
    assert find_processes(tmp_path / "build" / "poc") == []
    if said:
        [results] = (tmp_path / "results").iterdir()
        summary = json.loads((results / "summary.json").read_text())
        assert summary["status"] == "INTERRUPTED"
        assert f"go on with: fedbrats poc restart && fedbrats poc submit --resume {summary['job_id']}\n" in said
    assert not psutil.pid_exists(run.pid) or run.poll() is not None


def _items(datalist: Path):
    document = json.loads(datalist.read_text())
    return document["training"] + document["validation"] + document["test"]


def _change_port(kits: Path, port: int) -> None:
    """A plain POC insists on port 8002; the kits of a POC are not signed, so a test may move it."""
    for path in [*kits.glob("*/startup/fed_*.json"), kits.parents[1] / "project.yml"]:
        path.write_text(path.read_text().replace("8002", str(port)))


def _wait_for(condition, timeout_s=240):
    import time

    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.2)
