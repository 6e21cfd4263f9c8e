"""A support bundle helps, and has no key, no password, no token, no case and no patient in any of its bytes."""

import json
import stat
import unicodedata
import zipfile

import pytest

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate import support
from fedbrats.admin.operate.redaction import Redactor, names_below
from fedbrats.cli.main import main
from tests.security.attacks import attack

JOB = "18f294b6-815c-47c5-b35f-0d74ab09547e"
TOKEN = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
PATIENTS = ("Müller-1961", "BraTS-GLI-00042", "pat_017")
PASSWORDS = ("hunter2hunter2", "correct horse", "s3cr3t!")
OTHER_KEY = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v3VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"


def datalist():
    def item(name):
        files = [f"./{name}/{name}_{each}.nii.gz" for each in ("t1", "t1ce", "t2", "flair")]
        return {"case": f"{name}_ses-1", "patient": name, "image": files, "label": f"{name}_seg.nii.gz"}

    return {"name": "hospital-north", "label_convention": "2021", "training": [item(name) for name in PATIENTS]}


def log():
    decomposed = unicodedata.normalize("NFD", PATIENTS[0])
    pem = f"-----BEGIN PRIVATE KEY-----\n{OTHER_KEY}\n-----END PRIVATE KEY-----"
    return "\n".join(
        [
            "2026-01-01 - start - INFO - the site begins; site=hospital-north",
            *(f"cannot read /data/{name}/{name}_t1.nii.gz of {name}_ses-1" for name in PATIENTS),
            f"{decomposed} and {json.dumps(PATIENTS[0])} and brats-gli-00042",
            f"job={JOB} runs",
            f"Successfully registered client. Token: {TOKEN}",
            f"session {TOKEN}",
            f'{{"password": "{PASSWORDS[1]}"}}',
            f"Authorization: Bearer {OTHER_KEY[:20]}",
            f"GET https://me:{PASSWORDS[0]}@mlflow.example/api?token={PASSWORDS[2]}",
            pem,
            json.dumps({"said": pem}),
            "the last line",
        ]
    )


@pytest.fixture
def troubled(site_kit):
    """A hospital whose kit has everything in it that must not leave."""
    data = site_kit.parent / "data"
    data.mkdir()
    (data / "datalist.json").write_text(json.dumps(datalist()))
    for name in PATIENTS:
        (data / name).mkdir()
    (site_kit / JOB).mkdir()
    for path in (site_kit / "log.txt", site_kit / JOB / "log.txt", site_kit / "audit.log", site_kit / "console.txt.1"):
        path.write_text(log())
    resources = site_kit / "local" / "resources.json.default"
    document = json.loads(resources.read_text())
    (site_kit / "local" / "resources.json").write_text(json.dumps({**document, "proxy_password": PASSWORDS[2]}))
    (site_kit / "local" / "environment").write_text(f"https_proxy=http://me:{PASSWORDS[0]}@proxy.example\n")
    (site_kit / "log_error.txt").write_text((site_kit / "startup" / "client.key").read_text())
    (site_kit / f"{PATIENTS[1]}.nii.gz").write_bytes(b"a scan")
    return site_kit


def forbidden(kit):
    keys = [line for path in kit.rglob("*.key") for line in path.read_text().splitlines() if "-----" not in line]
    certificates = [line for path in kit.rglob("*.crt") for line in path.read_text().splitlines() if line]
    assert keys
    names = {unicodedata.normalize(form, name) for name in PATIENTS for form in ("NFC", "NFD")}
    names |= {json.dumps(PATIENTS[0])[1:-1]}
    return {*keys, *certificates, *names, *PASSWORDS, TOKEN, OTHER_KEY, OTHER_KEY[:20], "-----BEGIN"}


def read_every_byte(archive):
    found = archive.read_bytes()
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            found += name.encode() + packed.read(name)
    return found.decode("utf-8", errors="replace").lower()


@pytest.mark.parametrize("break_datalist", [False, True])
def test_no_byte_of_it_is_of_a_key_a_password_a_token_or_a_patient(troubled, tmp_path, break_datalist):
    if break_datalist:
        path = troubled.parent / "data" / "datalist.json"
        path.write_text(path.read_text()[:-20])
    archive = tmp_path / "support.zip"
    assert main(["support-bundle", str(troubled), "--out", str(archive), "--offline", "--json"]) == 0
    everything = read_every_byte(archive)
    assert [word for word in forbidden(troubled) if word.lower() in everything] == []
    for word in (JOB, "the site begins; site=hospital-north", "the last line", "consortium.json"):
        assert word.lower() in everything, f"without {word} it is of no help"
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600


def test_a_site_whose_cases_nobody_knows_sends_no_log(troubled, tmp_path):
    """A mount that is gone: the names in the logs could not be taken out."""
    (troubled.parent / "data").rename(troubled.parent / "elsewhere")
    archive = tmp_path / "bundle.zip"
    assert main(["support-bundle", str(troubled), "--out", str(archive), "--offline"]) == 0
    with zipfile.ZipFile(archive) as packed:
        assert [name for name in packed.namelist() if name.startswith("logs/")] == ["logs/left-out.txt"]
    everything = read_every_byte(archive)
    assert not [each for each in PATIENTS if each.lower() in everything]


def test_it_says_what_a_helper_asks_for(troubled, tmp_path):
    entries = support.write_bundle(open_kit(troubled), tmp_path / "support.zip", offline=True).entries
    assert {"versions.json", "certificates.json", "doctor.json", "health.json", "files.txt"} <= set(entries)
    assert {f"logs/{JOB}/log.txt", "logs/log.txt", "logs/console.txt.1", "settings/local/fedbrats.json"} <= set(entries)
    with zipfile.ZipFile(tmp_path / "support.zip") as packed:
        assert json.loads(packed.read("versions.json"))["packages"]["nvflare"]
        rows = json.loads(packed.read("doctor.json"))
        assert {row["state"] for row in rows} <= {"ok", "warning", "failed"}
        assert json.loads(packed.read("settings/local/resources.json"))["proxy_password"] == "(removed)"


def test_a_log_that_is_cut_inside_a_key_shows_none_of_it(troubled, tmp_path, monkeypatch):
    text = (troubled / "startup" / "client.key").read_text()
    for length in (len(text) // 2, 40):
        monkeypatch.setattr(support, "MOST_LOG", length)
        archive = tmp_path / "support.zip"
        support.write_bundle(open_kit(troubled), archive, offline=True)
        everything = read_every_byte(archive)
        assert [line for line in text.splitlines() if line.lower() in everything] == []


def test_a_redactor_leaves_alone_what_is_nobodys():
    redactor = Redactor(names=["017", "ab"], job_ids=[JOB])
    text = f"round=3 site=hospital-north job={JOB} path=/srv/fedbrats/hospital-north/local abc 0170 token expired"
    assert redactor.clean(text) == text
    assert redactor.clean("case 017") == "case (a case)"


def test_names_are_found_however_a_datalist_is_broken(tmp_path):
    assert names_below(tmp_path / "none") == set()
    (tmp_path / "datalist.json").write_text('{"training": [{"case": "one case", "image": ["a/two_t1.nii.gz"')
    (tmp_path / "three").mkdir()
    assert {"one case", "two_t1", "three"} <= names_below(tmp_path)
    assert not {"training", "image"} & names_below(tmp_path)


def test_a_server_has_one_too(server_kit, tmp_path):
    entries = support.write_bundle(open_kit(server_kit), tmp_path / "support.zip", offline=True).entries
    assert "settings/startup/fed_server.json" in entries
    keys = [line for path in server_kit.rglob("*.key") for line in path.read_text().splitlines()]
    everything = read_every_byte(tmp_path / "support.zip")
    assert keys
    assert [line for line in keys if line.lower() in everything] == []


@attack(
    "keep a machine's `fedbrats support-bundle` busy for days, by texts that end up in its log",
    who="a hospital, or a person of any role",
    happens="each sign of a log is looked at a bounded number of times",
)
@pytest.mark.parametrize("unit", ["    a\n", "://a", "a/", "A1a", "token=", "token  ", "-----BEGIN A-----", "bearer "])
def test_a_log_of_any_text_is_cleaned_in_time(unit):
    """A second where the time grows with the length; hours where it grows with its square."""
    names = {f"Case_{number:05}" for number in range(1000)}
    text = unit * (300_000 // len(unit))
    cleaned = Redactor(names, ["k" * 64]).clean(f"{text}\n case_00007 a/b.nii.gz\n")
    assert "00007" not in cleaned
    assert ".nii" not in cleaned


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_end_of_a_key_whose_beginning_was_cut_is_taken_out(end):
    text = end.join(["a line = of a log", "QUJD", "  REVG", "  -----END PRIVATE KEY----- and more", "the next", ""])
    assert Redactor().clean(text) == end.join(["a line = of a log", "(removed) and more", "the next", ""])
