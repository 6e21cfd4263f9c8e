"""What a consortium's kits allow: which classes a job may name, and which role may do what.

FLARE checks each component of a job without code against the list of classes at every site. Ours stand one by one and
not as the prefix `fedbrats.`: a prefix would let a job call any function of the package, with arguments of the job's
choice.
"""

from typing import Any

from fedbrats.extensions.kinds import AGGREGATORS, HOOKS

# What a job's configuration for the server may build, and what that for a site may: each kit has its own side's list.
SERVER_CLASSES = (
    *AGGREGATORS,
    "fedbrats.flare.packing.Compress",
    "fedbrats.flare.packing.Decompress",
    "fedbrats.flare.server.evaluation.CrossSiteEvaluation",
    "fedbrats.flare.server.evaluation.FinalEvaluation",
    "fedbrats.flare.server.gated_aggregator.GatedAggregator",
    "fedbrats.flare.server.job_models.JobModels",
    "fedbrats.flare.server.recorder.Recorder",
    "fedbrats.flare.server.tracking.Curves",
    "fedbrats.flare.server.workflow.QuorumScatterAndGather",
    "fedbrats.model.network.SegmentationNetwork",
    "nvflare.app_common.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator",
    "nvflare.app_common.widgets.intime_model_selector.IntimeModelSelector",
    "nvflare.app_opt.pt.fedopt.PTFedOptModelShareableGenerator",
    "nvflare.app_opt.pt.file_model_locator.PTFileModelLocator",
    # Not on FLARE's own default list in 2.9.0, although its every PyTorch example needs it.
    "nvflare.app_opt.pt.file_model_persistor.PTFileModelPersistor",
    "torch.optim.SGD",  # FedOpt's server optimiser
)
SITE_CLASSES = (
    *HOOKS,  # which the executor builds and no component of FLARE's
    "fedbrats.flare.packing.Compress",
    "fedbrats.flare.packing.Decompress",
    "fedbrats.flare.site.cross_site.CrossSiteExecutor",
    "fedbrats.flare.site.executor.SegmentationExecutor",
    "fedbrats.flare.site.filters.KeepShared",
    "fedbrats.flare.site.padding.Offer",
    "fedbrats.flare.site.padding.Padding",
)
ALLOWED_CLASSES = tuple(sorted({*SERVER_CLASSES, *SITE_CLASSES}))  # in the simulator, which has one policy

# A condition is any, none, o:site (people of the site's own organisation) or n:submitter (who submitted the job).
# Nobody brings code (byoc). People of the server's organisation read files of its kit (shell_commands). Nobody reads
# those of a site over the network, whatever stands here (cell_rules.ADMIN_REQUESTS).
# FLARE 2.9.0 has no category for `report_version` and `get_job_log`: what is not named is nobody's.
_SEEN = {"view": "any", "report_version": "any"}
_CODE = {"byoc": "none", "server-predeployed-flwr": "none"}
AUTHORIZATION = {
    "format_version": "1.0",
    "permissions": {
        "project_admin": {
            **dict.fromkeys(("submit_job", "manage_job", "download_job", "operate"), "any"),
            "clone_job": "n:submitter",  # a clone bears the signature of the first submitter
            "shell_commands": "o:site",
            "get_job_log": "any",
            **_SEEN,
            **_CODE,
        },
        "org_admin": {
            **dict.fromkeys(("submit_job", "clone_job", "download_job"), "none"),
            "manage_job": "o:submitter",
            **_SEEN,
            "operate": "o:site",
            "shell_commands": "none",
            **_CODE,
        },
        "lead": {
            "submit_job": "any",
            # A job's log is in what is downloaded of it too.
            **dict.fromkeys(("clone_job", "manage_job", "download_job", "get_job_log"), "n:submitter"),
            **_SEEN,
            **dict.fromkeys(("operate", "shell_commands"), "none"),
            **_CODE,
        },
        "member": {**_SEEN},
    },
}

# The scope of every job that names none; a job that names another is refused by the site.
PRIVACY = {
    "scopes": [
        {
            "name": "hospital",
            "properties": {},
            "task_result_filters": [{"path": "fedbrats.flare.kit.site_gate.SiteGate", "args": {"keep": []}}],
        }
    ],
    "default_scope": "hospital",
}
REJOIN_COMPONENT = {"id": "rejoin", "path": "fedbrats.flare.kit.rejoin.Rejoin", "args": {}}
GUARD_COMPONENT = {"id": "cell_guard", "path": "fedbrats.flare.kit.cell_guard.CellGuard", "args": {}}
HOUSEKEEPING_COMPONENT = {"id": "housekeeping", "path": "fedbrats.flare.process.housekeeping.Housekeeping", "args": {}}
# FLARE's ports on 127.0.0.1, for the processes of jobs. By default they are plain TCP, and every user of the machine is
# then the site.
COMM_CONFIG_FILE = "comm_config.json"
COMM_CONFIG: dict[str, Any] = {
    "internal": {"scheme": "stcp", "resources": {"host": "localhost", "connection_security": "mtls"}},
    "allow_adhoc_conns": False,
}
# Judges an application before it is deployed; FLARE's place for it is at the top of resources.json.
APP_VALIDATOR = {"path": "fedbrats.flare.kit.app_rules.AppRules", "args": {}}
SUBMITTER_COMPONENT = {"id": "submitter", "path": "fedbrats.flare.kit.submitter.SubmittedBySigner", "args": {}}
RULES_COMPONENT = {"id": "job_rules", "path": "fedbrats.flare.kit.job_rules.NoPaths", "args": {}}
