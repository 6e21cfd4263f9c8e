"""How a component of the server hands rows to the recorder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext

ROWS_EVENT = "fedbrats_rows"  # any component may fire it with rows under the key of the same name


def fire_rows(component: FLComponent, rows: Iterable[Mapping[str, Any]], fl_ctx: FLContext) -> None:
    """Hand rows to whichever recorder listens."""
    fl_ctx.set_prop(ROWS_EVENT, list(rows), private=True, sticky=False)
    component.fire_event(ROWS_EVENT, fl_ctx)
