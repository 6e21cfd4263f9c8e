"""Each way in which a participant can fail to take part has a row in the doctor's table, and a line in its own log."""

import json
import shutil
import socket
import subprocess
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from importlib.metadata import PathDistribution

import monai
import pytest

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.doctor import examine, files
from fedbrats.site.register import say_too_many
from fedbrats.site.site_file import SITE_FILE


def findings(kit):
    return [finding for finding in examine(open_kit(kit), offline=True) if finding.state != "ok"]


def row(kit, check):
    (found,) = [finding for finding in examine(open_kit(kit), offline=True) if finding.check == check]
    return found


def test_garbage_in_the_site_file_is_one_row_for_the_hospitals_it(site_kit):
    (site_kit / "local" / SITE_FILE).write_text('{"data_dir": ')
    rows = [finding for finding in findings(site_kit) if SITE_FILE in finding.found]
    assert [(finding.check, finding.state, finding.owner) for finding in rows] == [
        ("settings", "failed", "hospital IT")
    ]


def test_a_storage_that_cannot_be_written_to(server_kit):
    (server_kit.parent / "storage").write_text("a file, and no folder")
    assert row(server_kit, "folder jobs").state == "failed"
    assert "cannot be written to" in row(server_kit, "folder jobs").found


@pytest.mark.skipif(sys.platform != "linux", reason="mounts of Linux")
def test_a_kit_on_a_read_only_disk(site_kit):
    """Bind-mounted read only in a namespace of its own, as a container would have it."""
    code = (
        f"from pathlib import Path; from fedbrats.admin.kits import open_kit; "
        f"from fedbrats.admin.operate.doctor import machine; "
        f"print([f.found for f in machine.check(open_kit(Path({str(site_kit)!r}))) if f.state == 'failed'])"
    )
    lines = f'mount --bind {site_kit} {site_kit} && mount -o remount,bind,ro {site_kit} && {sys.executable} -c "{code}"'
    done = subprocess.run(["unshare", "--mount", "bash", "-c", lines], capture_output=True, text=True)
    if "unshare failed" in done.stderr or "permission denied" in done.stderr:
        pytest.skip("this machine gives no mount namespaces")
    assert "cannot be written to: Read-only file system" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("make", "words"), [(False, "is not there: is its file system"), (True, "is empty: is its file")]
)
def test_a_mount_that_is_gone(site_kit, tmp_path, make, words):
    if make:
        (tmp_path / "data").mkdir()
    found = row(site_kit, "data")
    assert (found.state, found.owner) == ("failed", "hospital IT")
    assert words in found.found


def test_the_servers_port(server_kit):
    path = server_kit / "startup" / "fed_server.json"
    document = json.loads(path.read_text())
    with socket.create_server(("127.0.0.1", 0)) as other:
        document["servers"][0]["service"]["target"] = f"localhost:{other.getsockname()[1]}"
        path.write_text(json.dumps(document))
        assert "is taken" in row(server_kit, "port").found
    assert row(server_kit, "port").state == "ok"


def test_more_cases_than_were_registered(site_kit, phantom_sites):
    site_file, consortium = (site_kit / "local" / name for name in (SITE_FILE, "consortium.json"))
    facts = {**json.loads(site_file.read_text()), "data_dir": str(phantom_sites / "site-1"), "min_cases": 1}
    site_file.write_text(json.dumps(facts))
    about = json.loads(consortium.read_text())
    assert about["registered_cases"] == 120, "the kit says what was agreed on"
    assert not [finding for finding in findings(site_kit) if finding.check == "registered cases"]
    consortium.write_text(json.dumps({**about, "registered_cases": 2}))
    assert "2 are registered with the consortium" in row(site_kit, "registered cases").found
    assert say_too_many(3, site_kit / "local")
    assert say_too_many(2, site_kit / "local") is None


def test_a_server_without_a_register_of_cases(server_kit):
    path = server_kit / "local" / SITE_FILE
    whole = json.loads(path.read_text())
    assert row(server_kit, "register").state == "ok"
    path.write_text(json.dumps({**whole, "registered_cases": {"hospital-north": 120}}))
    assert "lacks hospital-central" in row(server_kit, "register").found
    path.write_text(json.dumps({name: value for name, value in whole.items() if name != "registered_cases"}))
    assert row(server_kit, "register").state == "warning"


@pytest.fixture
def package(tmp_path):
    """An installed package, as pip leaves it."""
    root = tmp_path / "site-packages"
    (root / "monai").mkdir(parents=True)
    shutil.copy(monai.__file__, root / "monai" / "__init__.py")
    about = root / "monai-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: monai\nVersion: 1\n")
    digest = urlsafe_b64encode(sha256((root / "monai" / "__init__.py").read_bytes()).digest()).rstrip(b"=").decode()
    (about / "RECORD").write_text(f"monai/__init__.py,sha256={digest},1\n")
    return PathDistribution(about)


def test_a_package_that_is_as_its_wheel(package):
    assert files.judge(package).state == "ok"


def test_a_line_added_to_an_installed_package(package):
    path = package.locate_file("monai/__init__.py")
    path.write_text(path.read_text() + "\nimport os\n")
    found = files.judge(package)
    assert found.state == "failed"
    assert "altered monai/__init__.py (1)" in found.found


def test_a_file_added_to_an_installed_package(package):
    package.locate_file("monai/extra.py").write_text("")
    assert "added " in files.judge(package).found
