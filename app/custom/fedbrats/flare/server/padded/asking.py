"""One question to some sites of a running round, and their answers as they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from nvflare.apis.controller_spec import ClientTask, Task, TaskCompletionStatus
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import ReturnCode, Shareable

from fedbrats.errors import UpdateError
from fedbrats.flare import padded_messages
from fedbrats.flare.server.quorum.round_log import RoundLog

Take = Callable[[str, Any], None]


class Question:
    """Sends a task to sites and waits; what cannot be taken is a row, and no answer.

    Args:
        controller: sends it.
        log: for what goes wrong.
        number: of the round.
        period_s: seconds between two looks at who is still there.
    """

    def __init__(self, controller: Controller, log: RoundLog, number: int, period_s: float) -> None:
        self._controller, self._log, self._number, self._period_s = controller, log, number, period_s

    def ask(
        self,
        task_name: str,
        message: Shareable,
        sites: Collection[str],
        take: Take,
        *,
        deadline_s: float,
        present: Callable[[], set[str]],
        is_over: Callable[[], bool],
    ) -> None:
        """Ask every one of these sites, and hand its answer to `take`, one at a time.

        Ends when all have answered, when those that have not are gone, at the deadline, or when the job is over.

        Args:
            take: raises UpdateError for an answer that does not count.
            present: the sites that are connected.
        """
        waiting, lock, all_answered = set(sites), threading.Lock(), threading.Event()

        def receive(client_task: ClientTask, fl_ctx: FLContext) -> None:
            site, result = client_task.client.name, client_task.result
            client_task.result = None
            with lock:
                if site in waiting:
                    waiting.discard(site)
                    self._take(site, task_name, result, take)
                    if not waiting:
                        all_answered.set()

        task = Task(name=task_name, data=message, result_received_cb=receive)
        began = time.monotonic()
        self._controller.broadcast(task=task, fl_ctx=self._log.fl_ctx, targets=sorted(sites), min_responses=len(sites))
        while task.completion_status is None and not is_over():
            with lock:
                left = waiting & present()
            if not left or time.monotonic() - began >= deadline_s:
                break
            all_answered.wait(self._period_s)  # the last answer is not left lying for the rest of a period
        with lock:
            waiting.clear()  # what comes now is late
        if task.completion_status is None:
            self._controller.cancel_task(task, TaskCompletionStatus.TIMEOUT)

    def _take(self, site: str, task_name: str, result: Shareable, take: Take) -> None:
        code = result.get_return_code()
        if code and code != ReturnCode.OK:
            self._log.failure(site, self._number, f"{task_name}: {code}")
            return
        try:
            take(site, padded_messages.read(result))
        except UpdateError as error:
            message = f"what {site} answered to {task_name} in round {self._number} is not counted: {error}"
            self._log.refusal(site, self._number, "padded", message)
