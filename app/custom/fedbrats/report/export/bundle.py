"""Write a model as a MONAI bundle: weights, metadata, an inference that `monai.bundle` runs, and a model card.

The bundle runs fedbrats' own preparation and prediction, so that its masks are those of `fedbrats predict`; it names
the fedbrats release among its required packages.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fedbrats import __version__
from fedbrats.atomic import (
    new_folder,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)
from fedbrats.data.cases.case import MODALITIES, find_cases
from fedbrats.data.regions import BRATS_2018, REGIONS, get_convention
from fedbrats.model.device import choose_device
from fedbrats.model.inference import THRESHOLD
from fedbrats.model.maps import write_label_map
from fedbrats.model.prediction import Predictor
from fedbrats.model.saved import SavedModel, load_model
from fedbrats.report.export.model_card import write_model_card
from fedbrats.report.numbers.measured import Measured
from fedbrats.run_folder import BUNDLE_MODEL


def write_bundle(model: SavedModel, folder: Path, summary: Mapping[str, Any], measured: Measured) -> str:
    """Write the bundle and return the SHA-256 of its weights; what `folder` held is replaced whole.

    summary: of the job that trained the model, and what it measured with these weights, for the model card; its sites
        appear in numbers only.
    """
    content = _model_bytes(model)
    checksum = hashlib.sha256(content).hexdigest()
    with new_folder(folder) as temporary:
        write_bytes_atomic(temporary / BUNDLE_MODEL, lambda stream: stream.write(content))
        write_json_atomic(temporary / "configs" / "metadata.json", _metadata(model, checksum))
        write_json_atomic(temporary / "configs" / "inference.json", _inference(model))
        write_text_atomic(temporary / "docs" / "README.md", write_model_card(model, summary, measured, checksum))
    return checksum


def predict_folder(model: str, cases: str, out: str, device: str = "auto", convention: str = BRATS_2018.name) -> None:
    """Predict every case of a folder: what the bundle's `run` does. Raises: DataError at the first bad case."""
    predictor = Predictor(load_model(Path(model)), choose_device(device))
    for case in find_cases(Path(cases)):
        write_label_map(predictor.predict(case), get_convention(convention), Path(out))


def _model_bytes(model: SavedModel) -> bytes:
    """As `fedbrats train` writes a model."""
    document = {
        "model": model.network.state_dict(),
        "network": model.network_options,
        "settings": {
            **model.settings,
            "inference_window": list(model.window) if model.window else None,
            "component_share": model.component_share,
        },
        "preparation": model.preparation.model_dump(),
    }
    stream = io.BytesIO()
    torch.save(document, stream)
    return stream.getvalue()


def _inference(model: SavedModel) -> dict[str, Any]:
    return {
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/cases'",
        "output_dir": "$@bundle_root + '/predictions'",
        "device": "auto",
        "convention": BRATS_2018.name,
        "network_def": {"_target_": "fedbrats.model.network.SegmentationNetwork", **model.network_options},
        "prediction": {
            "_target_": "fedbrats.report.export.bundle.predict_folder",
            "_mode_": "callable",
            "model": f"$@bundle_root + '/{BUNDLE_MODEL}'",
            "cases": "@dataset_dir",
            "out": "@output_dir",
            "device": "@device",
            "convention": "@convention",
        },
        "run": ["$@prediction()"],
    }


def _metadata(model: SavedModel, checksum: str) -> dict[str, Any]:
    """The bundle's metadata in MONAI's schema, with what fedbrats knows of the data besides."""
    spacing = model.preparation.spacing_mm
    size = [f"{model.network.divisor}*n"] * 3
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "MR",
        "num_channels": len(MODALITIES),
        "spatial_shape": size,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": model.window is not None,
        "channel_def": {str(number): name for number, name in enumerate(MODALITIES)},
    }
    regions = {**image, "format": "segmentation", "num_channels": len(REGIONS), "value_range": [0, 1]}
    regions["channel_def"] = {str(number): name for number, name in enumerate(REGIONS)}
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": __version__,
        "changelog": {__version__: "exported by fedbrats"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {"fedbrats": __version__, "nibabel": version("nibabel")},
        "name": "Brain tumour segmentation, trained with fedbrats",
        "task": "Segmentation of the nested glioma regions WT, TC and ET on T1, T1ce, T2 and FLAIR",
        "description": "A 3D U-Net trained across sites on BraTS data without moving a scan",
        "authors": "the sites that trained it",
        "copyright": "the sites that trained it",
        "intended_use": "Research. Not a medical device; it may not guide the care of a patient.",
        "data_type": "nibabel",
        "image_classes": "skull-stripped, co-registered MRI; four volumes on one grid",
        "label_classes": "regions WT, TC, ET, each inside the one before it",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": regions}},
        "data_contract": {
            "orientation": "LPS after reading; any orientation is accepted and given back",
            "spacing_mm": spacing,
            "normalisation": model.preparation.normalisation,
            "values": "0 outside the brain; mean 0 and deviation 1 inside it (zscore), or 0 to 1 (minmax)",
            "output_threshold": THRESHOLD,
            "component_share": model.component_share,
        },
        "weights_sha256": checksum,
    }
