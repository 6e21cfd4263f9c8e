"""Every variable is declared once; JSON, --set, the check of a whole job, server and site go by it."""

import json
from functools import cache
from pathlib import Path

import pytest

from fedbrats.cli.main import main
from fedbrats.data.batches.settings import Augmentation
from fedbrats.errors import ConfigurationError
from fedbrats.federation.factor.settings import FactorSettings
from fedbrats.federation.participation import Participation
from fedbrats.jobs.build import (
    CONFIGURATIONS,
    NO_VARIABLES,
    build_job,
    check_deployed,
    find_job,
    job_variables,
    list_jobs,
)
from fedbrats.jobs.plan import check_built, check_settings
from fedbrats.jobs.settings import TABLES, check_job, variables
from fedbrats.model.settings import TrainingSettings
from fedbrats.settings import Settings, declarations
from fedbrats.shipped import shipped_dir

NAMES = sorted(variables())
WRONG_TYPES = ("many", True, 7, [True], {"a": 1})
# Variables whose value is free, or is judged by what it names: no bounds that a walk could cross.
UNBOUNDED = {"models", "aggregator_arguments", "shareable_generator_arguments"}
STRANGE = {
    "start": "nowhere.safetensors",
    "start_sha256": "no checksum",
    "network": "huge",
    "loss": "no such loss",
    "hooks": {"no class": {}},
    "personal": "headd",
    "trainable": "headd",
    "resume": ["yesterday"],
    "secure_sites": ["a site"],
    "aggregator": "no class",
    "shareable_generator": "/bin/sh",
    "factor": {"memory": -1},
}


@cache
def values_of(job: str) -> dict:
    return job_variables(find_job(job))


def owner(name: str) -> str:
    return next(job.name for job in list_jobs() if name in values_of(job.name))


def schema_of(table: type[Settings], field: str) -> list[dict]:
    schema = table.model_json_schema()["properties"][field]
    return [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]


def out_of_bounds(table: type[Settings], field: str) -> list:
    """Values of the right type just outside what a field takes."""
    [schema] = schema_of(table, field)
    step = 1 if schema["type"] == "integer" else 1e-3
    found = [schema[key] - step * max(1, abs(schema[key])) for key in ("minimum",) if key in schema]
    found += [schema[key] + step * max(1, abs(schema[key])) for key in ("maximum",) if key in schema]
    found += [schema[key] for key in ("exclusiveMinimum", "exclusiveMaximum") if key in schema]
    if "enum" in schema:
        found.append("no such choice")
    if "prefixItems" in schema:
        found += [[7, 8, 8], [8, 8, 4097], [8, 8]]
    return found


def test_the_walk_meets_every_number():
    """No number is declared without both bounds, and none without a sentence of meaning."""
    for table in (*(each.settings for each in TABLES), FactorSettings):
        for name, declared in declarations(table).items():
            assert declared.meaning.endswith("."), name
            [schema] = schema_of(table, name)
            if schema["type"] in ("integer", "number"):
                assert {"minimum", "exclusiveMinimum"} & schema.keys(), name
                assert {"maximum", "exclusiveMaximum"} & schema.keys(), name


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_type_and_a_value_out_of_bounds_are_refused_before_anything_starts(name, tmp_path, capsys):
    variable = variables()[name]
    [schema] = schema_of(variable.table, variable.field)
    kinds = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list, "object": dict}
    kind = kinds[schema["type"]]
    wrong = [value for value in WRONG_TYPES if not isinstance(value, kind) or (value is True and kind is not bool)]
    strange = [STRANGE[name]] if name in STRANGE else out_of_bounds(variable.table, variable.field)
    assert strange or name in UNBOUNDED or schema["type"] == "boolean"
    for value in [*wrong, *strange, *([] if variable.declared.nullable else [None])]:
        word = f"{name}={json.dumps(value)}"
        assert main(["job", "build", owner(name), "--out", str(tmp_path / "jobs"), "--set", word]) == 2, word
        sentence = capsys.readouterr().err.strip()
        assert len(sentence.splitlines()) == 1
        assert name in sentence or (name in STRANGE and str(value) in sentence), sentence
        assert "pydantic" not in sentence.lower()
    assert not (tmp_path / "jobs").exists()


def test_the_configurations_have_the_declared_defaults():
    for side in CONFIGURATIONS:
        document = json.loads((shipped_dir() / "app" / "config" / side).read_text())
        for name, value in document.items():
            if name not in NO_VARIABLES:
                default = variables()[name].declared.default
                assert (value, type(value)) == (default, type(default)), name


@pytest.mark.parametrize("job", [job.name for job in list_jobs()])
def test_every_variable_of_every_job_is_declared_and_valid(job):
    values = values_of(job)
    assert values.keys() <= variables().keys()
    check_job(values)
    assert {name: variables()[name].check(value) for name, value in values.items() if not isinstance(value, list)} == {
        name: value for name, value in values.items() if not isinstance(value, list)
    }


def test_every_declared_variable_is_one_of_some_job():
    assert {name for job in list_jobs() for name in values_of(job.name)} == set(NAMES)


def test_the_executor_and_the_workflow_get_every_setting_of_their_tables():
    config = shipped_dir() / "app" / "config"
    client, server = (json.loads((config / f"config_fed_{side}.json").read_text()) for side in ("client", "server"))
    args = client["executors"][0]["executor"]["args"]
    assert args["training"] == {name: f"{{{name}}}" for name in args["training"]}
    assert args["training"].keys() == TrainingSettings.model_fields.keys()
    rule = server["workflows"][0]["args"]["participation"]
    assert rule.keys() == Participation.model_fields.keys()


def test_augmentation_has_no_defaults_of_its_own():
    assert all(getattr(TrainingSettings(), name) == value for name, value in Augmentation())


def test_a_constant_of_the_factor_is_held_to_its_bounds():
    for name in FactorSettings.model_fields:
        for value in [*out_of_bounds(FactorSettings, name), None, "many"]:
            with pytest.raises(ConfigurationError, match=name):
                FactorSettings.read({name: value}, "factor")
    with pytest.raises(ConfigurationError, match="released and quarantined in turns"):
        FactorSettings(quarantine_share=0.6)


@pytest.mark.parametrize(
    ("job", "settings", "said"),
    [
        ("fedavg", {"rollback_drop": -1}, "rollback_drop is -1, expected a number from 0 to 1 or null"),
        ("contribution", {"factor": {"memory": -1}}, "factor: memory is -1, expected a number from 0"),
        ("trimmed_mean", {"trim": 0.7}, "trim is 0.7, expected a number from 0 to below 0.5"),
        ("trimmed_mean", {"trim": 0.5}, "trim is 0.5"),
        ("fedavg", {"rollback_drop": 0.1, "validate_received": False}, "no site would measure the model"),
        ("fedavg", {"rollback_drop": 0.1, "validate_every": 2}, "found out only rounds later"),
        ("fedavg", {"spacing_mm": 2, "volume_shape": [64, 64, 64]}, "exclude each other"),
    ],
)
def test_what_would_go_wrong_in_a_round_is_refused_at_the_build(job, settings, said, tmp_path):
    with pytest.raises(ConfigurationError, match=said):
        check_settings(job, settings)
    if len(settings) == 1:
        with pytest.raises(ConfigurationError, match=said):
            build_job(job, tmp_path, settings)
    else:
        with pytest.raises(ConfigurationError, match=said):
            check_built(build_job(job, tmp_path, settings))


def test_a_deployed_job_is_judged_anew(tmp_path):
    """Server and site don't rely on what the submitter checked."""
    config = build_job("fedopt", tmp_path) / "app" / "config"
    check_deployed(config)
    for name, value in (("server_momentum", 1.0), ("poll_interval_s", 0), ("learning_rate", 11), ("num_rounds", 1e9)):
        for side in CONFIGURATIONS:
            change(config / side, name, value)
        with pytest.raises(ConfigurationError, match=f"{name} is "):
            check_deployed(config)
        build_job("fedopt", tmp_path)


def change(path: Path, name: str, value) -> None:
    document = json.loads(path.read_text())
    if name in document:
        path.write_text(json.dumps({**document, name: value}))


def test_a_variable_of_another_job_is_told_its_owner(capsys, tmp_path):
    assert main(["job", "build", "fedavg", "--out", str(tmp_path / "jobs"), "--set", "trim=0.1"]) == 2
    assert "trim belongs to the job trimmed_mean" in capsys.readouterr().err


def test_a_variable_that_is_not_declared_keeps_its_type(tmp_path):
    """A job of somebody's own may have variables of its own."""
    from fedbrats.jobs.build import set_variables

    config = build_job("fedavg", tmp_path) / "app" / "config"
    set_variables(config, {"my_number": 3}, source="jobs/mine", allow_new=True)
    set_variables(config, {"my_number": 4}, source="--set")
    with pytest.raises(ConfigurationError, match='my_number is 4 by default and cannot be "four"'):
        set_variables(config, {"my_number": "four"}, source="--set")


def test_the_list_of_variables_says_what_each_is(capsys):
    assert main(["job", "list", "contribution", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["variables"].keys() == values_of("contribution").keys()
    assert document["variables"]["batch_size"] == {
        "kind": "a whole number",
        "bounds": "from 1 to 1024",
        "nullable": False,
        "required": False,
        "default": 1,
        "meaning": "Patches in a batch.",
    }
    assert document["tables"]["factor"].keys() == FactorSettings.model_fields.keys()
    assert main(["job", "list", "original"]) == 0
    table = capsys.readouterr().out
    assert "a number from 0 to 180" in table
    assert "minmax" in table
