"""The server and the sites of a federation in one process: FLARE's own runners, with engines that have no network."""

from __future__ import annotations

import copy
import os
from argparse import Namespace
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey, JobConstants, ReservedKey, SiteType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.workspace import Workspace
from nvflare.private.defs import AppFolderConstants
from nvflare.private.fed.client.client_engine_executor_spec import TaskAssignment
from nvflare.private.fed.client.client_json_config import ClientJsonConfigurator
from nvflare.private.fed.client.client_run_manager import ClientRunManager
from nvflare.private.fed.client.client_runner import ClientRunner
from nvflare.private.fed.server.client_manager import ClientManager
from nvflare.private.fed.server.run_manager import RunManager
from nvflare.private.fed.server.server_engine import ServerEngine
from nvflare.private.fed.server.server_json_config import ServerJsonConfigurator
from nvflare.private.fed.server.server_runner import ServerRunner
from nvflare.private.fed.utils.fed_utils import authorize_build_component

from fedbrats.flare.one_process.lean import as_peer

NOT_HERE = "none"  # an address, which nobody connects to


class QuietEngine(ServerEngine):
    """FLARE's engine of a job's server; its sites are in this process and need no messages."""

    def send_aux_request(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Nobody is told anything but by tasks."""
        return {}

    def sync_clients_from_main_process(self) -> None:
        """The sites never change."""


class Server:
    """The server's part of a job.

    Attributes:
        runner: FLARE's.
    """

    def __init__(self, workspace: Workspace, job_id: str, sites: list[str]):
        args = _arguments(workspace, job_id, SiteType.SERVER)
        app_root = workspace.get_app_dir(job_id)
        config = os.path.join(app_root, "config", JobConstants.SERVER_JOB_CONFIG.rpartition("/")[2])
        conf = ServerJsonConfigurator(
            workspace_obj=workspace, config_file_name=config, app_root=app_root, args=args, kv_list=[]
        )
        _configure(conf, workspace, job_id, args)
        self._clients = ClientManager(max_num_clients=len(sites))
        self.clients = {name: Client(name, f"token of {name}") for name in sites}
        self._clients.clients = {client.token: client for client in self.clients.values()}
        self._clients.name_to_clients = dict(self.clients)
        self.engine = QuietEngine(SimpleNamespace(runner_config=conf.runner_config), args, self._clients, None)
        self.engine.set_configurator(conf)
        self.engine.set_run_manager(
            RunManager(
                SiteType.SERVER,
                self.engine,
                job_id,
                workspace,
                conf.runner_config.components,
                self._clients,
                hearing(conf.runner_config.handlers),
            )
        )
        self.runner = ServerRunner(conf.runner_config, job_id, self.engine)
        self.engine.run_manager.add_handler(self.runner)
        with self.engine.new_context() as fl_ctx:
            _set_context(fl_ctx, workspace, args, app_root)
            fl_ctx.set_prop(FLContextKey.RUNNER, self.runner, private=True, sticky=True)

    def give(self, site: str, asker: FLContext) -> tuple[str, str, Shareable, FLContext] | None:
        """What a site that asks gets: a task's name, its id, its data, and who says it; None where it has no task."""
        with self.engine.new_context() as fl_ctx:
            fl_ctx.set_peer_context(asker)
            name, task_id, data = self.runner.process_task_request(self.clients[site], fl_ctx)
            if not task_id or data is None:
                return None
            return name, task_id, copy.deepcopy(data), as_peer(fl_ctx)

    def take(self, site: str, name: str, task_id: str, result: Shareable, speaker: FLContext) -> None:
        """Hear a site's answer."""
        result = copy.deepcopy(result)
        with self.engine.new_context() as fl_ctx:
            speaker.set_prop(FLContextKey.SHAREABLE, result, private=True, sticky=True)
            fl_ctx.set_peer_context(speaker)
            self.runner.process_submission(self.clients[site], name, task_id, result, fl_ctx)


class Site:
    """A site's part of a job, alive for as long as the job."""

    def __init__(self, workspace: Workspace, job_id: str, name: str):
        self.name = name
        args = _arguments(workspace, job_id, name)
        app_root = workspace.get_app_dir(job_id)
        config = os.path.join(app_root, "config", JobConstants.CLIENT_JOB_CONFIG.rpartition("/")[2])
        conf = ClientJsonConfigurator(
            workspace_obj=workspace, config_file_name=config, app_root=app_root, args=args, kv_list=[]
        )
        _configure(conf, workspace, job_id, args)
        client = SimpleNamespace(client_args={}, client_name=name)
        parts = conf.runner_config
        self.engine = ClientRunManager(name, job_id, workspace, client, parts.components, hearing(parts.handlers), conf)
        self.runner = ClientRunner(client.client_args, parts, job_id, self.engine)
        self.engine.add_handler(self.runner)
        with self.engine.new_context() as fl_ctx:
            _set_context(fl_ctx, workspace, args, app_root)
            fl_ctx.set_prop(FLContextKey.CLIENT_NAME, name, private=False)
            fl_ctx.set_prop(FLContextKey.RUNNER, self.runner, private=True)
            fl_ctx.set_prop(ReservedKey.RUN_ABORT_SIGNAL, self.runner.run_abort_signal, private=True, sticky=True)
            self.runner.fire_event(EventType.ABOUT_TO_START_RUN, fl_ctx)
            self.runner.fire_event(EventType.START_RUN, fl_ctx)

    def work(self, server: Server) -> bool:
        """Ask for a task and do it; returns whether there was one."""
        with self.engine.new_context() as fl_ctx:
            given = server.give(self.name, as_peer(fl_ctx))
            if given is None:
                return False
            name, task_id, data, speaker = given
            fl_ctx.set_peer_context(speaker)
            data.set_peer_context(speaker)
            answer = self.runner._process_task(TaskAssignment(name, task_id, data), fl_ctx)
            server.take(self.name, name, task_id, answer, as_peer(fl_ctx))
        return True

    def end(self) -> None:
        """The job is over."""
        with self.engine.new_context() as fl_ctx:
            self.runner.fire_event(EventType.ABOUT_TO_END_RUN, fl_ctx)
            self.runner.fire_event(EventType.END_RUN, fl_ctx)


def hearing(components: Sequence[FLComponent]) -> list[FLComponent]:
    """Those that do something at some event: FLARE prepares every event anew for each component that may hear it."""
    return [
        each
        for each in components
        if type(each).handle_event is not FLComponent.handle_event or each.get_event_handlers()
    ]


def _arguments(workspace: Workspace, job_id: str, name: str) -> Namespace:
    """What FLARE's processes get on their command lines."""
    return Namespace(
        workspace=workspace.get_root_dir(),
        job_id=job_id,
        client_name=name,
        config_folder="config",
        env=os.path.join("config", AppFolderConstants.CONFIG_ENV),
        set=[],
        sp_scheme=NOT_HERE,
        sp_target=NOT_HERE,
        parent_url=NOT_HERE,
    )


def _configure(conf: Any, workspace: Workspace, job_id: str, args: Namespace) -> None:
    """Build the job's components, each held against the list of classes."""
    fl_ctx = FLContext()
    _set_context(fl_ctx, workspace, args, workspace.get_app_dir(job_id))
    conf.set_component_build_authorizer(authorize_build_component, fl_ctx=fl_ctx, event_handlers=[])
    conf.configure()


def _set_context(fl_ctx: FLContext, workspace: Workspace, args: Namespace, app_root: str) -> None:
    fl_ctx.set_prop(FLContextKey.ARGS, args, private=True, sticky=True)
    fl_ctx.set_prop(FLContextKey.APP_ROOT, app_root, private=True, sticky=True)
    fl_ctx.set_prop(FLContextKey.WORKSPACE_ROOT, args.workspace, private=True, sticky=True)
    fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=True)
    fl_ctx.set_prop(FLContextKey.SECURE_MODE, False, private=True, sticky=True)
    fl_ctx.set_prop(FLContextKey.CURRENT_RUN, args.job_id, private=False, sticky=True)
    fl_ctx.set_prop(FLContextKey.CURRENT_JOB_ID, args.job_id, private=False, sticky=True)
