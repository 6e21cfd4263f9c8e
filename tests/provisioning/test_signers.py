"""Whose job is deployed, at the server and at a site: a lead's or project admin's, by the certificate of its signer."""

import json
import shutil
import stat

import pytest
from cryptography.x509 import ExtendedKeyUsage, KeyUsage
from cryptography.x509.oid import ExtendedKeyUsageOID
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, SiteType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.workspace import Workspace
from nvflare.fuel.sec.authz import AuthorizationService
from nvflare.fuel.utils.zip_utils import zip_directory_to_bytes
from nvflare.lighter.utils import load_private_key_file, sign_folders
from nvflare.private.fed.app.fl_app_validator import FLAppValidator
from nvflare.private.fed.utils.app_authz import AppAuthzService
from nvflare.private.fed.utils.app_deployer import AppDeployer
from nvflare.private.privacy_manager import PrivacyManager, PrivacyService
from nvflare.security.security import EmptyAuthorizer

from fedbrats.admin.kits import open_kit
from fedbrats.flare.kit.app_rules import AppRules
from fedbrats.flare.kit.submitter import SubmittedBySigner
from fedbrats.site.job_record import keep_record
from tests.security.attacks import attack

SERVER, SITE, LEAD = "fl.brain-consortium.example", "hospital-north", "lead@university.example"
ADMIN = "admin@university.example"
MAY = {LEAD, ADMIN}
EVERYBODY = [
    SERVER,
    *(f"hospital-{side}" for side in ("north", "south", "east", "west", "central")),
    *(f"it@{side}.example" for side in ("north", "south", "east", "west", "central")),
    "statistician@university.example",
    *sorted(MAY),
]
JOB, EARLIER = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def sign(folder, kit):
    """Sign a job's application with the key of a kit, whoever's it is."""
    base = "server" if (kit / "startup" / "server.key").exists() else "client"
    key = load_private_key_file(str(kit / "startup" / f"{base}.key"))
    sign_folders(str(folder), key, str(kit / "startup" / f"{base}.crt"))


@pytest.fixture
def app(build_any_job, tmp_path):
    return shutil.copytree(build_any_job("fedavg") / "app", tmp_path / "app")


@pytest.fixture(params=[(SiteType.SERVER, SERVER), (SiteType.CLIENT, SITE)], ids=["server", "site"])
def deploy(request, kits, tmp_path, monkeypatch):
    """FLARE's own deployment at the server and at a site, by the kit's rules; returns its objection."""
    kind, name = request.param
    kit = shutil.copytree(kits / name, tmp_path / name)
    rules = json.loads((kit / "local" / "resources.json.default").read_text())["app_validator"]
    assert rules["path"] == f"{AppRules.__module__}.{AppRules.__name__}"
    monkeypatch.setattr(AppAuthzService, "app_validator", FLAppValidator(kind, [AppRules()]))
    monkeypatch.setattr(PrivacyService, "manager", PrivacyManager(scopes=[], default_scope_name="", components=None))
    monkeypatch.setattr(AuthorizationService, "the_authorizer", EmptyAuthorizer())

    def deploy(app, **said):
        workspace = Workspace(str(kit), site_name="server" if kind == SiteType.SERVER else name)
        data = zip_directory_to_bytes(str(app), "")
        error = AppDeployer().deploy(workspace, JOB, meta_of(**said), "app", data, FLContext())
        assert bool(error) == (not (kit / JOB).exists()), "what is refused leaves nothing"
        return error

    deploy.kit = kit
    return deploy


def meta_of(name=LEAD, org="university", role="lead"):
    return {"submitter_name": name, "submitter_org": org, "submitter_role": role, "scope": ""}


def test_a_job_of_an_earlier_version_is_refused_with_what_to_do(deploy, kits, app):
    for path in (app / "config").glob("*.json"):
        path.write_text(path.read_text().replace("fedbrats.flare.s", "fedbrats.s"))
    sign(app, kits / LEAD)
    error = deploy(app)
    assert "another version made it; build it again with this version" in error


@attack(
    "have a hospital run a job that no lead signed",
    who="the server's operator, a hospital, or a person without the right",
    happens="refused by the hospital, and by the server",
    says="hospital-east, which is no person, signed the job, but only a project_admin or lead may submit one",
)
@pytest.mark.parametrize("signer", EVERYBODY)
def test_of_all_kits_only_a_leads_and_a_project_admins_signature_deploys(deploy, kits, app, signer):
    sign(app, kits / signer)
    error = deploy(app)
    if signer in MAY:
        assert not error
    else:
        assert f"{signer}, " in error
        assert "signed the job, but only a project_admin or lead may submit one" in error


def test_everybody_of_the_consortium_is_tried(kits):
    assert set(EVERYBODY) == {path.name for path in kits.iterdir()}


def test_an_unsigned_altered_or_jointly_signed_application_is_refused(deploy, kits, app):
    assert "unsigned, or was altered" in deploy(app)
    sign(app, kits / LEAD)
    (app / "config" / "more.json").write_text("{}")
    assert "does not pass signature verification" in deploy(app)  # FLARE's word, which comes first
    (app / "config" / "more.json").unlink()
    sign(app / "config", kits / ADMIN)
    assert "2 parties signed folders of the job" in deploy(app)


class TestInTheJobsProcess:
    """The rule that holds whatever deployed the application, and with which papers."""

    @pytest.fixture
    def judge(self, kits, tmp_path, app):
        """Judge a component of a job in the site's kit, signed by somebody, with papers that somebody wrote."""
        kit = shutil.copytree(kits / SITE, tmp_path / "kit")

        def judge(signer, resume=None, **said):
            sign(app, kits / signer)
            shutil.copytree(app, kit / JOB / f"app_{SITE}", dirs_exist_ok=True)
            context = FLContext()
            for key, value in {
                FLContextKey.WORKSPACE_OBJECT: Workspace(str(kit), site_name=SITE),
                FLContextKey.CURRENT_JOB_ID: JOB,
                FLContextKey.JOB_META: meta_of(**said),
                FLContextKey.COMPONENT_CONFIG: {"path": "some.Executor", "args": {"resume": resume}},
            }.items():
                context.set_prop(key, value, private=True, sticky=False)
            SubmittedBySigner().handle_event(EventType.BEFORE_BUILD_COMPONENT, context)

        judge.personal = kit / "personal"
        return judge

    def test_the_signers_job_runs_and_is_remembered(self, judge):
        judge(LEAD)
        assert json.loads((judge.personal / JOB / SITE / "job.json").read_text())["submitter"] == LEAD
        with pytest.raises(UnsafeComponentError, match="knows the job as one of lead@"):
            judge(ADMIN, name=ADMIN, role="project_admin")

    @attack(
        "give a job that a lead signed the name and the rights of somebody else",
        who="the server's operator",
        happens="refused by the hospital before anything of the job is built",
        says="lead@university.example (university, lead) signed the job, but its meta.json says that",
    )
    @pytest.mark.parametrize("said", [{"name": ADMIN}, {"org": "north"}, {"role": "project_admin"}])
    def test_papers_that_say_otherwise_stop_it(self, judge, said):
        with pytest.raises(UnsafeComponentError, match=r"lead@university.example .* signed the job, but its meta.json"):
            judge(LEAD, **said)

    def test_what_no_lead_signed_does_not_run(self, judge):
        with pytest.raises(UnsafeComponentError, match="hospital-east, which is no person, signed"):
            judge("hospital-east")

    @attack(
        "take up what a hospital keeps of somebody else's job",
        who="a lead, with the server's operator",
        happens="refused by the hospital, which remembers who submitted a job",
        says="job JOB was submitted by another@...: only its submitter or a project admin goes on from it",
    )
    def test_only_the_submitter_or_a_project_admin_goes_on_from_what_a_site_keeps(self, judge):
        judge(LEAD, resume=[EARLIER])  # nothing of that job is here, so nothing can be taken from it
        keep_record(judge.personal / EARLIER / SITE, "another@university.example")
        with pytest.raises(UnsafeComponentError, match=f"{EARLIER} was submitted by another@.* only its submitter"):
            judge(LEAD, resume=[EARLIER])
        (judge.personal / EARLIER / SITE / "job.json").unlink()
        with pytest.raises(UnsafeComponentError, match="does not say here whose it was"):
            judge(LEAD, resume=[EARLIER])
        keep_record(judge.personal / EARLIER / SITE, LEAD)
        judge(LEAD, resume=[EARLIER])

    def test_a_project_admin_goes_on_from_any(self, judge):
        keep_record(judge.personal / EARLIER / SITE, LEAD)
        judge(ADMIN, resume=[EARLIER], name=ADMIN, role="project_admin")


@pytest.mark.parametrize("name", EVERYBODY)
def test_a_certificate_says_what_its_key_is_for(kits, name):
    kit = open_kit(kits / name)
    extensions = kit.certificate.extensions
    ways = set(extensions.get_extension_for_class(ExtendedKeyUsage).value)
    serves = kit.kind != "admin"
    assert ways == {ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if serves else [])}
    usage = extensions.get_extension_for_class(KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment, usage.key_cert_sign) == (True, not serves, False)


def test_the_start_script_is_executable(kits):
    assert stat.S_IMODE((kits / SITE / "startup" / "sub_start.sh").stat().st_mode) & stat.S_IXUSR
