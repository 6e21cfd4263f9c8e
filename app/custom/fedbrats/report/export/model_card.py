"""The model card: what a model is for, what it was trained on in aggregate, how good it is, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedbrats import __version__
from fedbrats.errors import ConfigurationError
from fedbrats.model.saved import SavedModel
from fedbrats.privacy.accounting import PrivateSteps, epsilon
from fedbrats.privacy.membership import is_conclusive
from fedbrats.report.numbers.measured import Measured
from fedbrats.rows import REGIONS_AND_MEAN

AUDIT = "audit"  # in a summary: what `fedbrats audit` found of the weights


def write_model_card(model: SavedModel, summary: Mapping[str, Any], measured: Measured, checksum: str) -> str:
    """Markdown from a model, the summary of its job and what that measured with these weights.

    An unknown number is said to be unknown. No site is named.
    """
    network = ", ".join(f"{key}={value}" for key, value in model.network_options.items())
    return f"""# Brain tumour segmentation, trained with fedbrats

Segments the nested glioma regions whole tumour (WT), tumour core (TC) and enhancing tumour (ET) on skull-stripped,
co-registered T1, T1ce, T2 and FLAIR images in BraTS form.

## Intended use

Research. **Not a medical device**: nothing it gives may guide the care of a patient.

## Training

{_training(model, summary)}

{_privacy(summary)}

Network: {network}. Voxels: {_voxels(model)}. Normalisation: {model.preparation.normalisation}.

## Performance

{_performance(measured)}

## Limits

- Trained on pre-operative adult gliomas of a few sites; other scanners, ages, diseases and resection cavities are
  unknown to it, and a number over many patients says little about one.
- All four modalities are needed, skull-stripped and on one grid.
- Small enhancing regions are missed more often than large ones.

## Use

Install the wheel fedbrats-{__version__} that your consortium handed out (no public index has it), and fire.

```sh
python -m monai.bundle run --config_file configs/inference.json --dataset_dir CASES --output_dir OUT
```

## Licence and citations

The code is under Apache-2.0; the weights carry the terms of the data they were trained on. Cite Menze 2015
(doi 10.1109/TMI.2014.2377694), Bakas 2017 (doi 10.1038/sdata.2017.117), Bakas 2018 (arXiv:1811.02629), Baid 2021
(arXiv:2107.02314), Roth 2022 (NVIDIA FLARE, arXiv:2210.13291) and Cardoso 2022 (MONAI, arXiv:2211.02701).

Weights, SHA-256: `{checksum}`
"""


def _training(model: SavedModel, summary: Mapping[str, Any]) -> str:
    sites = summary.get("per_site") or {}
    cases = [site.get("training_cases") for site in sites.values()]
    if not cases or None in cases:
        return "The number of sites and cases is not known to this file."
    own = " The personal weights of one site lie over what the sites share." if model.is_personal else ""
    return (
        f"Job `{summary['job']}`: {len(cases)} site{'s' * (len(cases) != 1)} with {sum(cases)} training cases in all, "
        f"{summary['rounds']} rounds.{own}"
    )


def _privacy(summary: Mapping[str, Any]) -> str:
    """What the weights can tell of one patient: by the job's variables, and by an audit of them."""
    pads = (summary.get("variables") or {}).get("secure") == "pads"
    sums = " The server saw sums of the sites' updates under pads, and no single update." if pads else ""
    return f"{_guarantee(summary)}{sums} {_audited(summary.get(AUDIT) or {})}"


def _audited(audit: Mapping[str, Any]) -> str:
    if not audit:
        return "Not audited."
    if not is_conclusive(audit):
        return "Audited, but the controls did not come out, so that the audit says nothing."
    found = audit["membership"]
    return (
        f"An audit told training patients from others with an AUC of {found['auc']:.3f} (95 % interval "
        f"{found['low']:.3f} to {found['high']:.3f}, {found['members']} and {found['others']} patients). It is one "
        f"attack, and no proof."
    )


def _guarantee(summary: Mapping[str, Any]) -> str:
    values = summary.get("variables") or {}
    if values.get("dp_noise") is None:
        return "Trained without differential privacy: nothing limits what the weights remember of one patient."
    steps, delta = values["num_rounds"] * values["local_steps"], values["dp_delta"]
    cost = PrivateSteps(values["dp_noise"], values["dp_rate"], steps)
    try:
        spent = f"epsilon {epsilon([cost], delta):.2f} at delta {delta:g}"
    except ConfigurationError:  # no accountant is installed here
        spent = "an epsilon that was not computed here"
    return (
        f"Differential privacy of each training patient: {spent}, for {steps} steps with noise {cost.noise:g} and rate "
        f"{cost.rate:g}. Neighbouring data sets differ by one patient; patients are drawn by chance in every step. The "
        f"number holds where each round was trained once; the ledgers of the sites have the count. Validation patients "
        f"are not covered."
    )


def _performance(measured: Measured) -> str:
    if measured.unknown:
        return f"Not known for these weights: {measured.unknown}."
    dice, iou = measured.dice, measured.iou
    rows = "\n".join(f"| {region} | {dice[region]:.3f} | {iou[region]:.3f} |" for region in REGIONS_AND_MEAN)
    return (
        f"Validation cases of the training sites ({measured.cases} in all), mean over cases:\n\n"
        f"| region | Dice | IoU |\n|---|---|---|\n{rows}"
    )


def _voxels(model: SavedModel) -> str:
    if model.preparation.shape:
        return "resized to " + " x ".join(map(str, model.preparation.shape))
    return f"{model.preparation.spacing_mm:g} mm" if model.preparation.spacing_mm else "the scan's own"
