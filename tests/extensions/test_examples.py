"""The worked examples and the template, installed by pip beside fedbrats in an environment of their own."""

import json
import subprocess
from pathlib import Path

import pytest

from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.extensions.template import write_package

ASK = """
import json, sys
from pathlib import Path
from fedbrats.jobs.build import build_job, read_variables
from fedbrats.jobs.named_classes import packages_named
from fedbrats.jobs.plan import check_settings
found = {}
for job in sys.argv[1:]:
    check_settings(job, {})
    built = build_job(job, Path("built"), called=Path(job).parent.name)
    found[Path(job).parent.name] = [package.line.split()[0] for package in packages_named(read_variables(built))]
print(json.dumps(found))
"""


def test_the_examples_pass_their_own_tests_where_pip_installed_them(environment):
    python, packages, folder = environment
    tests = [str(package / "tests") for package in packages]
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "-c", "/dev/null", *tests]
    done = subprocess.run([python, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{4 * len(packages) // 2} passed" in done.stdout


def test_the_jobs_of_the_examples_name_their_packages(environment):
    python, packages, folder = environment
    jobs = [str(package / "job") for package in packages]
    done = subprocess.run([python, "-c", ASK, *jobs], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {package.name: [f"{module_of(package)}==0.1.0"] for package in packages}


def module_of(package: Path) -> str:
    [source] = (package / "src").iterdir()
    return source.name


def test_a_name_that_cannot_be_is_refused_and_nothing_is_written_over(tmp_path, capsys):
    for name in ("Mine", "my-method", "class", "fedbrats", "../x", ""):
        with pytest.raises(ConfigurationError, match="no name for a package"):
            write_package("method", name, tmp_path)
    assert main(["new", "loss", "mine", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path / "mine")}
    assert "class Mine(nn.Module)" in (tmp_path / "mine" / "src" / "mine" / "__init__.py").read_text()
    assert main(["new", "loss", "mine", "--out", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
