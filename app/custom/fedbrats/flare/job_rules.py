"""A rule of the kits that no job can bend: no argument of a job names a path or an address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.widgets.widget import Widget

# A separator of any system, or a home folder. Job files name classes with dots, so none of theirs is met.
PATH_SIGNS = ("/", "\\", "~")
# Names of arguments whose value is a place even where it has no separator: `model.pt` in the server's working folder.
PLACE_NAMES = ("_path", "_dir", "_folder", "_full_name", "_location", "_uri", "_url")


class NoPaths(Widget):
    """Stops a job, at the server and at every site, when an argument of any of its components names a place.

    Stands in the kit's `resources.json`, so that a job can neither remove nor configure it. FLARE takes an exception of
    another kind for a nuisance and builds the component (seen in 2.9.0): here every one is a refusal.
    """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Judge a component before it is built; raises UnsafeComponentError, which ends the job."""
        if event_type != EventType.BEFORE_BUILD_COMPONENT:
            return
        try:
            found = next(find_places(fl_ctx.get_prop(FLContextKey.COMPONENT_CONFIG)), None)
        except Exception as error:
            raise UnsafeComponentError(f"a component of the job cannot be judged: {error!r}") from error
        if found:
            raise UnsafeComponentError(f"an argument of a job may not name a path or an address, but {found} does")


def find_places(config: dict[str, Any]) -> Iterator[str]:
    """The arguments of a component, nested ones included, that name a place: `component, argument`."""
    component = config.get("path") or config.get("class_path") or config.get("name")
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
