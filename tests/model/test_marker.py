"""Nothing that a scan's header says of its patient goes into what is written or told."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedbrats.cli.main import main
from fedbrats.data.cases.case import Case, find_cases
from fedbrats.data.nifti import read_nifti
from fedbrats.data.written import is_predicted
from tests.data.broken import copy_case

MARKER = b"ZYXMARKER"
NAME = "QWVNAME"  # in the names of folders, cases and patients, which only the hospital's own files may have
OWN = {
    "split.json",
    "datalist.json",
    "cases.jsonl",
    "evaluation.json",
    "evaluation.csv",
    "predictions.json",
    "volumes.csv",
}
FREE = ("descrip", "aux_file", "db_name", "intent_name", "data_type")  # every field of NIfTI-1 that holds any text


def mark(case: Case) -> None:
    """Fill every free field of every header of a case, and an extension."""
    for path in case.files.values():
        image = nibabel.load(path)
        header = image.header.copy()
        for field in FREE:
            header[field] = MARKER
        header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", MARKER * 30))
        nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), image.affine, header), path)
        assert MARKER in gzip.decompress(path.read_bytes())


def files_with_marker(folder: Path, marker: bytes = MARKER) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
            if marker in content:
                found.append(str(path.relative_to(folder)))
    return found


def test_a_marker_in_every_free_field_is_in_nothing_that_is_written(
    phantom_sites: Path, trained_results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / f"source-of-{NAME}"
    for number, case in enumerate(find_cases(phantom_sites / "site-1")[:3]):
        mark(copy_case(case, source, f"Phantom-{NAME}_{number}"))
    out = tmp_path / "out"
    words = [
        ("check", source, "--json"),
        ("split", source, "--sites", 1, "--out", out / "sites", "--json"),  # its scans are links
        ("predict", trained_results, source, "--out", out / "masks", "--probabilities", "--no-overlays"),
        ("evaluate", trained_results, out / "sites", "--out", out / "evaluation"),
        (
            "train",
            out / "sites",
            "--rounds",
            1,
            "--set=local_steps=1",
            "--set=spacing_mm=8.0",
            "--set=network=tiny",
            "--cache",
            out / "cache",
            "--out",
            out / "results",
            "--threads",
            1,
        ),
        ("report", out / "results", "--out", out / "report.html"),
    ]
    for command in words:
        assert main([str(word) for word in command]) == 0
    said = capsys.readouterr()
    assert MARKER.decode() not in said.out + said.err
    scans = {str((out / "sites" / "site-1").relative_to(out))}
    assert [name for name in files_with_marker(out) if not any(name.startswith(scan) for scan in scans)] == []
    named = [name for name in files_with_marker(out, NAME.encode()) if not name.startswith("sites/site-1/Phantom")]
    assert {Path(name).name for name in named if "cache" not in name} - OWN == set()
    masks = sorted((out / "masks").glob("*.nii.gz"))
    assert len(masks) == 3 * 4
    for path in masks:
        written = read_nifti(path)
        assert is_predicted(written.header)
        assert not written.header.extensions
        scan = nibabel.load(next(source.rglob(f"{'_'.join(path.name.split('_')[:2])}_t1.nii.gz")))
        np.testing.assert_array_equal(written.affine, scan.affine)
        for code in ("qform_code", "sform_code"):
            assert int(written.header[code]) == int(scan.header[code])
