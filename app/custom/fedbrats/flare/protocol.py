"""What travels between site and server beside FLARE's own: every key and stage, and how an answer is read.

What a site may say in its answers is declared in `fedbrats.site_report`.
"""

from __future__ import annotations

from nvflare.apis.dxo import DXO, from_shareable
from nvflare.apis.shareable import Shareable

from fedbrats.errors import UpdateError
from fedbrats.site_report import SiteReport

# Keys in the meta of a DXO
REPORT_KEY = "fedbrats"  # site to server: the site's report of a round
SAID_KEY = "fedbrats_said"  # site to server: what the job's method has sites say besides, by the cases it tells of
TOLD_KEY = "fedbrats_told"  # server to site: what the job's method tells every site with the model
TRAVELLED = "fedbrats_bytes"  # of what was unpacked: how many bytes of arrays came
PACKED_KIND, PACKED_NAMES = "fedbrats_compression", "fedbrats_names"  # of what is packed
MODEL_NAME = "model"  # server to site, of a task of the job `evaluate`: which model of the job to evaluate
FEDCE_WEIGHTS = "fedce_coef"  # server to site, of FLARE's FedCE: what each site counted for in the model
VALIDATION_DICE = "val_dice"  # in MetaKey.INITIAL_METRICS, for FLARE's IntimeModelSelector

# Secure aggregation (privacy/secure): the tasks after `train`, and what an answer to `train` holds in place of weights.
SECURE_ANSWER, SECURE_SIGN, SECURE_REVEAL = SECURE_TASKS = ("secure_answer", "secure_sign", "secure_reveal")
SKETCH = "sketch"  # in the data of a DXO: the sketch of the update
OFFER_KEY = "fedbrats_offer"  # in the meta of the same DXO: the length of the update, and the site's key

SILENT_SITES = "fedbrats_silent_sites"  # in the server's context: sites from which the job expects nothing more
STANDING = "fedbrats"  # server to people: the group of a job's standing in the answer to `show_stats`
MODEL_REFUSED = "MODEL_REFUSED"  # a return code beside FLARE's: the site does not train from what it was sent

PACKED_CODES, PACKED_SCALES = "codes", "scales"  # what is packed, in the data of a DXO

# The header MODEL_OWNER of a task names the model to evaluate.
FINAL_MODEL, BEST_MODEL = "SRV_FL_global_model.pt", "SRV_best_FL_global_model.pt"
STAGES = {FINAL_MODEL: "final", BEST_MODEL: "best"}  # as rows name them
FROM_SERVER = "SRV_"  # before the name of a model that FLARE's evaluation has from the server


def read_answer(result: Shareable) -> DXO | None:
    """A site's answer, or None where it cannot be read (the aggregator then refuses it)."""
    try:
        return from_shareable(result)
    except ValueError:
        return None


def require_answer(result: Shareable) -> DXO:
    """What a site is about to send. Raises: UpdateError, upon which FLARE sends nothing, where it cannot be read."""
    answer = read_answer(result)
    if answer is None:
        raise UpdateError("nothing is sent: the result is neither weights nor metrics")
    return answer


def report_of(answer: DXO | None) -> SiteReport:
    """What a site says of its round, as far as it can be read; an empty report where there is none."""
    return SiteReport.read(answer.get_meta_prop(REPORT_KEY) if answer else None)
