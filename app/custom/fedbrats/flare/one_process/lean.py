"""What FLARE does for every message that a federation in one process has no use for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

from nvflare.apis import fl_context
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import NonSerializableKeys
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils import task_utils
from nvflare.private import event as events


@cache
def leave_out() -> None:
    """From now on this process does less for every task, with the same outcome.

    - It composes no debug line that no log takes. FLARE 2.9 composes about six a task and then drops them.
    - It searches no message for parts that are still to be fetched from another process.
    - It asks only those components about an event that do something at it. For every other, FLARE would set four
      properties and call a method that does nothing.
    - It sets no private property of a context to the object that it already is. FLARE sets those four anew for each
      component, because one may have changed them.
    """
    composed = FLComponent.log_debug

    def log_debug(self: FLComponent, fl_ctx: FLContext, msg: str, fire_event: bool = False) -> None:
        if fire_event or logging.getLogger().isEnabledFor(logging.DEBUG):
            composed(self, fl_ctx, msg, fire_event)

    FLComponent.log_debug = log_debug
    task_utils.contains_lazy_download_ref = _is_whole
    _fire_to_who_hears()
    _set_what_is_new()


def hears(component: FLComponent, event: str) -> bool:
    """Whether a component does something at an event."""
    return type(component).handle_event is not FLComponent.handle_event or event in component.get_event_handlers()


def _fire_to_who_hears() -> None:
    fire = events.fire_event_to_components

    def fire_to_who_hears(event: str, components: Sequence[FLComponent], ctx: FLContext) -> None:
        fire(event, [each for each in components if hears(each, event)], ctx)

    events.fire_event_to_components = fire_to_who_hears


def _set_what_is_new() -> None:
    own = FLContext.set_prop
    transient = fl_context.make_mask(private=True, sticky=False)

    def set_prop(self: FLContext, key: str, value: Any, private: bool = True, sticky: bool = True) -> bool:
        if private and not sticky:
            found = self.props.get(key)
            if found is not None and found[fl_context.V] is value and found[fl_context.M] == transient:
                return True
        return own(self, key, value, private, sticky)

    FLContext.set_prop = set_prop


def as_peer(fl_ctx: FLContext) -> FLContext:
    """What the other side sees of a context: its public properties, with nothing tried for whether it could travel."""
    peer = FLContext()
    for key, value in fl_ctx.get_all_public_props().items():
        if key not in NonSerializableKeys.KEYS:
            peer.put(key, value, private=False, sticky=False)
    return peer


def _is_whole(_message: Any) -> bool:
    return False
