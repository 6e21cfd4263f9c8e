"""Ways to break a phantom, each with the kind of problem that must be found and the file that must be named."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedbrats.data.cases.case import (
    MODALITIES,
    SEGMENTATION,
    Case,
    find_cases,
)
from fedbrats.data.phantom.cohort import write_nifti
from fedbrats.data.written import make_image

Change = Callable[[NDArray[np.generic]], NDArray[np.generic]]


@dataclass(frozen=True)
class Breakage:
    """What is done to a sound case, and what `fedbrats check` must say of it."""

    kind: str
    role: str | None  # whose file must be named; None: no single file
    apply: Callable[[Case], None]


def copy_case(case: Case, folder: Path, name: str) -> Case:
    """The same case under another name, in a folder of its own below `folder`, each file still its own."""
    target = folder / name
    target.mkdir(parents=True)
    for role, path in case.files.items():
        shutil.copyfile(path, target / f"{name}_{role}.nii.gz")
    (copied,) = find_cases(target)
    return copied


def break_case(case: Case, folder: Path, name: str, breakage: Breakage) -> Case:
    """A broken copy of `case`, found again as it now is."""
    breakage.apply(copy_case(case, folder, name))
    (broken,) = find_cases(folder / name)
    return broken


def add_noise(case: Case, seed: int) -> None:
    """Change every image a little, so that copies are not the same images."""
    rng = np.random.default_rng(seed)
    for modality in MODALITIES:
        rewrite(case, modality, lambda v: np.where(v == 0, 0, np.maximum(v + rng.integers(0, 2, v.shape), 1)))


def rewrite(case: Case, role: str, change: Change, shift_mm: float = 0.0) -> None:
    """Replace the voxels of a file by what `change` makes of them, and move its grid."""
    path = case.files[role]
    image = nibabel.load(path)
    voxels = np.asanyarray(image.dataobj)
    affine = image.affine.copy()
    affine[0, 3] += shift_mm
    changed = change(voxels.copy())
    keeps_type = changed.dtype.kind in "iu"
    write_nifti(path, changed.astype(voxels.dtype) if keeps_type else changed.astype(np.float32), affine)


def _rewriting(role: str, change: Change, shift_mm: float = 0.0) -> Callable[[Case], None]:
    return lambda case: rewrite(case, role, change, shift_mm)


def _put(value: float) -> Change:
    """Set one voxel near the middle to `value`."""

    def change(voxels: NDArray[np.generic]) -> NDArray[np.generic]:
        voxels = voxels if float(value).is_integer() else voxels.astype(np.float32)
        voxels[tuple(n // 2 for n in voxels.shape)] = value
        return voxels

    return change


def _truncate(case: Case) -> None:
    path = case.files["t2"]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _truncate_uncompressed(case: Case) -> None:
    path = case.files["flair"]
    content = gzip.decompress(path.read_bytes())
    path.unlink()
    path.with_suffix("").write_bytes(content[: len(content) // 2])


def _double(case: Case) -> None:
    path = case.files["t1"]
    path.with_name(path.name.replace("_t1.nii.gz", "_t1.nii")).write_bytes(gzip.decompress(path.read_bytes()))


def _exchange(first: str, second: str) -> Callable[[Case], None]:
    def apply(case: Case) -> None:
        one, other = case.files[first].read_bytes(), case.files[second].read_bytes()
        case.files[first].write_bytes(other)
        case.files[second].write_bytes(one)

    return apply


def _brighten(case: Case) -> None:
    """Make T2 a copy of T1 on another scale."""
    rewrite(case, "t2", lambda _: (np.asanyarray(nibabel.load(case.files["t1"]).dataobj) * 2).astype(np.int16))


def _unplace(*roles: str) -> Callable[[Case], None]:
    """Take away the codes that say where the voxels of these files lie."""

    def apply(case: Case) -> None:
        for role in roles:
            image = nibabel.load(case.files[role])
            image.set_qform(None, 0)
            image.set_sform(None, 0)
            case.files[role].write_bytes(gzip.compress(image.to_bytes(), compresslevel=1))

    return apply


def _contradict(case: Case) -> None:
    """Let pixdim say another size of a voxel than the affine does."""
    path = case.files["t1ce"]
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[80:84] = np.array(1.25, "<f4").tobytes()
    path.write_bytes(gzip.compress(content, compresslevel=1))


def _fill_background(voxels: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.where(voxels == 0, np.random.default_rng(0).integers(1, 5, voxels.shape), voxels)


def _add_head(case: Case) -> None:
    """Signal well around the brain, but not in the corners, in every modality."""
    for modality in MODALITIES:

        def change(voxels: NDArray[np.generic]) -> NDArray[np.generic]:
            radii = [np.linspace(-1, 1, n) for n in voxels.shape]
            head = sum(axis**2 for axis in np.ix_(*radii)) < 1.5
            return np.where((voxels == 0) & head, 5, voxels)

        rewrite(case, modality, change)


def _cut_front(voxels: NDArray[np.generic]) -> NDArray[np.generic]:
    voxels[:, : voxels.shape[1] // 2 - 4] = 0
    return voxels


def _move_to_corner(voxels: NDArray[np.generic]) -> NDArray[np.generic]:
    corner = np.zeros_like(voxels)
    corner[:4, :4, :4] = voxels.max()
    return corner


def _fill_brain(case: Case) -> None:
    """Let the segmentation be a map of tissues."""
    t1 = np.asanyarray(nibabel.load(case.files["t1"]).dataobj)
    middle = np.median(t1[t1 != 0])
    rewrite(case, SEGMENTATION, lambda v: np.where(t1 != 0, np.where(t1 > middle, 4, 2), 0))


def _grow(case: Case) -> None:
    """Let the tumour take up nearly half of the brain."""
    t1 = np.asanyarray(nibabel.load(case.files["t1"]).dataobj)
    half = np.zeros(t1.shape, bool)
    half[: t1.shape[0] // 2 - 1] = True
    rewrite(case, SEGMENTATION, lambda v: np.where((v == 0) & (t1 != 0) & half, 2, v))


def _scatter(voxels: NDArray[np.generic]) -> NDArray[np.generic]:
    middle = tuple(slice(n // 4, 3 * n // 4, 3) for n in voxels.shape)
    voxels[middle] = 2
    return voxels


def _mark_as_predicted(case: Case) -> None:
    image = nibabel.load(case.files[SEGMENTATION])
    written = make_image(np.asanyarray(image.dataobj), image)
    case.files[SEGMENTATION].write_bytes(gzip.compress(written.to_bytes(), compresslevel=1))


def _exchange_labels(voxels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Core around oedema."""
    inside = ndimage.binary_erosion(voxels != 0)
    return np.where(inside & (voxels != 4), 2, np.where((voxels != 0) & ~inside, 1, voxels))


BREAKAGES = {
    "missing": Breakage("missing-modality", None, lambda case: case.files["t1ce"].unlink()),
    "no-segmentation": Breakage("missing-segmentation", None, lambda case: case.files[SEGMENTATION].unlink()),
    "doubled": Breakage("doubled-modality", "t1", _double),
    "truncated": Breakage("unreadable", "t2", _truncate),
    "truncated-uncompressed": Breakage("unreadable", "flair", _truncate_uncompressed),
    "no-nifti": Breakage("unreadable", "t1", lambda case: case.files["t1"].write_text("not found")),
    "no-content": Breakage("unreadable", SEGMENTATION, lambda case: case.files[SEGMENTATION].write_bytes(b"")),
    "four-dimensions": Breakage("wrong-dimensions", "t2", _rewriting("t2", lambda v: np.stack([v, v], axis=-1))),
    "unplaced": Breakage("unplaced", "t2", _unplace("t2")),
    "unplaced-segmentation": Breakage("unplaced", SEGMENTATION, _unplace(SEGMENTATION)),
    "unplaced-case": Breakage("unplaced", "t1", _unplace(*MODALITIES, SEGMENTATION)),
    "contradiction": Breakage("contradictory-header", "t1ce", _contradict),
    "shape": Breakage("grid-mismatch", "t1", _rewriting("t1", lambda v: v[:, :, 1:])),
    "affine": Breakage("grid-mismatch", SEGMENTATION, _rewriting(SEGMENTATION, lambda v: v, shift_mm=5.0)),
    "nan": Breakage("not-finite", "flair", _rewriting("flair", _put(float("nan")))),
    "infinite": Breakage("not-finite", "t1", _rewriting("t1", _put(float("inf")))),
    "empty": Breakage("empty-image", "t2", _rewriting("t2", np.zeros_like)),
    "constant": Breakage("empty-image", "t2", _rewriting("t2", lambda v: np.full_like(v, 7))),
    "unmarked": Breakage("empty-segmentation", SEGMENTATION, _rewriting(SEGMENTATION, np.zeros_like)),
    "label-7": Breakage("unknown-labels", SEGMENTATION, _rewriting(SEGMENTATION, _put(7))),
    "label-1.5": Breakage("non-integer-labels", SEGMENTATION, _rewriting(SEGMENTATION, _put(1.5))),
    "tumour-in-air": Breakage("tumour-outside-brain", SEGMENTATION, _rewriting(SEGMENTATION, _move_to_corner)),
    "tissues": Breakage("no-tumour-map", SEGMENTATION, _fill_brain),
    "large": Breakage("implausible-tumour", SEGMENTATION, _grow),
    "scattered": Breakage("implausible-tumour", SEGMENTATION, _rewriting(SEGMENTATION, _scatter)),
    "predicted": Breakage("predicted-segmentation", SEGMENTATION, _mark_as_predicted),
    "labels-exchanged": Breakage("labels-against-anatomy", SEGMENTATION, _rewriting(SEGMENTATION, _exchange_labels)),
    "half-flair": Breakage("partial-coverage", "flair", _rewriting("flair", _cut_front)),
    "with-background": Breakage("not-skull-stripped", "t1", _rewriting("t1", _fill_background)),
    "with-head": Breakage("not-skull-stripped", None, _add_head),
    "identical": Breakage("identical-modalities", "t2", _brighten),
    **{
        f"exchanged-{first}-{second}": Breakage("exchanged-modalities", first, _exchange(first, second))
        for first, second in combinations(MODALITIES, 2)
    },
}


def write_repeated_cases(case: Case, folder: Path) -> None:
    """Three pairs: the same patient in two years, the same images under two names, the same case in two folders."""
    for seed, name in enumerate(("Brats18_CBICA_ABM_1", "BraTS19_CBICA_ABM_1"), start=100):
        add_noise(copy_case(case, folder, name), seed)
    for name in ("BraTS20_Training_001", "BraTS20_Training_002"):
        add_noise(copy_case(case, folder, name), 102)
    for seed, parent in enumerate(("first", "second"), start=103):
        add_noise(copy_case(case, folder / parent, "BraTS20_Training_003"), seed)
