"""What is refused: kits that are not what they say, jobs against the policy, people without the right.

Each refusal is shown by what the server, or whoever refuses, has in its log, and by what the other one never gets.
"""

import re
import shutil

import pytest

from fedbrats.admin.provision.consortium import build_kits
from fedbrats.admin.run.processes import stop
from fedbrats.shipped import PACKAGE_DIR
from tests.end_to_end.consortium import (
    CENTRAL,
    EAST,
    HOSPITAL_IT,
    MEMBER,
    NORTH,
    SERVER,
    SOUTH,
    WEST,
    console,
    fedbrats,
    kit_log,
    start_kit,
    wait_for,
)
from tests.end_to_end.intruders import (
    SITE_APP,
    change,
    change_meta,
    copy_kit_as,
    edit_startup,
    expire,
    give_site_its_own_app,
    sign_as,
    sign_not,
    sign_then_alter,
    trust_ours,
)

pytestmark = pytest.mark.end_to_end
REGISTERED = "Successfully registered client"


class TestIntruders:
    """Kits that are not what they say: each is started as it would be, and never becomes a site."""

    @pytest.fixture(scope="class")
    def intruders(self, consortium, tmp_path_factory):
        """Every intruder at once, for each needs some seconds to fail: name -> kit."""
        folder, central = tmp_path_factory.mktemp("intruders"), consortium.kit(CENTRAL)
        foreign = build_kits(consortium.project, folder / "other-root") / CENTRAL
        kits = {
            "other root": foreign,
            "other root, trusting ours": trust_ours(foreign, central, folder / "trusting"),
            "other name": copy_kit_as(central, folder / "renamed", "hospital-elsewhere"),
            "expired": expire(consortium, CENTRAL, folder / "expired"),
            "altered": edit_startup(central, folder / "altered", connection_security="clear"),
            "plain": edit_startup(central, folder / "plain", unsigned=True, connection_security="clear"),
        }
        before = consortium.connected()
        try:
            for kit in kits.values():
                start_kit(kit)
            yield kits
            assert consortium.connected() <= before
        finally:
            stop(folder)

    @pytest.mark.parametrize(
        ("name", "at_server"),
        [
            ("other name", "authenticated as 'hospital-central' but claimed endpoint 'hospital-elsewhere'"),
            ("plain", "WRONG_VERSION_NUMBER"),
        ],
    )
    def test_is_refused(self, consortium, intruders, name, at_server):
        """What FLARE writes at the intruder differs from try to try, so the server's line is what is looked for."""
        wait_for(lambda: at_server in console(consortium.kit(SERVER)))
        assert REGISTERED not in kit_log(intruders[name])

    def test_a_kit_of_another_root_does_not_speak_to_our_server(self, consortium, intruders):
        """It is the site that hangs up; the next test has it believe in our server."""
        wait_for(lambda: "unable to get local issuer certificate" in console(intruders["other root"]))
        assert REGISTERED not in kit_log(intruders["other root"])

    @pytest.mark.parametrize(
        ("name", "at_server", "finding"),
        [
            ("other root, trusting ours", "unable to get local issuer certificate", "hospital-central's is not of"),
            ("expired", "certificate has expired", "fedbrats provision renew hospital-central"),
        ],
    )
    def test_a_certificate_that_the_server_refuses(self, consortium, intruders, name, at_server, finding):
        """FLARE 2.9.0's own client judges its certificate first, and then waits without a word: the doctor calls."""
        done = fedbrats("doctor", intruders[name], "--json", cwd=consortium.folder, check=False)
        assert done.returncode == 1
        assert finding in done.stdout
        assert "the TLS handshake failed" in done.stdout
        wait_for(lambda: f"CERTIFICATE_VERIFY_FAILED: {at_server}" in console(consortium.kit(SERVER)))
        assert REGISTERED not in kit_log(intruders[name])

    def test_an_altered_startup_folder_starts_nothing(self, consortium, intruders):
        """The server has nothing of it, for it never calls."""
        wait_for(lambda: "not secure content" in console(intruders["altered"]))
        assert "external connector" not in kit_log(intruders["altered"])


@pytest.mark.parametrize("person", [MEMBER, HOSPITAL_IT])
def test_who_may_not_submit_is_refused(consortium, person):
    """The server's log has the question; its audit trail, which holds what was done, has not."""
    refused = fedbrats("submit", "fedavg", "--kit", consortium.kit(person), cwd=consortium.folder, check=False)
    assert refused.returncode == 1
    assert "refused this to" in refused.stderr
    assert "not authorized" in refused.stderr.lower()
    assert re.search(rf"User: {person}:.* Right: submit_job", consortium.log(SERVER))
    audit = (consortium.kit(SERVER) / "audit.log").read_text()
    assert f'"who": "{person}", "action": "_logout"' in audit
    assert not re.search(rf'"who": "{person}", "action": "\S*submit_job', audit)


@pytest.fixture(scope="module")
def jobs(consortium):
    """Jobs that a site or the server must stop, side by side, each at another site: name -> (job id, status)."""
    return consortium.submit(
        {
            "class": change(consortium.job(sites=[NORTH]), "client", _other_executor),
            "site path": change(consortium.job(sites=[SOUTH]), "client", _path_at_site),
            "server path": change(consortium.job(sites=[EAST]), "server", _path_at_server),
            "scope": change_meta(consortium.job(sites=[WEST]), scope="wide-open"),
        }
    )


@pytest.mark.parametrize(
    ("name", "site", "at_site", "at_server"),
    [
        ("class", NORTH, "'nvflare.app_common.np.np_trainer.NPTrainer' at config path", "reported failure from {site}"),
        ("site path", SOUTH, "fedbrats.flare.site.filters.KeepShared, network does", "reported failure from {site}"),
        ("server path", EAST, "Launched job {job}", "PTFileModelPersistor, source_ckpt_file_full_name does"),
        ("scope", WEST, None, "{site}: NVFLARE_ERROR: privacy scope 'wide-open' is not allowed"),
    ],
)
def test_a_job_against_the_policy_is_stopped_where_it_would_run(consortium, jobs, name, site, at_site, at_server):
    job, status = jobs[name]
    assert status.startswith("FINISHED:")
    assert status != "FINISHED:COMPLETED"
    words = {"site": site, "job": job}
    if at_server.startswith("reported"):
        at_server = f"Failing job {job} due to {at_server}"
    assert at_server.format(**words) in consortium.job_log(SERVER, job)
    if at_site is None:
        _assert_never_ran(consortium, site, job)
    else:
        assert at_site.format(**words) in consortium.job_log(site, job)


def test_a_job_with_code_is_refused_by_the_server(consortium):
    words = ("job", "build", "fedavg", "--with-code", "--out", "with-code")
    built = fedbrats(*words, cwd=consortium.folder).stdout.strip()
    job = change_meta(consortium.folder / built, deploy_map={"app": ["server", CENTRAL]})
    job_id, status = consortium.submit({"code": job})["code"]
    assert status == "FINISHED:FAILED_TO_RUN"
    assert f"Failed to run the Job ({job_id}): RuntimeError: Failed to deploy app 'app': BYOC not permitted" in (
        consortium.log(SERVER)
    )
    _assert_never_ran(consortium, CENTRAL, job_id)


def test_a_job_with_code_is_refused_by_the_site(consortium):
    job = give_site_its_own_app(consortium.job(sites=[CENTRAL]), CENTRAL)
    shutil.copytree(PACKAGE_DIR / "data", job / SITE_APP / "custom" / "other" / "data")
    _assert_site_refuses(consortium, job, CENTRAL, "BYOC not permitted")


@pytest.mark.parametrize(
    ("harm", "evidence"),
    [(sign_not, "the job is unsigned"), (sign_then_alter, "app does not pass signature verification")],
)
def test_an_unsigned_or_altered_job_is_refused_by_the_server(consortium, monkeypatch, harm, evidence):
    harm(monkeypatch, "app")
    job_id, status = consortium.submit({"job": consortium.job(sites=[NORTH])})["job"]
    assert status == "FINISHED:FAILED_TO_RUN"
    assert re.search(rf"Failed to run the Job \({job_id}\).*{evidence}", consortium.log(SERVER))
    _assert_never_ran(consortium, NORTH, job_id)


@pytest.mark.parametrize(
    ("harm", "evidence"),
    [(sign_not, "unsigned job rejected"), (sign_then_alter, f"app {SITE_APP} does not pass signature verification")],
)
def test_an_unsigned_or_altered_job_is_refused_by_the_site(consortium, monkeypatch, harm, evidence):
    """The server's part of the job is whole: the site judges for itself."""
    harm(monkeypatch, SITE_APP)
    _assert_site_refuses(consortium, give_site_its_own_app(consortium.job(sites=[NORTH]), NORTH), NORTH, evidence)


@pytest.mark.parametrize("signer", [EAST, MEMBER])
def test_a_job_that_somebody_else_signed_is_refused_by_the_site(consortium, monkeypatch, signer):
    """The server's part is the lead's own: the site judges who signed what it is handed."""
    sign_as(monkeypatch, SITE_APP, consortium.kit(signer))
    job = give_site_its_own_app(consortium.job(sites=[NORTH]), NORTH)
    _assert_site_refuses(consortium, job, NORTH, f"{signer}, .* signed the job, but only")


def test_a_job_that_reads_the_environment_is_refused_by_the_site(consortium):
    job = give_site_its_own_app(consortium.job(sites=[WEST]), WEST)
    change(job, "client", lambda document: document.update(seed="{$HOME}"), app=SITE_APP)
    _assert_site_refuses(consortium, job, WEST, r"\{.HOME\}.* is refused")


def _assert_site_refuses(consortium, job, site, evidence):
    """The server has the site's answer in its log; the site was asked, as its audit trail says, and ran nothing."""
    audit = consortium.kit(site) / "audit.log"
    asked = audit.read_text().count('"action": "train.deploy"')
    job_id, status = consortium.submit({"job": job})["job"]
    assert status == "FINISHED:FAILED_TO_RUN"
    assert re.search(rf"Failed to run the Job \({job_id}\).*'server: OK'.*{site}: .*{evidence}", consortium.log(SERVER))
    assert audit.read_text().count('"action": "train.deploy"') == asked + 1
    _assert_never_ran(consortium, site, job_id)


def _assert_never_ran(consortium, site, job_id):
    assert job_id not in consortium.log(site)
    assert not (consortium.kit(site) / job_id / SITE_APP).exists()


def _other_executor(document):
    document["executors"][0]["executor"] = {"path": "nvflare.app_common.np.np_trainer.NPTrainer", "args": {}}


def _path_at_site(document):
    document["task_result_filters"][0]["filters"][0]["args"]["network"] = "/etc/passwd"


def _path_at_server(document):
    persistor = next(entry for entry in document["components"] if entry["id"] == "persistor")
    persistor["args"]["source_ckpt_file_full_name"] = "model.pt"
