"""A site's datalist.json: which cases it trains, validates and tests on, in the Medical Segmentation Decathlon form.

MONAI's `load_decathlon_datalist` reads it as it is. On top of the Decathlon's keys, each item names its case and
patient, and `label_convention` says what the label values mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from fedbrats.atomic import write_json_atomic
from fedbrats.data.cases.case import MODALITIES, Case
from fedbrats.data.cases.names import NO_OWN_NAMES, OwnNames
from fedbrats.data.regions import LabelConvention, get_convention
from fedbrats.errors import ConfigurationError, DataError
from fedbrats.settings import Settings

DATALIST_NAME = "datalist.json"
SECTIONS = ("training", "validation", "test")


def _printable(text: str) -> str:
    """Refuse what cannot be in the name of a file or in a log."""
    if not text.isprintable():
        raise ValueError(text)
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(_printable)]


class Item(Settings):
    """A case in a datalist; entries of others are left alone."""

    model_config = ConfigDict(extra="ignore")

    case: Text = Field(json_schema_extra={"kind": "a name"})
    """The name of the case."""
    patient: Text = Field(json_schema_extra={"kind": "a name"})
    """Whose scan it is."""
    image: list[Text] = Field(json_schema_extra={"kind": f"a list of {len(MODALITIES)} paths"})
    """The files of the modalities, in their order."""
    label: Text | None = Field(None, json_schema_extra={"kind": "a path"})
    """The segmentation, where there is one."""


class Document(Settings):
    """The datalist of a site as it is written; entries of others are left alone."""

    model_config = ConfigDict(extra="ignore")

    name: Text = Field(json_schema_extra={"kind": "the name of the site"})
    """The site."""
    label_convention: Text = Field(json_schema_extra={"kind": "the name of a label convention"})
    """What the label values mean."""
    training: list[Any] = []  # noqa: RUF012 - a table is frozen, and pydantic copies defaults
    """The cases to train on."""
    validation: list[Any] = []  # noqa: RUF012
    """The cases to validate on."""
    names: dict[str, list[Text]] = {}  # noqa: RUF012
    """What the hospital calls the modalities, where it has names of its own."""
    test: list[Any] = []  # noqa: RUF012
    """The cases that are kept for testing."""


@dataclass(frozen=True)
class Datalist:
    """The cases of one site, by what they are used for."""

    site: str
    convention: LabelConvention
    training: tuple[Case, ...] = ()
    validation: tuple[Case, ...] = ()
    test: tuple[Case, ...] = ()
    names: OwnNames = NO_OWN_NAMES

    @property
    def cases(self) -> tuple[Case, ...]:
        """Every case of the site: training, then validation, then test."""
        return self.training + self.validation + self.test


def read_datalist(site_dir: Path) -> Datalist:
    """The datalist of a site's folder, its paths made absolute from that folder; no image is opened.

    Raises: DataError if there is none, if it is not what it should be, or if a patient is in two sections.
    """
    path = site_dir / DATALIST_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{site_dir} holds no {DATALIST_NAME}; `fedbrats split` or `fedbrats phantom` writes one"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    try:
        read = Document.read(document, str(path))
        sections = {section: tuple(_read_cases(getattr(read, section), section, site_dir)) for section in SECTIONS}
    except ConfigurationError as error:
        raise DataError(f"no datalist of fedbrats: {error}") from None
    datalist = Datalist(read.name, get_convention(read.label_convention), **sections, names=_own_names(read))
    _refuse_doubled_cases(datalist, path)
    _refuse_shared_patients(datalist, path)
    return datalist


def _own_names(read: Document) -> OwnNames:
    return OwnNames({role: tuple(words) for role, words in read.names.items()})


def write_datalist(site_dir: Path, datalist: Datalist) -> None:
    """Atomically write `datalist` into a site's folder, paths relative to it."""
    document = {
        "name": datalist.site,
        "description": "BraTS cases of one site",
        "tensorImageSize": "4D",
        "modality": {str(i): modality for i, modality in enumerate(MODALITIES)},
        "labels": {str(value): name for value, name in sorted(datalist.convention.names.items())},
        "label_convention": datalist.convention.name,
        **({"names": datalist.names.as_document()} if datalist.names.words else {}),
        "numTraining": len(datalist.training),
        "numTest": len(datalist.test),
    }
    for section in SECTIONS:
        document[section] = [_write_item(case, site_dir) for case in getattr(datalist, section)]
    write_json_atomic(site_dir / DATALIST_NAME, document)


def find_sites(sites_dir: Path) -> tuple[Path, ...]:
    """The site folders, those with a datalist, of a sites folder, by name. Raises: DataError if there is none."""
    sites = tuple(sorted(path.parent for path in sites_dir.glob(f"*/{DATALIST_NAME}")))
    if not sites:
        raise DataError(
            f"{sites_dir} holds no site: expected folders with a {DATALIST_NAME}, as `fedbrats split` makes"
        )
    return sites


def site_folders(folders: Sequence[Path]) -> list[Path]:
    """The site folders that are given, or that are in those. Raises: DataError if a folder holds no site."""
    return [
        site for folder in folders for site in ([folder] if (folder / DATALIST_NAME).exists() else find_sites(folder))
    ]


def _read_cases(items: Sequence[Any], section: str, site_dir: Path) -> Iterator[Case]:
    """The cases of a section. Raises: ConfigurationError, DataError."""
    path = site_dir / DATALIST_NAME
    for number, each in enumerate(items, start=1):
        item = Item.read(each, f"{path}, case {number} of {section}")
        if len(item.image) != len(MODALITIES):
            raise DataError(
                f"{path}, case {number} of {section} has {len(item.image)} images, expected those of "
                f"{', '.join(MODALITIES)}"
            )
        images = [site_dir / image for image in item.image]
        yield Case(
            name=item.case,
            patient=item.patient,
            images=dict(zip(MODALITIES, images, strict=True)),
            label=site_dir / item.label if item.label else None,
        )


def _write_item(case: Case, site_dir: Path) -> dict[str, Any]:
    item: dict[str, Any] = {
        "case": case.name,
        "patient": case.patient,
        "image": [relpath(path, site_dir) for path in case.image_paths],
    }
    if case.label is not None:
        item["label"] = relpath(case.label, site_dir)
    return item


def _refuse_doubled_cases(datalist: Datalist, path: Path) -> None:
    """Two cases of one name would be taken for each other. Told by their places: a site logs it, and logs no name."""
    seen: dict[str, str] = {}
    for place, _, case in _places(datalist):
        if case.name in seen:
            raise DataError(f"{path} has {seen[case.name]} and {place} under one name; a name stands for one case")
        seen[case.name] = place


def _refuse_shared_patients(datalist: Datalist, path: Path) -> None:
    """A patient whose scans were trained on says nothing in a validation; a hand-written datalist may mix them."""
    first: dict[str, tuple[str, str]] = {}
    for place, section, case in _places(datalist):
        earlier, its_section = first.setdefault(case.patient, (place, section))
        if its_section != section:
            raise DataError(f"{path} has one patient in two sections, {earlier} and {place}; keep them together")


def _places(datalist: Datalist) -> Iterator[tuple[str, str, Case]]:
    """Every case with its place in the datalist, such as `case 2 of training`, and its section."""
    for section in SECTIONS:
        for number, case in enumerate(getattr(datalist, section), start=1):
            yield f"case {number} of {section}", section, case
