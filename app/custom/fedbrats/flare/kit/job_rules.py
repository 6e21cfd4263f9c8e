"""A rule of the kits that no job can bend: no argument of a job names a path, an address or a class of its choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.widgets.widget import Widget

from fedbrats.errors import ConfigurationError
from fedbrats.extensions.kit_file import judge_named, read_extensions, server_classes
from fedbrats.extensions.packages import Package
from fedbrats.flare.kit.policy import ALLOWED_CLASSES
from fedbrats.flare.kit.versions import find_missing, say_missing

# A separator of any system, or a home folder. Job files name classes with dots, so none of theirs is met.
PATH_SIGNS = ("/", "\\", "~")
# Names of arguments whose value is a place even where it has no separator: `model.pt` in the server's working folder.
PLACE_NAMES = ("_path", "_dir", "_folder", "_full_name", "_location", "_uri", "_url")


class NoPaths(Widget):
    """Stops a job, at the server and at every site, when it could reach for what is not its own.

    - it was built by another version of this package;
    - an argument of a component names a place;
    - an argument names a class of a package that the kit does not list, or whose installed code is not what it lists;
    - an argument names a class that is not allowed. FLARE 2.9.0 checks what it builds itself and lets a dictionary
      with `config_type: dict` through, but some of its own components build the class in it;
    - a checkpoint would be read with a full unpickler, or arguments hide in `class_attributes`.

    Stands in the kit's `resources.json`, so that a job can neither remove nor configure it. FLARE takes an exception of
    another kind for a nuisance and builds the component (seen in 2.9.0): here every one is a refusal.
    """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Judge a component before it is built; raises UnsafeComponentError, which ends the job."""
        if event_type != EventType.BEFORE_BUILD_COMPONENT:
            return
        try:
            found = _judge(fl_ctx)
        except Exception as error:
            raise UnsafeComponentError(f"a component of the job cannot be judged: {error!r}") from error
        if found:
            raise UnsafeComponentError(found)


def _judge(fl_ctx: FLContext) -> str | None:
    """Why the job must stop; None where it may go on."""
    config = fl_ctx.get_prop(FLContextKey.COMPONENT_CONFIG)
    if missing := find_missing(config):
        return f"the job cannot run here: {say_missing(missing)}; build it again with this version"
    if place := next(find_places(config), None):
        return f"an argument of a job may not name a path or an address, but {place} does"
    packages = _packages_of(fl_ctx)
    if foreign := next(find_classes(config, server_classes(packages)), None):
        return f"an argument of a job may name classes of the kit's list only, but {foreign}"
    if any("class_attributes" in each for each in _dictionaries(config)):
        return "a job may not give arguments as class_attributes, which FLARE takes in the place of all others"
    leaves = [leaf for name, value in (config.get("args") or {}).items() for leaf in _leaves(name, value)]
    if any(name == "load_weights_only" and value is not True for name, value in leaves):
        return "a job may not read a checkpoint with a full unpickler (load_weights_only)"
    try:
        judge_named(config, packages)
    except ConfigurationError as error:
        return str(error)
    return None


def _packages_of(fl_ctx: FLContext) -> list[Package]:
    """The packages that this participant's kit lists; none where there is no kit. Raises: ConfigurationError.

    FLARE 2.9.0 judges a job's components before the context has an engine, and with the workspace.
    """
    engine, workspace = fl_ctx.get_engine(), fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
    workspace = workspace or (engine and engine.get_workspace())
    return read_extensions(Path(workspace.get_site_config_dir())) if workspace else []


def find_classes(config: dict[str, Any], more: Sequence[str] = ()) -> Iterator[str]:
    """The classes inside a component's arguments, at any depth, that are not on the kit's list.

    more: classes that this kit allows beside those of fedbrats.
    """
    component = _class_of(config)
    for argument, value in (config.get("args") or {}).items():
        for each in _dictionaries(value):
            names = [each[key] for key in ("path", "class_path") if key in each]
            if "name" in each and ("args" in each or "config_type" in each):  # FLARE's third way to name a class
                names.append(each["name"])
            for name in names:
                if name not in ALLOWED_CLASSES and name not in more:
                    yield f"{component}, {argument} names {name!r:.100}"


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary in nested dictionaries and lists."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _dictionaries(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _dictionaries(each)


def _class_of(config: dict[str, Any]) -> Any:
    return config.get("path") or config.get("class_path") or config.get("name")


def find_places(config: dict[str, Any]) -> Iterator[str]:
    """The arguments of a component, nested ones included, that name a place: `component, argument`."""
    component = _class_of(config)
    for argument, value in (config.get("args") or {}).items():
        if any(_names_a_place(name, each) for name, each in _leaves(argument, value)):
            yield f"{component}, {argument}"


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield "", key  # a key is a text too
            yield from _leaves(str(key), each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(name, each)
    else:
        yield name, value


def _names_a_place(name: str, value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    # A nested component's own class stands under `class_path`.
    return any(sign in value for sign in PATH_SIGNS) or (name != "class_path" and name.endswith(PLACE_NAMES))
