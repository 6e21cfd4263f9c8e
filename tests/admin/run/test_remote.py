"""What FLARE says of a job in a federation elsewhere, read."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from nvflare.lighter.utils import load_private_key_file, sign_folders

from fedbrats.admin.run.remote import fetch, resumed_job, seconds_of
from fedbrats.errors import ConfigurationError, FedbratsError
from fedbrats.jobs.build import build_job, read_variables
from tests.privacy.secure.consortium import Consortium
from tests.security.attacks import attack

JOB = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


@pytest.mark.parametrize(
    "took",
    [
        timedelta(seconds=33.931212),
        timedelta(seconds=33),
        timedelta(hours=23, minutes=59, seconds=59.5),
        timedelta(days=1, hours=2, minutes=3, seconds=4.5),
        timedelta(days=12),
    ],
)
def test_a_duration_is_a_timedelta_as_text(took):
    assert seconds_of(str(took)) == pytest.approx(took.total_seconds())


@pytest.mark.parametrize("said", [None, "", "N/A", "-1 day, 23:59:59"])
def test_a_job_that_never_ran_took_no_time(said):
    assert seconds_of(said) == 0


@pytest.fixture
def kit(kits):
    """The kit of a lead: the root's certificate, and what signs."""
    return kits / "lead@university.example"


@pytest.fixture
def built(kit, tmp_path):
    """A job as a server has it: built, and signed when it was submitted."""

    def build(settings=None):
        job_dir = build_job("fedavg", tmp_path / "built", settings or {})
        startup = kit / "startup"
        sign_folders(str(job_dir), load_private_key_file(str(startup / "client.key")), str(startup / "client.crt"))
        return job_dir

    return build


class Session:
    """A server that holds one job, which has ended."""

    def __init__(self, job_dir):
        self.job_dir = job_dir

    def get_job_meta(self, job_id):
        return {"status": "FINISHED:EXECUTION_EXCEPTION"}

    def download_job_result(self, job_id, folder):
        shutil.copytree(self.job_dir, Path(folder) / job_id / "job" / self.job_dir.name)
        return str(Path(folder) / job_id)


def test_a_resumed_job_has_its_own_variables_and_those_that_are_set(tmp_path, kit, built):
    session = Session(built({"seed": 7}))
    variables = read_variables(resumed_job(session, kit, JOB, tmp_path / "resumed", {"num_rounds": 30}))
    assert (variables["seed"], variables["num_rounds"], variables["resume"]) == (7, 30, [JOB])


@pytest.mark.parametrize("settings", [{"memory_mb": -1}, {"personal": "headd"}, {"network": "huge"}])
def test_what_a_resumed_job_cannot_be_run_with_is_refused_before_it_is_submitted(tmp_path, kit, built, settings):
    session = Session(built())
    (value,) = settings.values()
    with pytest.raises(ConfigurationError, match=str(value)):
        resumed_job(session, kit, JOB, tmp_path / "resumed", settings)


@attack(
    "have a lead sign a job of the server's making, as the one that the lead resumes",
    who="the server's operator",
    happens="not resumed: all that the server sends as the job must bear the signature of who may submit one",
    says="is not resumed, as you would sign it: the job is unsigned, or was altered after it was signed",
)
@pytest.mark.parametrize("change", ["unsigned", "altered", "another application", "another root"])
def test_a_job_of_the_servers_making_is_not_resumed(tmp_path, kit, built, change):
    job_dir = build_job("fedavg", tmp_path / "built") if change == "unsigned" else built()
    config = job_dir / "app" / "config" / "config_fed_client.json"
    if change == "altered":
        config.write_text(config.read_text() + "\n")
    elif change == "another application":
        shutil.copytree(job_dir / "app", job_dir / "evil")
    elif change == "another root":
        kit = tmp_path / "kit"
        (kit / "startup").mkdir(parents=True)
        (kit / "startup" / "rootCA.pem").write_bytes(Consortium().root.public_bytes(Encoding.PEM))
    with pytest.raises(ConfigurationError, match="as you would sign it: the job is unsigned, or was altered"):
        resumed_job(Session(job_dir), kit, JOB, tmp_path / "resumed", {})
    assert not (tmp_path / "resumed").exists()


def test_a_resumed_job_takes_no_other_start(tmp_path, kit):
    """It goes on from its own models: another start would be left aside, and nobody would be told."""
    session = Session(build_job("fedavg", tmp_path / "built"))
    with pytest.raises(ConfigurationError, match=r"start .* goes on from its own models"):
        resumed_job(session, kit, JOB, tmp_path / "resumed", {"start": "none"})


@pytest.mark.parametrize(
    "ask",
    [
        lambda session, job, out: resumed_job(session, out, job, out, {}),
        lambda session, job, out: fetch(session, job, out),
    ],
)
def test_a_job_whose_folder_the_server_lost_is_told(tmp_path, ask):
    session = Session(build_job("fedavg", tmp_path / "built"))
    (session.job_dir / "meta.json").unlink()
    with pytest.raises(FedbratsError, match=f"job {JOB} holds no job folder"):
        ask(session, JOB, tmp_path / "out")
