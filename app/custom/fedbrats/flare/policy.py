"""The classes that a job without code may name: all that our jobs are made of, and nothing else.

FLARE checks each component of a job against this list at every site. Ours stand one by one and not as the prefix
`fedbrats.`: a prefix would let a job call any function of the package, with arguments of the job's choice.
"""

FLARE_CLASSES = (
    "nvflare.app_common.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator",
    "nvflare.app_common.widgets.convert_to_fed_event.ConvertToFedEvent",
    "nvflare.app_common.widgets.intime_model_selector.IntimeModelSelector",
    "nvflare.app_common.workflows.global_model_eval.GlobalModelEval",
    "nvflare.app_common.workflows.scatter_and_gather.ScatterAndGather",
    "nvflare.app_opt.pt.fedopt.PTFedOptModelShareableGenerator",
    "nvflare.app_opt.pt.file_model_locator.PTFileModelLocator",
    # Not on FLARE's own default list in 2.9.0, although its every PyTorch example needs it.
    "nvflare.app_opt.pt.file_model_persistor.PTFileModelPersistor",
    "nvflare.app_opt.tracking.mlflow.mlflow_receiver.MLflowReceiver",
    "nvflare.app_opt.tracking.tb.tb_receiver.TBAnalyticsReceiver",
    "torch.optim.SGD",  # FedOpt's server optimiser
)
OUR_CLASSES = (
    "fedbrats.flare.aggregators.ContributionFactor",
    "fedbrats.flare.aggregators.CoordinateMedian",
    "fedbrats.flare.aggregators.TrimmedMean",
    "fedbrats.flare.aggregators.WeightedFedAvg",
    "fedbrats.flare.executor.SegmentationExecutor",
    "fedbrats.flare.fedce.FedCE",
    "fedbrats.flare.filters.KeepShared",
    "fedbrats.flare.recorder.Recorder",
    "fedbrats.model.network.SegmentationNetwork",
)
ALLOWED_CLASSES = (*FLARE_CLASSES, *OUR_CLASSES)
