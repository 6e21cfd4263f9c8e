"""A site that says that it cannot run a job ends its own part in it, and not the job of the others.

FLARE 2.9.0 ends a job for everybody as soon as one site reports that its process of the job has failed before it ran.
A hospital could so end every job of the consortium, and one with a broken site file did. Who asks how the job stands is
told which sites do not run it, and why.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

from nvflare.apis.fl_constant import RunProcessKey
from nvflare.fuel.f3.cellnet.defs import ReturnCode
from nvflare.fuel.f3.cellnet.utils import make_reply
from nvflare.fuel.f3.message import Message
from nvflare.private.defs import ERROR_MSG_PREFIX, CellMessageHeaderKeys, JobFailureMsgKey
from nvflare.private.fed.client.client_executor import REPORTABLE_JOB_FAILURES
from nvflare.private.fed.server.fed_server import FederatedServer
from nvflare.private.fed.server.server_engine import ServerEngine

from fedbrats.flare.protocol import STANDING
from fedbrats.outside import show

LONGEST_REASON = 200
FAILURES = tuple(REPORTABLE_JOB_FAILURES)  # codes of how a site's process of a job has ended
_log = logging.getLogger(__name__)


class JobFailures:
    """Which sites have said of which running job that they cannot run it; in the server's own process."""

    def __init__(self) -> None:
        self._failed: dict[str, set[str]] = defaultdict(set)
        self._objections: dict[str, dict[str, str]] = defaultdict(dict)  # job -> site -> why it does not run it

    def runs(self, job_id: str, site: str) -> None:
        """A site has said that it runs a job."""
        self._failed[job_id].discard(site)
        self._objections[job_id].pop(site, None)

    def note_objection(self, job_id: str, site: str, why: Any) -> None:
        """A site has said why it does not run a job."""
        self._objections[job_id][site] = show(str(why).replace(f"{ERROR_MSG_PREFIX}: ", ""), LONGEST_REASON)

    def objections(self, engine: Any) -> dict[str, dict[str, str]]:
        """Why sites do not run a job, by running job and site."""
        return {job: dict(self._objections[job]) for job in list(engine.run_processes) if self._objections.get(job)}

    def tell_standing(self) -> None:
        """Have FLARE's engine of this process say with a job's standing which sites object, and count the others."""
        show_stats = getattr(ServerEngine.show_stats, "of_job", ServerEngine.show_stats)

        def show_whole(engine: ServerEngine, job_id: str) -> Any:
            stats = show_stats(engine, job_id)
            if isinstance(stats, dict) and isinstance(said := stats.get(STANDING), dict):
                return {**stats, STANDING: said | self._take_part(engine, job_id)}
            return stats

        show_whole.of_job = show_stats  # type: ignore[attr-defined]
        ServerEngine.show_stats = show_whole

    def _take_part(self, engine: Any, job_id: str) -> dict[str, Any]:
        """objections: by site; sites: how many of the job's sites are connected and do not object."""
        objections = dict(self._objections.get(job_id, {}))
        process = engine.run_processes.get(job_id) or {}
        of_job = {each.name for each in process.get(RunProcessKey.PARTICIPANTS, {}).values()}
        connected = {each.name for each in engine.get_clients()}
        return {"objections": objections, "sites": len((of_job & connected) - objections.keys())}

    def ends_job(self, job_id: str, site: str, participants: set[str], min_sites: int) -> bool:
        """Note that a site cannot run a job; whether too few others are left to go on."""
        self._failed[job_id].add(site)
        return len(participants - self._failed[job_id]) < max(min_sites, 1)

    def judge_reports(self) -> None:
        """Have FLARE's server of this process ask here before it ends a job."""
        end_job = getattr(FederatedServer.process_job_failure, "ends_job", FederatedServer.process_job_failure)

        def take_report(server: FederatedServer, request: Message) -> Message:
            return self._take(server, request) or end_job(server, request)

        take_report.ends_job = end_job  # type: ignore[attr-defined]
        FederatedServer.process_job_failure = take_report

    def _take(self, server: Any, request: Message) -> Message | None:
        """The answer to a report that ends the site's part alone; None where FLARE's own rule is to follow."""
        said = request.payload if isinstance(request.payload, dict) else {}
        job_id, failed = said.get(JobFailureMsgKey.JOB_ID), said.get(JobFailureMsgKey.CODE) in FAILURES
        client = server.client_manager.clients.get(request.get_header(CellMessageHeaderKeys.TOKEN))
        runner = server.engine.job_runner
        if client is None or not failed or not isinstance(job_id, str):
            return None
        job, process = runner.running_jobs.get(job_id), server.engine.run_processes.get(job_id)
        if job is None or process is None or not runner.is_client_outcome_pending(job_id, client.name):
            return None
        participants = {each.name for each in process[RunProcessKey.PARTICIPANTS].values()}
        if self.ends_job(job_id, client.name, participants, job.min_sites or 1):
            return None
        reason = show(said.get(JobFailureMsgKey.REASON))
        self.note_objection(job_id, client.name, reason)
        _log.error(f"a site cannot run a job, which goes on: {reason}; job={job_id} site={client.name}")
        runner.resolve_client_outcome(job_id, client.name)
        return make_reply(ReturnCode.OK, "", None)
