"""Every variable of a job, declared once: the tables of the floors below, and what belongs to a job as a whole.

The JSON of `app/config` and of `jobs/` holds the same defaults (a test compares them); `--set`, the check before a
submission, `fedbrats job list JOB`, docs/reference/configuration.md and the checks at server and site come from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from fedbrats.data.prepare.settings import CacheSettings
from fedbrats.errors import ConfigurationError
from fedbrats.extensions.choice import NamedClass, NamedClasses
from fedbrats.federation.averaging import Averaging
from fedbrats.federation.factor.settings import FactorSettings
from fedbrats.federation.participation import Participation
from fedbrats.jobs.private import check_private
from fedbrats.jobs.resume import JOB_ID
from fedbrats.jobs.secure import check_secure
from fedbrats.model.settings import Sharing, TrainingSettings
from fedbrats.privacy.settings import PrivacySettings, SecureSettings
from fedbrats.settings import ClassPath, Declaration, Settings, declarations, show

LEAST_BEST_OF = 3  # fits of a site that chooses among its models; a round each at least
JobId = Annotated[str, Field(pattern=f"^{JOB_ID.pattern}$")]


class Network(Sharing):
    """The network, and what of it the sites share."""

    network: NamedClass = "fast"
    """The preset of the network: fast, large, original, or tiny for tests; or a class of your own."""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """The seed of the first weights and of every random choice."""
    start: str = Field("auto", min_length=1, json_schema_extra={"kind": "auto, phantoms, none or the path of a model"})
    """The first weights: phantoms (of synthetic cases alone, made for the network fast), none (drawn from the seed), or
    the path of a model; auto is phantoms where there are such weights for the network, else none. They travel inside
    the job."""
    start_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", json_schema_extra={"kind": "a checksum"})
    """The SHA-256 of the first weights in the job; written when the job is built."""
    compression: Literal["none", "float16", "int8"] = "none"
    """How models and updates are packed on their way."""


class Rounds(Settings):
    """The rounds of a federation, at the server."""

    num_rounds: int = Field(25, ge=1, le=10**6)
    """The rounds of the whole job."""
    rollback_drop: float | None = Field(None, ge=0, le=1)
    """The last good model takes the place of one that has lost more Dice than this at the median site; null never."""
    memory_mb: float = Field(1024.0, ge=0, le=1e9)
    """Updates of a round that do not fit into so many MiB wait on the server's disk."""
    evaluation_timeout_s: int = Field(3600, ge=1, le=10**8)
    """Seconds to wait for each site's evaluation of the final model."""
    poll_interval_s: float = Field(0.1, ge=0.001, le=60)
    """Seconds between two looks for a new task or answer, at the server and at the sites."""
    resume: list[JobId] | None = Field(None, json_schema_extra={"kind": "a list of job ids"})
    """The jobs that this one goes on from, newest first; written by `fedbrats submit` with --resume."""


class Evaluation(Settings):
    """What a site measures in every round."""

    validate_received: bool = True
    """Whether a site evaluates the model that it receives, before it trains."""
    validate_trained: bool = True
    """Whether a site evaluates its model after it has trained."""
    validate_every: int = Field(1, ge=1, le=10**6)
    """Of how many rounds those two evaluations take place in one; always in the last round."""
    measure_minus_model: bool = False
    """For FedCE: whether a site also evaluates the received model without its own share."""


class Method(Settings):
    """How the server makes one model of the sites' updates, and what sites do for it."""

    hooks: NamedClasses = {}  # noqa: RUF012 - a table is frozen, and pydantic copies defaults
    """What the method changes of a local round at the sites: classes of hooks with their arguments, in this order."""

    aggregator: ClassPath = "fedbrats.methods.fedavg.WeightedFedAvg"
    """The class of the aggregation method; a kit allows only those on its list."""
    aggregator_arguments: dict[str, Any] = {}  # noqa: RUF012
    """The arguments of the aggregation method; `{name}` stands for a variable."""
    shareable_generator: ClassPath = (
        "nvflare.app_common.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator"
    )
    """The class that applies the combined update to the model."""
    shareable_generator_arguments: dict[str, Any] = {}  # noqa: RUF012
    """The arguments of that class."""


class Contribution(Settings):
    """Of the jobs that weigh sites by the Contribution Factor."""

    factor: dict[str, Any] = {}  # noqa: RUF012
    """Constants of the Contribution Factor that differ from their defaults, by name."""

    @field_validator("factor")
    @classmethod
    def _of_the_factor(cls, value: dict[str, Any]) -> dict[str, Any]:
        FactorSettings.read(value, "factor")
        return value


class Trimming(Settings):
    """Of the job that takes the trimmed mean."""

    trim: float = Field(0.2, ge=0, lt=0.5)
    """The share of the sites that is left out at each end of every coordinate."""


class ServerOptimiser(Settings):
    """Of the job whose server has an optimiser of its own (FedOpt)."""

    server_learning_rate: float = Field(1.0, gt=0, le=1000)
    """The learning rate of the server's optimiser."""
    server_momentum: float = Field(0.6, ge=0, lt=1)
    """The momentum of the server's optimiser."""


class GivenModels(Settings):
    """Of the job that evaluates models which it brings."""

    models: list[str] = Field([], json_schema_extra={"kind": "a list of names"})
    """The names of the models; written by --models."""


@dataclass(frozen=True)
class Table:
    """A table of settings that job variables come from; `names` says which variable has another name than its field."""

    settings: type[Settings]
    names: Mapping[str, str] = field(default_factory=dict)


TABLES = (
    Table(Rounds),
    Table(Participation, {"attempts": "round_attempts"}),
    Table(Network),
    Table(TrainingSettings),
    Table(CacheSettings, {"shape": "volume_shape"}),
    Table(Evaluation),
    Table(Averaging),
    Table(PrivacySettings),
    Table(SecureSettings),
    Table(Contribution),
    Table(Trimming),
    Table(ServerOptimiser),
    Table(GivenModels),
    Table(Method),
)


@dataclass(frozen=True)
class Variable:
    """A variable of a job: what is declared of it, and the table and field that check it."""

    declared: Declaration
    table: type[Settings]
    field: str

    def check(self, value: Any) -> Any:
        """The value as it is used (a whole number becomes a number where one is expected).

        Raises: ConfigurationError in one sentence that names the variable and what it may be.
        """
        try:
            return getattr(self.table(**{self.field: value}), self.field)
        except ConfigurationError as error:
            if self.field == self.declared.name:
                raise
            name = self.declared.name
            raise ConfigurationError(f"{name} is {show(value)}, expected {self.declared.expected}") from error


@cache
def variables() -> Mapping[str, Variable]:
    """Every declared variable of any job, by name."""
    return {variable.declared.name: variable for table in TABLES for variable in _variables_of(table)}


def _variables_of(table: Table) -> Iterator[Variable]:
    for name, declared in declarations(table.settings).items():
        known_as = table.names.get(name, name)
        yield Variable(replace(declared, name=known_as), table.settings, name)


def sub_tables() -> dict[str, Mapping[str, Declaration]]:
    """The declarations inside a variable that is itself a table, by the variable's name."""
    return {"factor": declarations(FactorSettings)}


def describe(name: str, default: Any) -> Declaration:
    """What is declared of a variable, with the default that it has in some job.

    One that is not declared, of a job of somebody's own, takes what is of its default's type.
    """
    known = variables().get(name)
    if known:
        return replace(known.declared, default=default)
    kind = "anything" if default is None else f"a value like {show(default)}"
    return Declaration(name, kind, "", default is None, False, default, "Not declared; a variable of this job's own.")


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse a value that its variable cannot have; names that are not declared are left alone.

    For the submitter, and for server and site, which do not rely on the submitter's check.
    Raises: ConfigurationError naming the first such variable.
    """
    known = variables()
    for name, value in values.items():
        if name in known:
            known[name].check(value)


def check_job(values: Mapping[str, Any]) -> None:
    """Refuse the variables of a whole job where one cannot be, or where two do not go together.

    Raises: ConfigurationError.
    """
    check_values(values)
    for table in TABLES:  # rules between the settings of one table
        names = {field: table.names.get(field, field) for field in table.settings.model_fields}
        table.settings(**{field: values[name] for field, name in names.items() if name in values})
    check_private(values)
    check_secure(values)
    if values.get("phantom_share") and (values.get("normalisation", "zscore"), values.get("volume_shape")) != (
        "zscore",
        None,
    ):
        raise ConfigurationError(
            f"phantom_share is {values['phantom_share']}, and phantoms are drawn with normalisation=zscore and without "
            f"volume_shape; set phantom_share=0, or leave those two as they are by default"
        )
    rounds, personal_rounds = values.get("num_rounds"), values.get("personal_rounds", 0)
    if rounds is not None and rounds <= personal_rounds:
        raise ConfigurationError(
            f"personal_rounds is {personal_rounds} of num_rounds {rounds}, so that no round would be federated; make "
            f"it smaller, or use the job local_only"
        )
    if values.get("best_of") and personal_rounds < LEAST_BEST_OF:
        raise ConfigurationError(
            f"best_of is true and personal_rounds is {personal_rounds}: a site fits its model {LEAST_BEST_OF} times in "
            f"those rounds; make it {LEAST_BEST_OF} or more, best a multiple of it"
        )
    if values.get("rollback_drop") is not None and not values.get("validate_received", True):
        raise ConfigurationError(
            f"rollback_drop is {values['rollback_drop']} and validate_received is false: no site would measure the "
            f"model that could be rolled back; set validate_received=true, or rollback_drop=null"
        )
    if values.get("rollback_drop") is not None and values.get("validate_every", 1) > 1:
        raise ConfigurationError(
            f"rollback_drop is {values['rollback_drop']} and validate_every is {values['validate_every']}: a bad model "
            f"would be found out only rounds later; set validate_every=1, or rollback_drop=null"
        )
