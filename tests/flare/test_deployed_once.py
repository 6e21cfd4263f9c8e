"""A job that comes again under its id, at a site: FLARE's own engine, workspace and archives."""

import json
import shutil
from types import SimpleNamespace

import pytest
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace
from nvflare.fuel.utils.zip_utils import zip_directory_to_bytes
from nvflare.private.defs import ERROR_MSG_PREFIX
from nvflare.private.fed.client.client_engine import ClientEngine
from nvflare.private.fed.client.client_runner import ClientRunner

from fedbrats.flare.deployed_once import content_in, content_of, deploy_once
from fedbrats.site.job_record import RECORD_FILE, keep_record
from tests.security.attacks import attack

JOB, SITE, LEAD = "00000000-0000-4000-8000-000000000001", "hospital-north", "lead@university.example"
SCORES = "site-scores/cases.jsonl"


class Engine(ClientEngine):
    """A site's engine without its connections: what FLARE would do is noted."""

    def __init__(self, kit):
        self.args, self.done = SimpleNamespace(workspace=str(kit)), []
        self.client = SimpleNamespace(client_name=SITE)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site that has the job, deployed whole, with what the job has written; `engine.done` is FLARE's part."""
    for name in ("deploy_app", "start_app", "abort_app"):
        monkeypatch.setattr(ClientEngine, name, lambda self, *a, name=name, **k: self.done.append(name) or "")
    monkeypatch.setattr(ClientRunner, "_handle_end_run", lambda *_: None)
    deploy_once()
    kit, app = tmp_path / "kit", tmp_path / "app"
    for folder in ("startup", "local"):
        (kit / folder).mkdir(parents=True)
    (kit / "startup" / "fed_client.json").write_text("{}")
    (kit / "local" / "fedbrats.json").write_text(
        json.dumps({"data_dir": str(tmp_path), "cache_dir": "cache", "personal_dir": "personal"})
    )
    (app / "config").mkdir(parents=True)
    (app / "config" / "config_fed_client.json").write_text("{}")
    workspace = Workspace(str(kit), site_name=SITE)
    shutil.copytree(app, workspace.get_app_dir(JOB))
    scores = kit / JOB / SCORES
    scores.parent.mkdir()
    scores.write_text("{}")
    (kit / JOB / "meta.json").write_text("{}")
    keep_record(kit / "personal" / JOB / SITE, LEAD)
    return SimpleNamespace(engine=Engine(kit), kit=kit, app=app, scores=scores, workspace=workspace)


def deploy(site, job=JOB):
    return site.engine.deploy_app("app", job, {}, SITE, zip_directory_to_bytes(str(site.app), ""))


def end(site):
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, site.workspace, private=True, sticky=False)
    context.set_prop(FLContextKey.CURRENT_RUN, JOB, private=False, sticky=False)
    ClientRunner._handle_end_run(None, "", None, context)


def test_the_same_application_is_taken_and_what_the_job_has_left_stays(site):
    assert (deploy(site), site.engine.done) == ("", [])
    assert site.scores.exists()
    assert site.engine.start_app(JOB) == ""


def test_a_new_id_is_deployed(site):
    assert (deploy(site, JOB.replace("1", "2")), site.engine.done) == ("", ["deploy_app"])


def test_a_deployment_that_was_cut_is_done_again(site):
    (site.kit / JOB / "meta.json").unlink()
    assert (deploy(site), site.engine.done) == ("", ["deploy_app"])


@attack(
    "delete what a job has left at a hospital, by another job under its id",
    who="the server's operator",
    happens="refused by the hospital: one id is one application; the same again changes no file",
    says="a job is refused: job JOB is here already, with another application",
)
@pytest.mark.parametrize("change", ["other", "more", "fewer"])
def test_another_application_is_refused(site, change):
    if change == "other":
        (site.app / "config" / "config_fed_client.json").write_text("[]")
    elif change == "more":
        (site.app / "models").mkdir()
        (site.app / "models" / "a.safetensors").write_bytes(b"")
    else:
        (site.app / "config" / "config_fed_client.json").unlink()
    assert deploy(site) == f"{ERROR_MSG_PREFIX}: job {JOB} is here already, with another application"
    assert (site.engine.done, site.scores.exists()) == ([], True)


@attack(
    "run a job that has ended once more at a hospital, under its id",
    who="the server's operator",
    happens="refused by the hospital, which remembers that it has ended, also where its folder was cleaned away",
    says="a job is refused: job JOB ended here on DAY and does not run again",
)
@pytest.mark.parametrize("how", ["end", "abort"])
@pytest.mark.parametrize("cleaned", [False, True])
def test_a_job_that_has_ended_does_not_run_again(site, how, cleaned):
    if how == "end":
        end(site)
    else:
        site.engine.abort_app(JOB)
    site.engine.done.clear()
    if cleaned:
        shutil.rmtree(site.kit / JOB)
    for said in (deploy(site), site.engine.start_app(JOB)):
        assert said.startswith(f"{ERROR_MSG_PREFIX}: job {JOB} ended here on ")
    assert site.engine.done == []


def test_a_process_that_the_site_itself_puts_away_ends_no_job(site):
    site.engine.abort_app(JOB, heartbeat_cleanup=True)
    assert site.engine.start_app(JOB) == ""


def test_a_job_that_never_began_here_leaves_no_record(site):
    other = JOB.replace("1", "2")
    site.engine.abort_app(other)
    assert not (site.kit / "personal" / other).exists()


def test_a_record_that_cannot_be_read_refuses_and_ends_nothing_in_a_traceback(site):
    (site.kit / "personal" / JOB / SITE / RECORD_FILE).write_text("[]")
    assert "cannot be read" in deploy(site)
    site.engine.abort_app(JOB)
    end(site)


def test_a_site_whose_file_is_broken_hears_of_it_from_the_jobs_process(site):
    (site.kit / "local" / "fedbrats.json").write_text("{}")
    assert (deploy(site), site.engine.start_app(JOB)) == ("", "")


def test_an_application_is_the_same_on_the_line_and_on_the_disk(site):
    assert content_of(zip_directory_to_bytes(str(site.app), "")) == content_in(site.app) != {}
