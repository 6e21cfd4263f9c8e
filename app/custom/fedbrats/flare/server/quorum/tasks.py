"""The tasks of one round, as FLARE's controller keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nvflare.apis.controller_spec import Task, TaskCompletionStatus
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller

from fedbrats.flare.protocol import TOLD_KEY


def add_told(task: Task, told: Mapping[str, Any]) -> None:
    """Put what the job's method tells every site beside the model in a task."""
    if told:
        model = from_shareable(task.data)
        model.meta = {**(model.meta or {}), TOLD_KEY: dict(told)}  # a new table: the old one is the model's own
        model.update_shareable(task.data)


class RoundTasks:
    """Sends the same task to more and more sites.

    Args:
        controller: sends them.
        template: the round's task.
        fl_ctx: of the round.
    """

    def __init__(self, controller: Controller, template: Task, fl_ctx: FLContext):
        self._controller = controller
        self._template = template
        self._fl_ctx = fl_ctx
        self._tasks: dict[str, Task] = {}

    def open_sites(self) -> set[str]:
        """The sites whose task has not ended."""
        return {site for site, each in self._tasks.items() if each.completion_status is None}

    def send(self, sites: Sequence[str]) -> None:
        """Send the task to some sites; it stays open until all of them have answered."""
        if not sites:
            return
        task = Task(
            name=self._template.name,
            data=self._template.data,
            operator=self._template.operator,
            before_task_sent_cb=self._template.before_task_sent_cb,
            result_received_cb=self._template.result_received_cb,
        )
        self._controller.broadcast(task=task, fl_ctx=self._fl_ctx, targets=list(sites), min_responses=len(sites))
        self._tasks.update(dict.fromkeys(sites, task))

    def cancel(self) -> None:
        """End what is still open."""
        for each in self._tasks.values():
            if each.completion_status is None:
                self._controller.cancel_task(each, TaskCompletionStatus.TIMEOUT)
