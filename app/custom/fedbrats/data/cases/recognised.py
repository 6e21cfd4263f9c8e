"""The layouts and names that are recognised, each with an example: for `--help`, the documents and a test."""

from __future__ import annotations

from typing import NamedTuple

from fedbrats.data.cases.names import MODALITIES, SEGMENTATION, WORDS


class Layout(NamedTuple):
    """How a data set may be laid out.

    Attributes:
        name: what people call it.
        example: the files of one case, or what they look like.
        note: what else it takes.
    """

    name: str
    example: tuple[str, ...]
    note: str = ""


LAYOUTS = (
    Layout("BraTS 2017 to 2021", ("CASE/CASE_t1.nii.gz", "CASE/CASE_t1ce.nii.gz", "CASE/CASE_seg.nii.gz")),
    Layout("BraTS 2023 and later", ("CASE/CASE-t1n.nii.gz", "CASE/CASE-t1c.nii.gz", "CASE/CASE-seg.nii.gz")),
    Layout(
        "one folder for each case",
        ("patient_001/T1.nii.gz", "patient_001/T1ce.nii.gz", "patient_001/session_2/T1.nii.gz"),
        "folders of one name in several places are told apart by the folder around them",
    ),
    Layout("all in one folder", ("CASE_T1.nii.gz", "CASE_T1_GD.nii.gz", "CASE_T2_FLAIR.nii.gz", "CASE_seg.nii.gz")),
    Layout(
        "one folder for each modality", ("T1/CASE.nii.gz", "T1ce/CASE.nii.gz", "seg/CASE.nii.gz", "CASE/T1/any.nii.gz")
    ),
    Layout(
        "BIDS",
        (
            *("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-1/anat/sub-01_ses-1_ce-gd_T1w.nii.gz"),
            "derivatives/masks/sub-01/ses-1/anat/sub-01_ses-1_dseg.nii.gz",
        ),
        "a session is a case; give the folder of the derivatives that are co-registered, not the raw data beside it",
    ),
    Layout(
        "nnU-Net raw",
        ("imagesTr/CASE_0000.nii.gz", "imagesTr/CASE_0001.nii.gz", "labelsTr/CASE.nii.gz", "dataset.json"),
        "the channel_names of dataset.json say which number is which modality",
    ),
    Layout(
        "Medical Segmentation Decathlon",
        ("imagesTr/CASE.nii.gz (four channels)", "labelsTr/CASE.nii.gz", "dataset.json"),
        "the modality of dataset.json says which channel is which; `fedbrats split` writes them as files of their own",
    ),
    Layout(
        "a table, cases.csv",
        ("case,patient,t1,t1ce,t2,flair,seg", "A1,A,scans/1.nii.gz,scans/2.nii.gz,..."),
        "paths are relative to the table; `label` or `mask` may stand for seg; patient and seg may be left out",
    ),
    Layout(
        "a list, cases.json",
        ('{"training": [{"image": ["1.nii.gz", ...], "label": "5.nii.gz"}], "modality": {"0": "T1", ...}}',),
        "as MONAI and the Decathlon write it, or with one key for each modality in each item",
    ),
    Layout(
        "names of your own",
        ("--names t1ce=T1_KM,flair=dark-fluid", "scan_T1_KM_brain.nii.gz", "MEIER/dark-fluid.nii.gz"),
        "the name of a role may be anywhere in the name of a file or folder, if no letter or digit is next to it; the "
        "rest is the case",
    ),
)


def describe_words() -> str:
    """The words for each role, a line each; `-` stands for a dash, an underscore or nothing."""
    return "\n".join(f"  {role:5}  {', '.join(WORDS[role])}" for role in (*MODALITIES, SEGMENTATION))


def describe_layouts() -> str:
    """The layouts and the words, for a terminal."""
    lines = []
    for layout in LAYOUTS:
        lines.append(f"  {layout.name}" + (f": {layout.note}" if layout.note else ""))
        lines += [f"      {each}" for each in layout.example]
    return "\n".join(lines) + (
        "\n\nwords for the modalities and the segmentation, in any case; - is a dash, an underscore or nothing:\n"
        + describe_words()
    )
