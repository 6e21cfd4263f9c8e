"""Build a FLARE job folder: `app/` with `jobs/<name>/` laid over it, file by file, and variables set by name.

No import is followed and nothing is merged but variables at the top of the two configurations: what a job will run can
be read in two folders.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedbrats.atomic import new_folder
from fedbrats.errors import ConfigurationError
from fedbrats.jobs.named_classes import expand
from fedbrats.jobs.private import solved_noise
from fedbrats.jobs.secure import require_sites
from fedbrats.jobs.settings import check_job, variables
from fedbrats.jobs.version_rule import MADE_BY, this_version
from fedbrats.settings import show, suggest
from fedbrats.shipped import PACKAGE_DIR, shipped_dir

META = "meta.json"
VARIABLES = "variables.json"  # the variables in which a job differs; one that is new is added to the server's
LAID_OVER = "config"  # the folder of a job whose files are laid over the app's
DEFAULT_META = {"resource_spec": {}, "min_clients": 1, "deploy_map": {"app": ["@ALL"]}}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
SIGNING_FILES = (".__nvfl_sig.json", ".__nvfl_submitter.crt")  # FLARE's, in every folder of a job that is submitted
CONFIGURATIONS = ("config_fed_server.json", "config_fed_client.json")
# Keys at the top of a configuration that FLARE itself reads, and who made the job; every other one is a variable.
NO_VARIABLES = frozenset(
    {"format_version", "server", "client", "components", "workflows", "executors", "task_data_filters"}
    | {"task_result_filters", "handlers", "default_task_fetch_interval", MADE_BY}
)


@dataclass(frozen=True)
class JobSource:
    """A job: its folder, what it says of itself, and whether it can only be built around models."""

    name: str
    folder: Path
    description: str
    needs_models: bool


def list_jobs() -> list[JobSource]:
    """Return the jobs that are shipped, by name."""
    return [_read_job(path.parent) for path in sorted((shipped_dir() / "jobs").glob(f"*/{META}"))]


def find_job(name: str) -> JobSource:
    """A job that is shipped, by its name, or one of somebody's own, by the path of its folder.

    Such a folder holds variables.json, meta.json, or both, and `config` with files that are laid over the app's.
    Raises: ConfigurationError with the names that exist.
    """
    jobs = {job.name: job for job in list_jobs()}
    if name in jobs:
        return jobs[name]
    folder = Path(name).resolve()
    if (folder / META).is_file() or (folder / VARIABLES).is_file():
        return _read_job(folder)
    if folder.is_dir():
        raise ConfigurationError(f"{name} is no folder of a job: it has neither {VARIABLES} nor {META}")
    raise ConfigurationError(f"there is no job named {name!r}, nor a folder of one; {suggest(name, jobs)}")


def _read_job(folder: Path) -> JobSource:
    meta = _read_json(folder / META) if (folder / META).is_file() else {}
    return JobSource(folder.name, folder, str(meta.get("description", "")), bool(meta.get("needs_models", False)))


def build_job(
    name: str,
    out_dir: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    with_code: bool = False,
    models: Sequence[Path] = (),
    called: str | None = None,
) -> Path:
    """Write the job folder `out_dir/name`, ready to be submitted, and return it; an older one there is replaced.

    name: of a job that is shipped, or the path of the folder of one of somebody's own.
    called: the name of the run, in the place of the job's.
    settings: variables to change, by name; one that no configuration of the job has is refused.
    with_code: ship this package inside the job, for stock sites that accept code with a job (BYOC).
    models: results folders or model files that travel inside the job; one that evaluates needs some, others take none.

    Raises: ConfigurationError for an unknown job or variable, or a value of another type than the default's.
    """
    job = find_job(name)
    if job.needs_models and not models:
        raise ConfigurationError(f"the job {name} evaluates given models; name them with --models RESULTS ...")
    if models and not job.needs_models:
        raise ConfigurationError(f"the job {name} takes no models; --models belongs to a job that evaluates")
    target = out_dir / (called or job.name)
    if not NAME.fullmatch(target.name):
        raise ConfigurationError(f"{target.name!r} is no name for a job; take letters, digits, `_`, `.` and `-`")
    out_dir.mkdir(parents=True, exist_ok=True)
    with new_folder(target) as building:
        app = _lay_out(job, building)
        if models:
            from fedbrats.jobs.models import MODELS_FOLDER, pack_models

            set_variables(app / "config", pack_models(models, app / MODELS_FOLDER), source="--models")
        set_variables(app / "config", settings or {}, source="--set")
        _add_start(app, building)
        if (noise := solved_noise(read_variables(building))) is not None:
            set_variables(app / "config", {"dp_noise": noise, "dp_epsilon": None}, source="dp_epsilon")
        _name_job(building / META, target.name)
        _say_maker(app / "config")
        if with_code:
            ignored = shutil.ignore_patterns("__pycache__", "shipped")
            shutil.copytree(PACKAGE_DIR, app / "custom" / "fedbrats", ignore=ignored)
    return target


def _name_job(meta: Path, name: str) -> None:
    """Complete what FLARE asks of a job, whose folder may say less, and give it its name."""
    document = {**DEFAULT_META, **(_read_json(meta) if meta.is_file() else {}), "name": name}
    meta.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _say_maker(config_dir: Path) -> None:
    """Write into both configurations, which are signed, which version made the job and the least that it needs."""
    for path in (config_dir / name for name in CONFIGURATIONS):
        path.write_text(json.dumps({**_read_json(path), MADE_BY: this_version().document()}, indent=2) + "\n")


def _add_start(app: Path, job_dir: Path) -> None:
    """Put the weights that the variable `start` names into the job, where it is what the variable then says.

    Raises: ConfigurationError, DataError as `read_start`.
    """
    variables_now = read_variables(job_dir)
    if variables_now.get("start", "none") == "none":
        return
    from fedbrats.jobs.start import GIVEN, NONE, pack_start, read_start

    start = read_start(variables_now["start"], {"preset": variables_now["network"], "seed": variables_now["seed"]})
    of_start = {"start": GIVEN, "start_sha256": pack_start(start, app)} if start else {"start": NONE}
    set_variables(app / "config", of_start, source="start")


def job_variables(job: JobSource, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The variables of a job, with settings where they are given."""
    with tempfile.TemporaryDirectory(prefix="fedbrats-job-") as folder:
        return read_variables(outline_job(job, Path(folder), settings))


def outline_job(job: JobSource, folder: Path, settings: Mapping[str, Any] | None = None) -> Path:
    """Write a job's configuration into an empty folder and return it: no models, as none are needed to judge settings.

    Raises: ConfigurationError as `build_job`, for settings.
    """
    set_variables(_lay_out(job, folder) / "config", settings or {}, source="--set")
    return folder


def _lay_out(job: JobSource, building: Path) -> Path:
    """Copy `app/` with the job's own files and variables laid over it; returns the app's folder."""
    app = building / "app"
    shutil.copytree(shipped_dir() / "app" / "config", app / "config")
    for path in _files_of(job.folder):
        relative = path.relative_to(job.folder)
        target = building / relative if relative.name == META else app / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    own = job.folder / VARIABLES
    if own.exists():
        set_variables(app / "config", _read_json(own), source=str(own), allow_new=True)
    return app


def set_variables(config_dir: Path, settings: Mapping[str, Any], *, source: str, allow_new: bool = False) -> None:
    """Set variables in every configuration of a job that has them.

    allow_new: a name that stands in none of them is added to the server's configuration, where aggregators are.

    Raises: ConfigurationError for a name that stands in none of them, or a value that its variable cannot have.
    """
    documents = {path: _read_json(path) for path in (config_dir / name for name in CONFIGURATIONS)}
    current = {key: value for document in documents.values() for key, value in document.items()}
    try:
        settings = expand(settings, current)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    for name, value in settings.items():
        owners = [document for document in documents.values() if name in document and name not in NO_VARIABLES]
        if not owners and allow_new and name not in NO_VARIABLES:
            documents[config_dir / CONFIGURATIONS[0]][name] = _checked(name, value, value, source)
        elif not owners:
            names = {key for document in documents.values() for key in document} - NO_VARIABLES
            raise ConfigurationError(f"{source}: there is no variable {name!r} in this job; {_advise(name, names)}")
        for document in owners:
            document[name] = _checked(name, value, document[name], source)
    for path, document in documents.items():
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_variables(job_dir: Path) -> dict[str, Any]:
    """Return the variables of a built job, server's and client's together."""
    return _variables_of(job_dir / "app" / "config", CONFIGURATIONS)


def check_deployed(config_dir: Path) -> None:
    """Refuse, at a server or a site, a deployed job with a variable out of bounds, whatever its submitter checked.

    Raises: ConfigurationError.
    """
    values = _variables_of(config_dir, [name for name in CONFIGURATIONS if (config_dir / name).is_file()])
    check_job(values)
    require_sites(values)


def _variables_of(config_dir: Path, names: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        found.update({key: value for key, value in _read_json(config_dir / name).items() if key not in NO_VARIABLES})
    return found


def parse_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse `name=value` words; a value is JSON where it reads as JSON, else a string.

    Raises: ConfigurationError for a word without `=`.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--set takes name=value, for example --set num_rounds=5, not {assignment!r}")
        try:
            settings[name] = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        except (ValueError, RecursionError):
            settings[name] = text
    return settings


def _refuse_constant(word: str) -> None:
    raise ConfigurationError(f"--set: {word} is not a number that can be set")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        _refuse_constant(text)
    return number


def _checked(name: str, value: Any, default: Any, source: str) -> Any:
    """The value as its variable's declaration has it: FLARE refuses 1 where it takes 1.0 (poll_interval_s, 2.9.0).

    A variable that is not declared, of a job of somebody's own, takes what is of its default's JSON type.
    """
    declared = variables().get(name)
    try:
        if declared:
            return declared.check(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    numbers = (int, float) if isinstance(default, float) else type(default)
    same = isinstance(default, bool) == isinstance(value, bool) and isinstance(value, numbers)
    if default is not None and value is not None and not same:
        raise ConfigurationError(f"{source}: {name} is {show(default)} by default and cannot be {show(value)}")
    return value


def _advise(name: str, known: Iterable[str]) -> str:
    """What to do about a variable that a job does not have."""
    owners = [job.name for job in list_jobs() if name not in NO_VARIABLES and name in job_variables(job)]
    if owners:
        return f"{name} belongs to the job{'s' if len(owners) > 1 else ''} {', '.join(owners)}"
    if close := difflib.get_close_matches(name, sorted(known), n=1):
        return f"did you mean {close[0]}?"
    return "`fedbrats job list JOB` shows those that there are"


def _files_of(folder: Path) -> list[Path]:
    """The files of a job that are copied: its meta, and what is laid over the app's configurations."""
    found = [folder / META, *(folder / LAID_OVER).rglob("*")]
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} must be a JSON object, not {type(document).__name__}")
    return document
