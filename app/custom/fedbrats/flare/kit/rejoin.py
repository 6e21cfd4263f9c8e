"""A site that was restarted, or that joins late, is given the jobs that are running; a restarted server tidies up.

FLARE 2.9.0 sends a job to the sites that are connected when it starts, and to nobody after: a hospital that reboots
is lost to a study of weeks. And when the job's process dies at one site, of a full memory say, it ends the job for
everybody. This component stands in the server's kit, asks every site every few seconds which jobs it runs, and starts
those that it does not. It uses what FLARE's own job runner uses to start a job.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import RunProcessKey, SystemComponents
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import ALL_SITES, Job, JobMetaKey, RunStatus
from nvflare.apis.job_scheduler_spec import DispatchInfo
from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode
from nvflare.private.defs import ERROR_MSG_PREFIX, ClientStatusKey, TrainingTopic
from nvflare.private.fed.client.client_status import ClientStatus, get_status_message
from nvflare.utils.job_launcher_utils import get_resource_manager_spec
from nvflare.widgets.widget import Widget

from fedbrats.flare import garbage
from fedbrats.flare.kit.job_failures import JobFailures
from fedbrats.flare.process import shut_out, version_report
from fedbrats.flare.process.heartbeats import SitesFile, notice_two_machines, tell_sites
from fedbrats.flare.process.site_versions import SiteVersions
from fedbrats.outside import show

INTERVAL_S = 3.0
PATIENCE = 4  # a job that is starting or ending is missing for a moment, a job that was lost for longer
MOST_STARTS = 10  # a site whose job dies again and again is left alone, aloud
DEPLOY_TIMEOUT_S = 30.0
LONGEST_REPLY = 100_000  # characters of a site's answer
STARTED = "started again"
NOT_ITS_JOB = "it is not a job for this site, or has just ended"
RUNNING = get_status_message(ClientStatus.STARTED)  # the job's process at the site has found everything it needs


class Rejoin(Widget):
    """Watches over the sites of running jobs, in the server's own process and never in a job's."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped = threading.Event()
        self._missing: dict[tuple[str, str], int] = {}  # (job, site): for how many looks in a row
        self._starts: dict[tuple[str, str], int] = {}
        self._sites_file = SitesFile()
        self._versions = SiteVersions()
        self._failures = JobFailures()
        self._failures.judge_reports()
        self._failures.tell_standing()
        notice_two_machines()
        version_report.tell_of_server()
        shut_out.judge_every_command()
        self._unreadable: set[str] = set()  # sites of which that has been said

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begin with the server and end with it."""
        engine = fl_ctx.get_engine()
        if event_type == EventType.SYSTEM_START and getattr(engine, "job_runner", None) is not None:
            try:
                self._put_away(engine, fl_ctx)
            except Exception:  # a server that cannot tidy up must still start
                self.logger.exception("the jobs that ran when this server ended could not be put away")
            threading.Thread(target=self._watch, args=(engine,), name="rejoin", daemon=True).start()
        elif event_type == EventType.SYSTEM_END:
            self._stopped.set()

    def _put_away(self, engine: Any, fl_ctx: FLContext) -> None:
        """End the jobs that ran when the server was killed, and archive what they left, so that they can be resumed.

        FLARE 2.9.0 has a method for it that nobody calls: such a job stays RUNNING for ever, and cannot be downloaded.
        One that cannot be archived, as the disk is full, stays so until the next start; the others do not.
        """
        manager = engine.get_component(SystemComponents.JOB_MANAGER)
        for job in manager.get_jobs_by_status([RunStatus.RUNNING, RunStatus.DISPATCHED], fl_ctx):
            try:
                engine.job_runner._save_workspace(fl_ctx, None, job.job_id)
                manager.set_status(job.job_id, RunStatus.ABANDONED, fl_ctx)
            except Exception as error:  # of the disk, or of what a crash has left on it
                self.logger.error(
                    f"a job that ran when this server ended could not be put away: {error!r:.200}; see to it, then "
                    f"start the server again; job={job.job_id}"
                )

    def _watch(self, engine: Any) -> None:
        garbage.freeze()
        while not self._stopped.wait(INTERVAL_S):
            garbage.collect()
            self.look(engine)

    def look(self, engine: Any) -> None:
        """Look once at everything; what goes wrong with one thing is no matter of the others."""
        self.look_after_all(engine)
        self._sites_file.keep(engine, self._failures.objections(engine))
        for look in (partial(_ask_versions, self._versions), _tell_sites):
            try:
                look(engine)
            except Exception:  # whatever FLARE raises, the next look is another chance
                self.logger.exception("a look at the sites failed")

    def look_after_all(self, engine: Any) -> None:
        """Look once at every site of every running job; what goes wrong with one is no matter of the others."""
        try:
            jobs = [job for job in list(engine.job_runner.running_jobs.values()) if _is_running(job, engine)]
            running = self._ask_what_runs(engine) if jobs else {}
            sites = [client.name for client in engine.get_clients()]
        except Exception:  # whatever FLARE raises, the next look is another chance
            self.logger.exception("the sites of the running jobs could not be asked")
            return
        for job in jobs:
            for site in sites:
                try:
                    self._look_after(job, site, running.get(site), engine)
                except Exception as error:
                    self.logger.error(
                        f"a job could not be given to a site again: {error!r:.200}; job={job.job_id} site={site}"
                    )

    def _ask_what_runs(self, engine: Any) -> dict[str, dict[str, str]]:
        """How each job at each site is, by the site's own word; a site whose answer is none is not in it."""
        names = {client.token: client.name for client in engine.get_clients()}
        requests = {token: Message(topic=TrainingTopic.CHECK_STATUS, body="") for token in names}
        replies = _asking(engine)(requests)
        running = {}
        for token, site in names.items():
            try:
                jobs = _read_reply(replies.get(token))
            except Exception:  # one site's answer must not cost the others theirs
                if site not in self._unreadable:
                    self.logger.error(f"what a site says of its running jobs cannot be read; site={site}")
                self._unreadable.add(site)
                continue
            self._unreadable.discard(site)
            if jobs is not None:
                running[site] = jobs
        return running

    def _look_after(self, job: Job, site: str, running: dict[str, str] | None, engine: Any) -> None:
        """Start a job at a site that has said several times that it does not run it.

        Args:
            job: a running job.
            site: one of the server's.
            running: how each job at the site is; None where it has not said.
            engine: the server's.
        """
        key = (job.job_id, site)
        if running is None or job.job_id in running:
            self._missing[key] = 0
            if running and running[job.job_id] == RUNNING:
                # FLARE drops the report of a job's death at a site whose outcome nobody waits for.
                self._failures.runs(job.job_id, site)
                engine.job_runner.resolve_client_outcome(job.job_id, site)
            return
        self._missing[key] = self._missing.get(key, 0) + 1
        if self._missing[key] < PATIENCE or self._starts.get(key, 0) >= MOST_STARTS:
            return
        self._missing[key] = 0
        self._starts[key] = self._starts.get(key, 0) + 1
        said = self._start(job, site, engine)
        if said not in (STARTED, NOT_ITS_JOB):
            self._failures.note_objection(job.job_id, site, said)
        self.logger.warning(f"a job was not running at a site: {show(said, 200)}; job={job.job_id} site={site}")
        if self._starts[key] == MOST_STARTS:
            self.logger.error(
                f"a site has lost a job {MOST_STARTS} times and is not given it again; job={job.job_id} site={site}"
            )

    def _start(self, job: Job, site: str, engine: Any) -> str:
        """Start a running job at one more site; returns what came of it."""
        app = _app_of(job, site)
        process = engine.run_processes.get(job.job_id)
        client = engine.get_client_from_name(site)
        if app is None or process is None or client is None:
            return NOT_ITS_JOB
        _admit(client, process)
        job.meta[JobMetaKey.JOB_CLIENTS] = [each.to_dict() for each in process[RunProcessKey.PARTICIPANTS].values()]
        needs = get_resource_manager_spec({**job.meta, JobMetaKey.RESOURCE_SPEC.value: job.resource_spec}, site)
        with engine.new_context() as fl_ctx:
            # What is at the site already is left there, with the scores of earlier rounds. A refused start would keep
            # what it was given of GPUs, so a job that needs some is always deployed first.
            said = "not there" if needs else _launch(job, app, site, needs, engine, fl_ctx)
            if said != STARTED:
                error = _deploy(job, app, client, engine, fl_ctx)
                said = f"it could not be deployed, {error}" if error else _launch(job, app, site, needs, engine, fl_ctx)
        return said


def _asking(engine: Any) -> Callable[[Mapping[str, Message]], Mapping[str, Message]]:
    """Sends each site its message, by token; the replies come by token, one that has not come in time as None."""
    send = engine.server.admin_server.send_requests_and_get_reply_dict
    return lambda requests: send(requests, timeout_secs=INTERVAL_S)


def _ask_versions(versions: SiteVersions, engine: Any) -> None:
    versions.look({client.token: client.name for client in engine.get_clients()}, _asking(engine))


def _tell_sites(engine: Any) -> None:
    tell_sites(engine, _asking(engine))


def read_running_jobs(body: Any) -> dict[str, str]:
    """How each job at a site is, in what the site has answered.

    Raises: ValueError, TypeError, LookupError, RecursionError where that cannot be read.
    """
    if not isinstance(body, str) or len(body) > LONGEST_REPLY:
        raise ValueError("no text, or a long one")
    jobs = json.loads(body)[ClientStatusKey.RUNNING_JOBS]
    found = {each[ClientStatusKey.JOB_ID]: each[ClientStatusKey.STATUS] for each in jobs}
    if not all(isinstance(text, str) for entry in found.items() for text in entry):
        raise TypeError("a job's id or status is no text")
    return found


def _read_reply(reply: Message | None) -> dict[str, str] | None:
    """What a site answered; None where it did not answer. Raises anything where the answer is malformed."""
    if reply is None or reply.get_header(MsgHeader.RETURN_CODE, ReturnCode.OK) != ReturnCode.OK:
        return None
    return read_running_jobs(reply.body)


def _is_running(job: Job, engine: Any) -> bool:
    """Whether the job's process at the server is at work."""
    process = engine.run_processes.get(job.job_id)
    return not (job.run_aborted or process is None or process.get(RunProcessKey.PROCESS_FINISHED))


def _app_of(job: Job, site: str) -> str | None:
    for app, participants in job.get_deployment().items():
        if any(each == site or str(each).upper() == ALL_SITES for each in participants):
            return app
    return None


def _admit(client: Client, process: dict[str, Any]) -> None:
    """Let the job's process know the site under its new token; others read the dictionary, so it is replaced whole."""
    others = {token: each for token, each in process[RunProcessKey.PARTICIPANTS].items() if each.name != client.name}
    process[RunProcessKey.PARTICIPANTS] = {**others, client.token: client}


def _launch(job: Job, app: str, site: str, needs: dict[str, Any], engine: Any, fl_ctx: FLContext) -> str:
    """Start the job at a site that has its application; returns STARTED or what the site objects."""
    enough, token = engine.check_client_resources(job, {site: needs}, fl_ctx).get(site, (False, "no answer"))
    if not enough:
        return f"it has no room for it now ({token})"
    replies = engine.start_client_job(job, {site: DispatchInfo(app, needs, token)}, fl_ctx)
    said = [str(each.reply.body) for each in replies if each.reply]
    return STARTED if said and not said[0].startswith(ERROR_MSG_PREFIX) else said[0] if said else "no answer"


def _deploy(job: Job, app: str, client: Client, engine: Any, fl_ctx: FLContext) -> str | None:
    """Send the job's application to a site; returns the site's objection, None where it has none."""
    runner = engine.job_runner
    message = runner._make_deploy_message(job, job.get_application(app, fl_ctx), app, fl_ctx)
    replies = engine.server.admin_server.send_requests_and_get_reply_dict(
        {client.token: message}, timeout_secs=DEPLOY_TIMEOUT_S
    )
    reply = replies.get(client.token)
    if reply is None:
        return "no answer"
    return None if reply.get_header(MsgHeader.RETURN_CODE, ReturnCode.OK) == ReturnCode.OK else str(reply.body)
