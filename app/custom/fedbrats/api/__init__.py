"""fedbrats from Python: one function per step, results with types, the same work as the commands.

    from fedbrats import api

    sites = api.split("BraTS2020", "sites", by="unequal", sites=5)
    study = api.federate("fedavg", sites.folder, seeds=range(5), settings={"num_rounds": 20}, progress=print)
    api.compare([study, api.federate("contribution", sites.folder, seeds=range(5))]).write("latex")

What is in `__all__` here stays as it is within one minor version. Every function raises FedbratsError, whose text says
what is wrong and what to do.
"""

from fedbrats.api.cases import Check, Prepared, PreparedSite, Sites, check, phantom, prepare, split
from fedbrats.api.comparison import Comparison, compare
from fedbrats.api.evaluation import Evaluation, Metric, evaluate
from fedbrats.api.federation import federate
from fedbrats.api.prediction import PredictedCase, Predictions, predict
from fedbrats.api.progress import Progress, Step
from fedbrats.api.reporting import Report, report
from fedbrats.api.runs import Run, SiteScore, Study
from fedbrats.api.training import resume, train
from fedbrats.errors import FedbratsError

__all__ = [
    "Check",
    "Comparison",
    "Evaluation",
    "FedbratsError",
    "Metric",
    "PredictedCase",
    "Predictions",
    "Prepared",
    "PreparedSite",
    "Progress",
    "Report",
    "Run",
    "SiteScore",
    "Sites",
    "Step",
    "Study",
    "check",
    "compare",
    "evaluate",
    "federate",
    "phantom",
    "predict",
    "prepare",
    "report",
    "resume",
    "split",
    "train",
]
