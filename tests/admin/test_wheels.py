"""Machines without internet: packages and checksums in one folder, installed by the list, compared by the doctor."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from importlib.metadata import Distribution

import pytest

from fedbrats.admin.operate.doctor import files as doctor_files
from fedbrats.admin.provision.lean import make_lean
from fedbrats.admin.wheels import Listed, read_requirements, read_wheel
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from tests.pages.reading import lines_of
from tests.provisioning.test_runbook import PAGES

FILLED = "x" * 100


def write_wheel(folder, name, version, needs=(), files=()):
    """A wheel with a module, a script, these files, and files in the folder that pip moves to the others."""
    about = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content = {
        f"{name}/__init__.py": f"version = {version!r}\n",
        f"{name}-{version}.data/purelib/{name}/moved.py": "moved = True\n",
        f"{name}-{version}.data/scripts/{name}-script": "#!python\nprint(1)\n",
        f"{about}/METADATA": metadata + "".join(f"Requires-Dist: {each}\n" for each in needs),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content |= dict.fromkeys(files, FILLED)
    rows = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in content.items()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in content.items():
            wheel.writestr(inside, text)
        wheel.writestr(f"{about}/RECORD", "\n".join([*rows, f"{about}/RECORD,,"]) + "\n")
    return path


def _digest(text):
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """pip finds packages in a folder alone; another has a build of PyTorch for CUDA, of the same version."""
    folder = tmp_path_factory.mktemp("index")
    write_wheel(folder / "packages", "torch", "2.13.0")
    cuda = folder / "cuda" / "torch"
    name = write_wheel(cuda, "torch", "2.13.0+cu1").name
    (cuda / "index.html").write_text(f'<!DOCTYPE html><html><body><a href="{name}">{name}</a></body></html>')
    write_wheel(folder, "fedbrats", "0.1.0", needs=["torch>=2"])
    return folder


@pytest.fixture(scope="module", autouse=True)
def only_this_index(index):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(index / "packages"))
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        yield


def fetch(folder, index, *words):
    wheel = index / "fedbrats-0.1.0-py3-none-any.whl"
    return main(["provision", "wheelhouse", str(folder), "--wheel", str(wheel), *words])


@pytest.fixture(scope="module")
def wheelhouse(index):
    """Read only: tests share it."""
    folder = index / "wheelhouse"
    assert fetch(folder, index, "--torch-index", (index / "cuda").as_uri()) == 0
    return folder


@pytest.fixture(scope="module")
def site_packages(wheelhouse):
    """What pip installed from the folder by the list. Read only."""
    target = wheelhouse.parent / "site-packages"
    words = ["--find-links", wheelhouse / "wheels", "--require-hashes", "--no-compile", "--target", target]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *words, "-r", wheelhouse / "requirements.txt"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def installed(site_packages, tmp_path):
    """Finds a package of a copy that a test may change by its name."""
    folder = shutil.copytree(site_packages, tmp_path / "site-packages")

    def find(name):
        return next(iter(Distribution.discover(name=name, path=[str(folder)])))

    find.folder = folder
    return find


def test_what_was_fetched_is_what_is_installed(wheelhouse, installed):
    listed = read_requirements(wheelhouse / "requirements.txt")
    assert [(each.name, each.version) for each in listed] == [("fedbrats", "0.1.0"), ("torch", "2.13.0+cu1")], (
        "the build of the index that was named"
    )
    assert (installed.folder / "torch" / "moved.py").is_file()
    found = doctor_files.judge_listed(wheelhouse / "requirements.txt", installed)
    assert (found.state, found.found[:2]) == ("ok", "2 ")


def test_the_checksums_of_the_folder_are_right(wheelhouse):
    sums = dict(reversed(line.split("  ")) for line in (wheelhouse / "SHA256SUMS").read_text().splitlines())
    found = {path.relative_to(wheelhouse).as_posix() for path in wheelhouse.rglob("*") if path.is_file()}
    assert set(sums) == found - {"SHA256SUMS"}
    assert all(hashlib.sha256((wheelhouse / name).read_bytes()).hexdigest() == each for name, each in sums.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "torch" / "moved.py").write_text("moved = False\n"), "torch/moved.py was altered"),
        (lambda folder: (folder / "torch" / "__init__.py").unlink(), "torch/__init__.py was altered"),
        (
            lambda folder: (folder / "torch-2.13.0+cu1.dist-info" / "RECORD").write_text("torch/__init__.py,,\n"),
            "torch was not installed from the listed wheel",
        ),
    ],
    ids=["altered", "missing", "another record"],
)
def test_an_altered_package_is_told(wheelhouse, installed, change, words):
    change(installed.folder)
    found = doctor_files.judge_listed(wheelhouse / "requirements.txt", installed)
    assert (found.state, found.owner) == ("failed", "hospital IT")
    assert words in found.found


def test_what_pip_cannot_fetch_is_one_sentence_and_leaves_nothing(index, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert fetch(tmp_path / "wheelhouse", index) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "pip cannot fetch the packages: ERROR" in said
    assert "torch" in said
    assert not (tmp_path / "wheelhouse").exists()


@pytest.mark.parametrize("line", ["torch==2.13.0", "torch>=2", "--index-url elsewhere"])
def test_a_list_of_another_form_is_refused(tmp_path, line):
    (tmp_path / "requirements.txt").write_text(line + "\n")
    with pytest.raises(ConfigurationError, match="is no line of `fedbrats provision wheelhouse`"):
        read_requirements(tmp_path / "requirements.txt")


def test_a_file_that_is_no_wheel_is_refused(tmp_path):
    (tmp_path / "torch-1-py3-none-any.whl").write_text("nothing")
    with pytest.raises(ConfigurationError, match="is no wheel"):
        read_wheel(tmp_path / "torch-1-py3-none-any.whl")


def test_what_nobody_reads_is_taken_out_and_the_rest_installs_and_compares(index, tmp_path):
    """Of the wheel that is made so, pip installs what its RECORD says, and the doctor finds nothing altered."""
    files = ("test/test_api", "include/c10.h", "bin/protoc", "bin/torch_shm_manager", "lib/libtorch.so", "testing/a.py")
    wheel = write_wheel(tmp_path / "wheels", "torch", "1.0", files=[f"torch/{name}" for name in files])
    other = write_wheel(tmp_path / "wheels", "monai", "1.0", files=["monai/tests/a.py"])
    before = other.read_bytes()
    assert make_lean(wheel) == 3 * len(FILLED)
    assert make_lean(wheel) == make_lean(other) == 0
    assert other.read_bytes() == before
    assert sorted(path.suffix for path in wheel.parent.iterdir()) == [".whl", ".whl"]
    listed = tmp_path / "requirements.txt"
    listed.write_text(read_wheel(wheel).line() + "\n")
    target = tmp_path / "installed"
    words = [
        "--no-index",
        "--find-links",
        wheel.parent,
        "--require-hashes",
        "--no-compile",
        "--target",
        target,
        "-r",
        listed,
    ]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *map(str, words)], check=True)
    kept = {path.relative_to(target / "torch").as_posix() for path in (target / "torch").rglob("*") if path.is_file()}
    assert kept == {"__init__.py", "moved.py", "bin/torch_shm_manager", "lib/libtorch.so", "testing/a.py"}

    def find(name):
        return next(iter(Distribution.discover(name=name, path=[str(target)])))

    assert doctor_files.judge_listed(listed, find).state == "ok"


def test_a_lean_folder_of_packages_is_made_by_the_command(index, tmp_path, capsys):
    assert fetch(tmp_path / "wheelhouse", index, "--lean", "--json") == 0
    assert "left out 0 MB" in capsys.readouterr().err


def test_a_line_is_read_as_it_was_written():
    listed = Listed("torch", "2.13.0+cpu", "a" * 64, "b" * 64)
    assert listed.line() == f"torch==2.13.0+cpu --hash=sha256:{'a' * 64}  # files sha256:{'b' * 64}"


def test_the_readmes_of_kits_say_how_to_install_without_internet():
    for page in PAGES[1:]:
        lines = [line for line in lines_of(page.read_text()) if "--no-index" in line]
        assert all("--require-hashes" in line and "local/requirements.txt" in line for line in lines)
        assert lines, page.name
