"""Export a model: as a MONAI bundle that predicts like `fedbrats predict`, or the network alone as ONNX.

A bundle has the weights, metadata (channels, meaning of values, what input data must be like), an inference
configuration and a model card. The card names no single site, and gives Dice only if the job measured exactly these
weights. ONNX has the network for one input shape, without the preparation of scans. A model of a method with personal
weights needs the part of one site: --personal.

--json prints what was written: bundle, onnx, and sha256 of the bundle's weights; null for what was not written.

example:
  fedbrats export results/fedavg --bundle bundle
  python -m monai.bundle run --config_file bundle/configs/inference.json --bundle_root bundle --dataset_dir CASES
  fedbrats export results/fedavg --onnx model.onnx --shape 96 96 80
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.model_arguments import add_weights_arguments, load_whole
from fedbrats.cli.output import print_json, print_line
from fedbrats.errors import ConfigurationError
from fedbrats.rows import ROWS_FILE, Row, read_rows
from fedbrats.run_folder import AUDIT_FILE, SUMMARY_FILE

if TYPE_CHECKING:
    from fedbrats.model.saved import SavedModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_weights_arguments(parser)
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="write a MONAI bundle, and replace an older one")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="write the network as ONNX (needs the package onnx)")
    parser.add_argument(
        "--shape", type=int, nargs=3, default=(96, 96, 96), metavar="N", help="input shape for ONNX (default: 96 96 96)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Load, write, say where."""
    from fedbrats.report.export.bundle import write_bundle
    from fedbrats.report.export.model_card import AUDIT
    from fedbrats.report.export.onnx import write_onnx
    from fedbrats.report.numbers.measured import find_measured

    if not (args.bundle or args.onnx):
        raise ConfigurationError("say what to write: --bundle DIR, --onnx FILE, or both")
    if args.bundle and args.bundle.exists() and not _is_replaceable(args.bundle):
        raise ConfigurationError(f"{args.bundle} exists and is not a bundle; choose another folder")
    model = load_whole(args)
    document: dict[str, Any] = {"bundle": None, "onnx": None, "sha256": None}
    if args.bundle:
        summary = {**_read_beside(model.path, SUMMARY_FILE), AUDIT: _audit_beside(model)}
        measured = find_measured(model, _rows_beside(model.path))
        document |= {"sha256": write_bundle(model, args.bundle, summary, measured), "bundle": str(args.bundle)}
    if args.onnx:
        write_onnx(model, args.onnx, args.shape)
        document["onnx"] = str(args.onnx)
    if args.json:
        print_json(document)
    else:
        for path in filter(None, (document["bundle"], document["onnx"])):
            print_line(f"wrote {path}")
    return 0


def _is_replaceable(folder: Path) -> bool:
    return folder.is_dir() and (not any(folder.iterdir()) or (folder / "configs" / "metadata.json").exists())


def _read_beside(model: Path, name: str) -> dict[str, Any]:
    """A document of the job that trained a model; nothing where it stands alone."""
    try:
        return json.loads((model.parent / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _audit_beside(model: SavedModel) -> dict[str, Any]:
    """What `fedbrats audit` found of these weights; nothing where it was asked of others."""
    audit = _read_beside(model.path, AUDIT_FILE)
    return audit if audit.get("sha256") == model.sha256 else {}


def _rows_beside(model: Path) -> list[Row]:
    """The rows of the job that trained a model; none where it stands alone."""
    try:
        return read_rows(model.parent / ROWS_FILE)
    except (OSError, ValueError):
        return []
