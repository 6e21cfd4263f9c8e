"""What belongs to a hospital and never to a job: its data, its caches, its device, its rules.

The facts stand in `local/fedbrats.json` of the site's startup kit. Provisioning writes the file, the hospital edits
it; a job has no way to name a path on a hospital's disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from fedbrats.atomic import write_json_atomic
from fedbrats.errors import ConfigurationError
from fedbrats.settings import Settings, show, suggest

SITE_FILE = "fedbrats.json"
# The server's entries in its own site file.
REGISTER, MLFLOW, STATE_DIR = "registered_cases", "mlflow_uri", "state_dir"
STATE_FOLDER = "state"
MOST_VOXELS = 2**25  # of a prepared case: the whole grid of a BraTS scan at 0.65 mm
MOST = 100_000  # threads, workers, cases: more is a slip of the finger
LEAST_CASES = 5  # a mean over fewer says much of single patients
Folder = Annotated[Path, Field(json_schema_extra={"kind": "the path of a folder"})]
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"


class PrivacyBudget(Settings):
    """What all jobs together may cost a patient of this site."""

    epsilon: float = Field(gt=0, le=1e4)
    """The largest epsilon."""
    delta: float = Field(gt=0, lt=1)
    """The delta at which it is meant; smaller than one over the number of patients."""


class Retention(Settings):
    """What ended jobs may leave on a disk: the newest `jobs`, and whatever is younger than `days`.

    More goes, the oldest first, until the rest is at most `gb`. What a job at work needs always stays.
    """

    jobs: int = Field(20, ge=1, le=MOST)
    """How many of the newest jobs stay."""
    days: float = Field(90.0, ge=1, le=MOST)
    """What is younger stays."""
    gb: float | None = Field(None, gt=0, le=1e6)
    """What all that stays may take on the disk, the newest first; null for any size."""

    @property
    def most_bytes(self) -> int | None:
        """The bound in bytes."""
        return None if self.gb is None else int(self.gb * 1e9)


class Kept(Settings):
    """What a server's and a site's own settings have in common."""

    retention: dict[str, Any] | None = Field(
        None, json_schema_extra={"kind": "a table with jobs, days and gb, each of which may be left out"}
    )
    """What ended jobs may leave on the disk (jobs, 20; days, 90; gb, any); more is removed at the end of every job.
    null: nothing is removed but by `fedbrats clean --yes`."""

    @field_validator("retention")
    @classmethod
    def _a_retention(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            Retention.read(value, "retention")
        return value

    @property
    def keep(self) -> Retention | None:
        """What stays; None where nothing is removed by itself."""
        return None if self.retention is None else Retention.read(self.retention, "retention")


class SiteFacts(Kept):
    """The facts of one site, in `local/fedbrats.json` of its kit.

    A path is relative to the kit where it does not begin with / or ~; {site} in it stands for the site's name.
    """

    data_dir: Folder
    """The site's folder of cases with its datalist.json."""
    cache_dir: Folder
    """Where prepared cases are kept; several sites of one machine may share it."""
    personal_dir: Folder
    """Where personal weights are kept, in one folder for each job; they stay at the site."""
    device: str = Field("auto", pattern=DEVICE, json_schema_extra={"kind": "auto, cpu, cuda or cuda:N"})
    """Where the site computes; auto takes a CUDA GPU where there is one, else the CPU."""
    threads: int | None = Field(None, ge=1, le=MOST)
    """CPU threads of training; null lets PyTorch decide."""
    workers: int = Field(1, ge=1, le=MOST)
    """Threads that prepare cases at the start of a job."""
    min_cases: int = Field(LEAST_CASES, ge=1, le=MOST)
    """Metrics that describe fewer cases than this, and updates of fewer, are not sent."""
    round_validation_cases: int | None = Field(None, ge=1, le=MOST)
    """On how many validation cases a model is tried in every round, for a site with hundreds; null for all. The last
    model is always tried on all."""
    share_personal_models: bool = False
    """Whether the job `evaluate` may take this site's personal weights to the other sites."""
    max_bad_share: float = Field(0.5, ge=0, le=1)
    """The largest share of the site's cases that may be unusable; with more, the site stops training."""
    max_evaluations: int | None = Field(None, ge=1, le=MOST)
    """How many evaluations of models the site tells of a day, in all jobs; null for any number."""
    max_hours: float | None = Field(None, gt=0, le=MOST)
    """How long a job may run here; after that the site answers it no more. null for any time."""
    max_prepared_voxels: int = Field(MOST_VOXELS, ge=1, le=2**31)
    """The largest prepared case that a job may ask for; one voxel takes 11 bytes. A window, or a batch of
    patches or whole cases, may be four times as large."""
    cache_gb: float | None = Field(None, gt=0, le=1e6)
    """What the prepared cases of all jobs may take on the disk; the least recently used make room. null for no limit.
    """
    privacy_budget: dict[str, Any] | None = Field(
        None, json_schema_extra={"kind": "a table with epsilon above 0 and delta between 0 and 1"}
    )
    """The most that differential privacy may cost a patient in all jobs together; a job that trains without it is then
    refused. null for no limit."""

    require_pads: bool = False
    """Whether a job must cover the site's updates with pads (secure=pads); another one gets no update of this site."""

    @field_validator("privacy_budget")
    @classmethod
    def _a_budget(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            PrivacyBudget.read(value, "privacy_budget")
        return value

    @property
    def budget(self) -> PrivacyBudget | None:
        """The hospital's budget of differential privacy."""
        return None if self.privacy_budget is None else PrivacyBudget.read(self.privacy_budget, "privacy_budget")

    @model_validator(mode="after")
    def _enough_for_a_metric(self) -> Self:
        if self.round_validation_cases is not None and self.round_validation_cases < self.min_cases:
            raise ConfigurationError(
                f"round_validation_cases is {self.round_validation_cases}, fewer than min_cases {self.min_cases}, "
                f"below which no metric leaves the site; set it to {self.min_cases} or more"
            )
        return self


class ServerFacts(Kept):
    """The facts of the server, in `local/fedbrats.json` of its kit."""

    registered_cases: dict[str, Any] | None = Field(None, json_schema_extra={"kind": "a table of cases by site"})
    """How many training cases each site has registered; a site that declares more is refused; null for no
    register."""
    mlflow_uri: str | None = Field(None, json_schema_extra={"kind": "an address such as http://localhost:5000"})
    """The MLflow server that gets the training curves."""
    state_dir: Folder = Path(STATE_FOLDER)
    """Where the server keeps the state of its jobs, relative to the kit where it does not begin with / or ~."""

    @field_validator("registered_cases")
    @classmethod
    def _a_limit_for_every_site(cls, register: dict[str, Any] | None) -> dict[str, Any] | None:
        check_register(register or {}, REGISTER)
        return register


def read_site_facts(local_dir: Path, site: str) -> SiteFacts:
    """Read `fedbrats.json` in a kit's `local` folder; `{site}` in a path stands for the site's name.

    Relative paths are relative to the kit, so that a kit can be moved with its caches.

    Raises: ConfigurationError that names the file, the entry and what was expected.
    """
    document = read_site_document(local_dir, site)
    if document is None:
        raise ConfigurationError(
            f"site {site} has no {SITE_FILE} in its kit's local folder ({local_dir}), so its data folder is unknown: "
            f"write one with `fedbrats site KIT --data FOLDER`"
        )
    return parse_site_facts(document, site, base=local_dir.parent, source=str(local_dir / SITE_FILE))


def read_site_document(local_dir: Path, site: str) -> Any:
    """Return a kit's site file as it stands; None where there is none. Raises: ConfigurationError."""
    path = local_dir / SITE_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"site {site}: cannot read {path}: {error}") from None


def parse_site_facts(document: Any, site: str, *, base: Path, source: str) -> SiteFacts:
    """Check the entries of a site file and resolve its paths against `base`.

    Raises: ConfigurationError that names the site, `source`, the entry and what was expected.
    """
    return _read(SiteFacts, document, base=base, source=f"site {site}: {source}", site=site)


def _read(table: type[Settings], document: Any, *, base: Path, source: str, site: str = "") -> Any:
    """The table's own entries of a site file: in a simulation, sites and server share a file."""
    if not isinstance(document, dict):
        raise ConfigurationError(f"{source} must be a JSON object, not {show(document)}")
    known = {**SiteFacts.model_fields, **ServerFacts.model_fields}
    for name in document:
        if name not in known:
            raise ConfigurationError(f"{source} has an unknown entry {show(name)}; {suggest(name, known)}")
    own = {name: value for name, value in document.items() if name in table.model_fields}
    for name in own:
        if name.endswith("_dir"):
            own[name] = _folder(own[name], base, site)
    return table.read(own, source)


def _folder(value: Any, base: Path, site: str) -> Any:
    """The folder that a text names; what is no such text as it is, to be refused."""
    if not isinstance(value, str) or not value or not value.isprintable():
        return value
    try:
        return base / Path(value.replace("{site}", site)).expanduser()
    except RuntimeError:  # the home of a user who is not known here
        return value


def read_server_facts(local_dir: Path) -> ServerFacts:
    """Read the server's own site file; without one, everything has its default.

    Raises: ConfigurationError for a file that is there and cannot be used; its register must never be taken for none.
    """
    path = local_dir / SITE_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        document = {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the server's {path} cannot be read ({error!r}), and with it {REGISTER}, {MLFLOW} and {STATE_DIR}"
        ) from None
    if isinstance(document, dict):
        document = {STATE_DIR: STATE_FOLDER, **document}
    return _read(ServerFacts, document, base=local_dir.parent, source=f"the server's {path}")


def check_register(register: Mapping[str, Any], source: str) -> None:
    """Refuse a register that is no limit for some site.

    Raises: ConfigurationError that names `source`, the site and what to do.
    """
    for site, cases in register.items():
        if type(cases) is not int or cases < 1:
            has = "none" if cases is None else f"{cases!r:.100}"
            raise ConfigurationError(
                f"{source}: site {site} needs a whole number from 1, the training cases agreed on with it, and has "
                f"{has}"
            )


def write_site_facts(local_dir: Path, document: Mapping[str, Any]) -> Path:
    """Write a kit's site file atomically and return its path."""
    path = local_dir / SITE_FILE
    write_json_atomic(path, dict(document))
    return path
