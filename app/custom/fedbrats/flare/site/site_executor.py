"""What executors of a site have in common: the site is opened once, and what fails is said in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

import fedbrats
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.site_cases import SiteCases
from fedbrats.errors import FedbratsError
from fedbrats.flare import garbage
from fedbrats.flare.job_folder import check_deployed_job, local_folder
from fedbrats.flare.protocol import MODEL_REFUSED
from fedbrats.jobs.settings import check_values
from fedbrats.privacy.arrivals import ArrivedModelError
from fedbrats.shipped import PACKAGE_DIR
from fedbrats.site.local_site import LocalSite, open_local_site, prepare_site
from fedbrats.site.register import say_too_many
from fedbrats.site.site_file import SiteFacts

Task = Callable[[LocalSite, Shareable, FLContext, Signal], Shareable]


class SiteExecutor(Executor):
    """Answers the tasks in `_tasks` with the cases and the trainer of the site.

    Args:
        network, seed: the preset of the network and the seed of its first weights, as the server builds it.
        training: the settings of `fedbrats.model.settings.TrainingSettings`.
        preparation: the settings of `fedbrats.data.prepare.cache.CacheSettings`.
    """

    def __init__(
        self,
        network: str | dict[str, Any] = "fast",
        seed: int = 0,
        training: dict[str, Any] | None = None,
        preparation: dict[str, Any] | None = None,
    ):
        super().__init__()
        check_values({"network": network, "seed": seed})
        self._network = {"preset": network, "seed": seed}
        self._seed = seed
        self._training = training or {}
        self._preparation = preparation or {}
        self._tasks: dict[str, Task] = {}
        self._site: LocalSite | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Do one task; what the site can mend is logged as one sentence and answered as an execution error."""
        task = self._tasks.get(task_name)
        if task is None:
            return make_reply(ReturnCode.TASK_UNKNOWN)
        try:
            site = self._site or self._open(fl_ctx)
            site.refuse_too_many_bad()
            site.refuse_too_long(fl_ctx.get_job_id())
            return task(site, shareable, fl_ctx, abort_signal)
        except ArrivedModelError as error:
            self.log_error(fl_ctx, f"site {fl_ctx.get_identity_name()}: {error}")
            return make_reply(MODEL_REFUSED)
        except FedbratsError as error:
            self.log_error(fl_ctx, str(error))
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            self.log_error(
                fl_ctx,
                f"site {fl_ctx.get_identity_name()} cannot use its disk: {error.strerror or error}{where}; "
                f"nothing is answered until it can",
            )
        return make_reply(ReturnCode.EXECUTION_EXCEPTION)

    def _open(self, fl_ctx: FLContext) -> LocalSite:
        """Read the site's files, prepare its cases and build its trainer, once a job."""
        check_deployed_job(fl_ctx)
        workspace = fl_ctx.get_engine().get_workspace()
        site = open_local_site(
            fl_ctx.get_identity_name(),
            local_folder(fl_ctx),
            Path(workspace.get_run_dir(fl_ctx.get_job_id())),
            network=self._network,
            training=self._training,
            preparation=self._preparation,
            seed=self._seed,
            prepare=self._prepare,
        )
        site.leave_out_bad_cases(None)
        if too_many := say_too_many(len(site.trainer.training), local_folder(fl_ctx)):
            self.log_error(fl_ctx, f"site {site.name} has {too_many}")
        self.log_info(fl_ctx, f"this job runs fedbrats {fedbrats.__version__} of {PACKAGE_DIR}")
        self._site = site
        garbage.freeze()
        return site

    def _prepare(self, site: str, facts: SiteFacts, preparation: CacheSettings) -> SiteCases:
        return prepare_site(site, facts, preparation)
