"""A job is app/ with jobs/<name>/ laid over it; a variable that is not there is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.policy import SERVER_CLASSES, SITE_CLASSES
from fedbrats.jobs.build import (
    NO_VARIABLES,
    build_job,
    list_jobs,
    parse_settings,
    read_variables,
)

JOBS = [job.name for job in list_jobs()]


def configuration(job_dir: Path, side: str) -> dict:
    return json.loads((job_dir / "app" / "config" / f"config_fed_{side}.json").read_text())


def component_paths(node) -> list[str]:
    if isinstance(node, dict):
        own = [node["path"]] if isinstance(node.get("path"), str) else []
        return own + [path for value in node.values() for path in component_paths(value)]
    if isinstance(node, list):
        return [path for value in node for path in component_paths(value)]
    return []


@pytest.mark.parametrize("name", JOBS)
def test_every_job_builds_into_a_submittable_folder(name, build_any_job):
    job_dir = build_any_job(name)
    meta = json.loads((job_dir / "meta.json").read_text())
    assert meta["name"] == name
    assert meta["deploy_map"] == {"app": ["@ALL"]}
    assert not [path for path in job_dir.rglob("*") if path.is_symlink()]
    assert not (job_dir / "app" / "custom").exists()


@pytest.mark.parametrize("name", JOBS)
def test_every_component_of_a_job_is_on_the_allow_list_and_exists(name, build_any_job):
    from importlib import import_module

    job_dir = build_any_job(name)
    for side in ("server", "client"):
        document = configuration(job_dir, side)
        for path in component_paths(document):
            path = document[path.strip("{}")] if path.startswith("{") else path
            assert path in (SERVER_CLASSES if side == "server" else SITE_CLASSES)
            module, _, attribute = path.rpartition(".")
            assert isinstance(getattr(import_module(module), attribute), type)


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("side", ["server", "client"])
def test_every_variable_a_configuration_uses_is_defined_in_it(name, side, build_any_job):
    """FLARE resolves an undefined {variable} to None without a word (seen in 2.9.0)."""
    import re

    document = configuration(build_any_job(name), side)
    used = set(re.findall(r'"\{(\w+)\}"', json.dumps(document)))
    assert used <= set(document) - NO_VARIABLES


def test_set_changes_a_variable_in_every_file_that_has_it(tmp_path):
    job_dir = build_job("fedavg", tmp_path, {"num_rounds": 3, "seed": 7})
    assert configuration(job_dir, "server")["num_rounds"] == 3
    assert configuration(job_dir, "server")["seed"] == configuration(job_dir, "client")["seed"] == 7
    assert read_variables(job_dir)["num_rounds"] == 3


def test_an_unknown_variable_is_refused_with_the_names_there_are(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no variable 'rounds'.*num_rounds"):
        build_job("fedavg", tmp_path, {"rounds": 3})
    assert list(tmp_path.iterdir()) == []


def test_flares_own_keys_are_no_variables(tmp_path):
    with pytest.raises(ConfigurationError, match="no variable 'components'"):
        build_job("fedavg", tmp_path, {"components": []})


@pytest.mark.parametrize("value", ["many", True, 2.5, 3.0, [3]])
def test_a_value_of_another_type_is_refused(tmp_path, value):
    with pytest.raises(ConfigurationError, match=r"--set: num_rounds is .*, expected a whole number from 1 to 1000000"):
        build_job("fedavg", tmp_path, {"num_rounds": value})


def test_fractions_go_where_the_default_is_written_with_one(tmp_path):
    job_dir = build_job("fedavg", tmp_path, {"first_deadline_s": 90.5, "deadline_floor_s": 30, "poll_interval_s": 1})
    variables = read_variables(job_dir)
    assert (variables["first_deadline_s"], variables["deadline_floor_s"]) == (90.5, 30)
    assert isinstance(variables["poll_interval_s"], float)
    for name in ("batch_size", "personal_rounds", "seed", "evaluation_timeout_s"):
        with pytest.raises(ConfigurationError, match=rf"{name} is 1\.5, expected a whole number"):
            build_job("fedavg", tmp_path, {name: 1.5})


def test_an_unknown_job_is_refused_with_the_names_there_are(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no job named 'fedavgg', nor a folder of one; did you mean fedavg\?"):
        build_job("fedavgg", tmp_path)


def test_models_go_where_they_are_needed_and_only_there(tmp_path, trained_results):
    with pytest.raises(ConfigurationError, match="name them with --models"):
        build_job("evaluate", tmp_path)
    with pytest.raises(ConfigurationError, match="fedavg takes no models"):
        build_job("fedavg", tmp_path, models=[trained_results])
    assert list(tmp_path.iterdir()) == []
    job_dir = build_job("evaluate", tmp_path, models=[trained_results])
    assert read_variables(job_dir)["models"] == ["train"]
    assert read_variables(job_dir)["spacing_mm"] == 8.0
    assert (job_dir / "app" / "models" / "train.safetensors").is_file()


def test_a_job_that_evaluates_takes_settings_too(tmp_path, trained_results):
    words = ["--models", str(trained_results), "--set", "evaluation_timeout_s=60", "--set", "final_flips=false"]
    assert main(["job", "build", "evaluate", "--out", str(tmp_path), *words]) == 0
    variables = read_variables(tmp_path / "evaluate")
    assert (variables["evaluation_timeout_s"], variables["final_flips"]) == (60, False)
    assert variables["spacing_mm"] == 8.0


def test_an_older_build_is_replaced_and_nothing_else_is_left(tmp_path):
    (build_job("fedavg", tmp_path) / "stale").touch()
    job_dir = build_job("fedavg", tmp_path)
    assert not (job_dir / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["fedavg"]


def test_with_code_carries_the_package_alone(tmp_path):
    job_dir = build_job("fedavg", tmp_path, with_code=True)
    code = (
        f"import sys; sys.path.insert(0, {str(job_dir / 'app' / 'custom')!r}); "
        "import fedbrats.flare.site.executor as e; "
        f"print(e.__file__)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.startswith(str(job_dir))
    assert not list(job_dir.rglob("__pycache__"))


def test_settings_are_json_where_they_read_as_json():
    assert parse_settings(["a=1", "b=x=y", "c=[1, 2]", "d=null"]) == {"a": 1, "b": "x=y", "c": [1, 2], "d": None}
    with pytest.raises(ConfigurationError, match="name=value"):
        parse_settings(["a"])


# What each method is: the variables in which its job differs from app/.
PRIVATE = {"dp_noise", "dp_rate", "local_steps", "validate_received", "validate_trained"}
DIFFERENCES = {
    "fedavg": set(),
    "local_only": {"personal"},
    "fedper": {"personal"},
    "fedper_decoder": {"personal"},
    "fedbn": {"personal"},
    "fedprox": {"proximal_mu"},
    "fine_tuned": {"personal_rounds"},
    "best_of": {"personal_rounds", "best_of"},
    "fedavg_dp": PRIVATE,
    "fine_tuned_dp": PRIVATE | {"trainable"},
    "median": {"aggregator"},
    "trimmed_mean": {"aggregator", "aggregator_arguments", "trim"},
    "contribution": {"aggregator", "aggregator_arguments", "factor"},
    "contribution_fedper": {"aggregator", "aggregator_arguments", "factor", "personal"},
    "fedce": {"aggregator", "measure_minus_model"},
    "scaffold": {"aggregator", "hooks"},
    "feddyn": {"aggregator", "hooks"},
    "ditto": {"hooks"},
    "fedrep": {"hooks", "personal"},
    "fedadam": {"aggregator"},
    "fedyogi": {"aggregator"},
    "geometric_median": {"aggregator"},
    "multi_krum": {"aggregator"},
    "fedopt": {
        "shareable_generator",
        "shareable_generator_arguments",
        "server_learning_rate",
        "server_momentum",
    },
    # not a method but a whole study: its network, its preparation, its loop
    "original": {"network", "volume_shape", "normalisation", "local_epochs", "keep_optimiser", "final_flips"}
    | {"optimiser", "learning_rate", "schedule", "warmup_share", "weight_decay", "gradient_clip", "bce_weight"}
    | {"flips", "intensity", "noise", "rotation_degrees", "scaling", "modality_dropout", "patch_size"}
    | {"component_share", "start", "start_sha256"},
}


def test_every_job_says_in_which_keys_it_differs():
    assert set(DIFFERENCES) == {job.name for job in list_jobs() if not job.needs_models}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_job_differs_from_the_app_only_in_what_its_method_is(name, tmp_path):
    job, app = build_job(name, tmp_path), build_job("fedavg", tmp_path / "app")
    for side in ("server", "client"):
        ours, theirs = configuration(job, side), configuration(app, side)
        changed = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
        assert changed <= DIFFERENCES[name]
    ours, theirs = read_variables(job), read_variables(app)
    assert {key for key in ours if ours[key] != theirs.get(key)} == DIFFERENCES[name]
