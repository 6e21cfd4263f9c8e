"""A hospital's process does not know how to misbehave: no import brings it, no job and no site file names it."""

import json
import subprocess
import sys

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.configuration_text import check_configurations
from fedbrats.flare.kit.job_rules import find_classes, find_places
from fedbrats.flare.kit.policy import (
    ALLOWED_CLASSES,
    GUARD_COMPONENT,
    PRIVACY,
    REJOIN_COMPONENT,
    RULES_COMPONENT,
)
from fedbrats.jobs.build import build_job, check_deployed
from fedbrats.misbehaviour.executors import MisbehavingCrossSiteExecutor, MisbehavingExecutor
from fedbrats.misbehaviour.jobs import CLIENT_CONFIG, MISBEHAVING, let_misbehave
from fedbrats.site.site_file import SITE_FILE, read_site_facts

ROOM = "fedbrats.misbehaviour"


def _classes_of(component):
    """Every class path in nested components."""
    if isinstance(component, dict):
        for key, value in component.items():
            yield from [value] if key == "path" else _classes_of(value)
    elif isinstance(component, list):
        for each in component:
            yield from _classes_of(each)


def test_nothing_that_a_kits_process_imports_brings_it():
    kit = _classes_of([GUARD_COMPONENT, PRIVACY, REJOIN_COMPONENT, RULES_COMPONENT])
    modules = sorted({path.rpartition(".")[0] for path in (*ALLOWED_CLASSES, *kit)})
    code = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules}]; "
        f"import fedbrats.admin.operate.doctor, fedbrats.admin.provision.builders, fedbrats.cli.main; "
        f"print([name for name in sys.modules if name.startswith({ROOM!r})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_kit_allows_its_classes():
    assert not [name for name in ALLOWED_CLASSES if ROOM.startswith(name) or name.startswith(ROOM)]


def test_a_site_file_that_names_a_misbehaviour_is_refused(tmp_path):
    folders = dict.fromkeys(("data_dir", "cache_dir", "personal_dir"), "data")
    (tmp_path / SITE_FILE).write_text(json.dumps({**folders, "misbehaviour": {"site-1": "noise"}}))
    with pytest.raises(ConfigurationError, match=r"site site-1: .* an unknown entry .misbehaviour"):
        read_site_facts(tmp_path, "site-1")


@pytest.mark.parametrize("job", ["fedavg", "evaluate"])
def test_a_job_of_an_experiment_names_the_classes_that_there_are(job, tmp_path, trained_results):
    models = [trained_results] if job == "evaluate" else []
    folder = build_job(job, tmp_path, models=models)
    honest = (folder / CLIENT_CONFIG).read_text()
    let_misbehave(folder, {})
    assert (folder / CLIENT_CONFIG).read_text() == honest
    for _ in range(2):  # a job that is resumed has them already
        let_misbehave(folder, {"site-1": "noise"})
    (executor,) = [entry["executor"] for entry in json.loads((folder / CLIENT_CONFIG).read_text())["executors"]]
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in (MisbehavingExecutor, MisbehavingCrossSiteExecutor)}
    assert kinds == set(MISBEHAVING.values())
    assert executor["path"] in kinds
    assert executor["args"]["misbehaviour"] == {"site-1": "noise"}
    check_configurations(folder / "app" / "config")  # the rules of a kit find nothing else in it
    check_deployed(folder / "app" / "config")
    assert not [*find_places(executor), *find_classes(executor)]
