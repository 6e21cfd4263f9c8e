"""The classes that a job names: in `--set` and variables.json by short words, in a built job by paths and arguments.

--set aggregator=mine.FedAvgM --set aggregator.momentum=0.9     a class of an installed package, and an argument
--set network=my_net                                            a name among the entry points of such a package
--set hooks=mine.Ditto,mine.Clip --set hooks.mu=0.1             hooks, and an argument of the one that has it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from fedbrats.errors import ConfigurationError
from fedbrats.extensions.arguments import check_arguments, table_of
from fedbrats.extensions.choice import Choice, is_class_path, read_choice, read_choices
from fedbrats.extensions.kinds import KINDS
from fedbrats.extensions.loading import allow_named, build, load_class
from fedbrats.extensions.packages import Package, find_entry, find_package
from fedbrats.extensions.state import check_state
from fedbrats.jobs.start import AUTO, read_start
from fedbrats.settings import Declaration, declarations, show, suggest

AGGREGATOR, ARGUMENTS, HOOKS = "aggregator", "aggregator_arguments", "hooks"


def expand(settings: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with every class by its path, and every argument of a class inside the variable that holds it.

    Args:
        settings: as a person writes them.
        current: the job's variables before.

    Raises: ConfigurationError for a class that no installed package has, and an argument that its class does not have.
    """
    found = {name: value for name, value in settings.items() if name.partition(".")[0] not in KINDS or name in current}
    for variable in KINDS:
        if variable in found and variable in current:
            found[variable] = _by_path(variable, found[variable])
            if variable == AGGREGATOR:
                found.setdefault(ARGUMENTS, {})
    for name, value in settings.items():
        variable, dot, argument = name.partition(".")
        if dot and variable in KINDS:
            if variable not in current:
                raise ConfigurationError(f"there is no variable {variable} in this job, so {name} cannot be set")
            now = {**current, **found}
            found |= _with_argument(variable, argument, value, now)
    return found


def named_classes(variables: Mapping[str, Any]) -> list[tuple[str, Choice]]:
    """(variable, class and arguments) of every class that a job's variables name.

    Arguments that refer to a variable have its value.
    """
    found: list[tuple[str, Choice]] = []
    if AGGREGATOR in variables:
        found.append((AGGREGATOR, _aggregator_of(variables)))
    for variable in ("network", "loss"):
        if variable in variables and (choice := read_choice(variables[variable], variable)).is_path:
            found.append((variable, choice))
    found += [(HOOKS, choice) for choice in read_choices(variables.get(HOOKS, {}), HOOKS)]
    return found


def packages_named(variables: Mapping[str, Any]) -> list[Package]:
    """The packages beside fedbrats that a job needs, each with the classes that are named.

    Raises: ConfigurationError.
    """
    needed: dict[str, dict[str, list[str]]] = {}
    for variable, choice in named_classes(variables):
        if choice.name not in KINDS[variable].shipped:
            module = choice.name.partition(".")[0]
            needed.setdefault(module, {}).setdefault(variable, []).append(choice.name)
    return [find_package(module, classes) for module, classes in sorted(needed.items())]


def check_named_classes(variables: Mapping[str, Any]) -> None:
    """Import every class that a job names and hold its arguments to its constructor. Raises: ConfigurationError."""
    for variable, choice in named_classes(variables):
        found = _load(variable, choice.name)
        check_arguments(found, dict(choice.arguments), variable)
    _check_build(variables)


def try_own_methods(variables: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Play a first round of a job that has a method or a hook of another package; PyTorch only where that needs it.

    Args:
        network: the arguments of SegmentationNetwork.

    Raises: ConfigurationError where the round would end the job.
    """
    named = named_classes(variables)
    if all(choice.name in KINDS[variable].shipped for variable, choice in named if variable in (AGGREGATOR, HOOKS)):
        return
    from fedbrats.extensions.trial import try_first_round

    hooks = [partial(build, HOOKS, choice) for variable, choice in named if variable == HOOKS]
    known = read_start(AUTO, network) if isinstance(network["preset"], str) else None
    try_first_round(partial(build, AGGREGATOR, _aggregator_of(variables)), hooks, network, known)


def describe_arguments(variables: Mapping[str, Any]) -> dict[tuple[str, str], list[Declaration]]:
    """The arguments of every class that a job names and that takes any, by (variable, class), as they are in this job.

    Raises: ConfigurationError for a class that cannot be loaded.
    """
    found = {}
    for variable, choice in named_classes(variables):
        table = declarations(table_of(_load(variable, choice.name)))
        if table:
            own = [replace(each, default=choice.arguments.get(name, each.default)) for name, each in table.items()]
            found[variable, choice.name] = own
    return found


def _check_build(variables: Mapping[str, Any]) -> None:
    """Build what can say of its state that it could not be kept. Raises: ConfigurationError."""
    for variable, choice in named_classes(variables):
        if variable == AGGREGATOR and choice.name not in KINDS[AGGREGATOR].shipped:
            check_state(build(AGGREGATOR, choice).state(), f"aggregator {choice.name}")
        elif variable == HOOKS:
            check_state(build(HOOKS, choice).state() or {}, f"hook {choice.name}")


def _load(variable: str, path: str) -> type[Any]:
    if path not in KINDS[variable].shipped:
        allow_named(variable, path)
    return load_class(variable, path)


def _aggregator_of(variables: Mapping[str, Any]) -> Choice:
    arguments = variables.get(ARGUMENTS) or {}
    return Choice(str(variables[AGGREGATOR]), {name: _value(each, variables) for name, each in arguments.items()})


def _value(value: Any, variables: Mapping[str, Any]) -> Any:
    """What a reference `{name}` stands for; any other value as it is."""
    if isinstance(value, str) and value.startswith("{") and value.endswith("}") and value[1:-1] in variables:
        return variables[value[1:-1]]
    return value


def _by_path(variable: str, value: Any) -> Any:
    """A value with paths in the place of the names of entry points."""
    if variable == HOOKS:
        words = value.split(",") if isinstance(value, str) else value
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            words = {word.strip(): {} for word in words if word.strip()}
        if not isinstance(words, Mapping):
            return value  # its declaration says what it may be
        return {_path(variable, name): arguments for name, arguments in words.items()}
    if isinstance(value, str):
        return _path(variable, value)
    return value


def _path(variable: str, name: str) -> str:
    if is_class_path(name):
        if name not in KINDS[variable].shipped:
            find_package(name.partition(".")[0])  # a sentence where it is not installed
        return name
    found = find_entry(variable, name)
    if found is None and variable == HOOKS:
        raise ConfigurationError(
            f"hooks: {show(name)} is neither the path of a class nor an entry point of {KINDS[HOOKS].group} of an "
            f"installed package"
        )
    return found or name


def _with_argument(variable: str, argument: str, value: Any, now: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that hold an argument of a class, with it."""
    if variable == AGGREGATOR:
        _require_argument(variable, [str(now[AGGREGATOR])], argument)
        return {ARGUMENTS: {**(now.get(ARGUMENTS) or {}), argument: value}}
    if variable == HOOKS:
        choices = read_choices(now[HOOKS], HOOKS)
        owner = _require_argument(variable, [each.name for each in choices], argument)
        return {
            HOOKS: {
                each.name: {**each.arguments, **({argument: value} if each.name == owner else {})} for each in choices
            }
        }
    choice = read_choice(now[variable], variable)
    if not choice.is_path:
        raise ConfigurationError(f"{variable} {choice.name} is of fedbrats and has no argument {argument}")
    _require_argument(variable, [choice.name], argument)
    return {variable: Choice(choice.name, {**choice.arguments, argument: value}).as_json()}


def _require_argument(variable: str, paths: list[str], argument: str) -> str:
    """The class that has an argument. Raises: ConfigurationError where none of them has, or several."""
    tables = {path: declarations(table_of(_load(variable, path))) for path in paths}
    owners = [path for path, table in tables.items() if argument in table]
    if len(owners) == 1:
        return owners[0]
    if owners:
        raise ConfigurationError(f"{variable}: {' and '.join(owners)} both have an argument {argument}; set the table")
    known = {name for table in tables.values() for name in table}
    what = f"{variable} {', '.join(paths)}" if paths else f"{variable}, of which this job has none,"
    said = f"; {suggest(argument, known)}" if known else ""
    raise ConfigurationError(f"{what} has no argument {argument}{said}")
