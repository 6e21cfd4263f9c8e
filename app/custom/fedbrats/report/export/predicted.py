"""What a prediction says of all cases together: predictions.json and volumes.csv, which a later run adds to."""

from __future__ import annotations

import csv
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from fedbrats.atomic import write_json_atomic, write_text_atomic
from fedbrats.data.check.problems import FINDINGS
from fedbrats.data.regions import REGIONS
from fedbrats.errors import DataError
from fedbrats.outside import show_in_table

INDEX_FILE, VOLUMES_FILE = "predictions.json", "volumes.csv"
NEWS_ML = 0.5  # of parts that were left out: less is no news
LOOK_ML, LOOK_SHARE = 5.0, 0.2  # from here on, or from this share of the tumour, a person should look
_SAME = ("sha256", "flips", "convention")  # what all cases of a folder have in common


def read_earlier(out: Path) -> dict[str, Any] | None:
    """The index that a folder has, or None. Raises: DataError for one that cannot be read: its rows would be lost."""
    path = out / INDEX_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(entry["case"], str) for entry in (*document["cases"], *document.get(FINDINGS, []))):
            return document
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise DataError(f"{path} cannot be read, and what it says of earlier cases would be lost; give another --out")


def require_same(earlier: Mapping[str, Any] | None, document: Mapping[str, Any], out: Path) -> None:
    """Raise DataError where the cases of a folder would be of two models, or of two meanings of the labels."""
    for key in _SAME if earlier else ():
        if earlier and earlier.get(key) != document[key]:
            raise DataError(
                f"{out} holds predictions with {key} {earlier.get(key)!r:.40}, and these would be with "
                f"{document[key]!r:.40}; give another --out"
            )


def write_lists(document: Mapping[str, Any], out: Path) -> None:
    """Write both, with the rows of earlier cases that were not predicted anew, in order of their names.

    After each case: a process that the system kills for its memory writes nothing at its end. The earlier rows are read
    each time, because another process may predict other cases into the same folder.

    Raises: DataError as `read_earlier` and `require_same`.
    """
    with _alone(out):
        earlier = read_earlier(out) or {}
        require_same(earlier, document, out)
        entries = {entry["case"]: entry for entry in (*earlier.get("cases", []), *document["cases"])}
        own = {each["case"] for each in (*document[FINDINGS], *document["cases"])}
        kept = [each for each in earlier.get(FINDINGS, []) if each["case"] not in own]
        cases = [entries[name] for name in sorted(entries)]
        write_json_atomic(out / INDEX_FILE, {**document, "cases": cases, FINDINGS: [*document[FINDINGS], *kept]})
        write_text_atomic(out / VOLUMES_FILE, volumes_table(cases))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process writes the lists of this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def volumes_table(entries: Sequence[dict[str, Any]]) -> str:
    """CSV, a row a case; a refused one has no volumes."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("case", *(f"{region}_ml" for region in REGIONS)))
    for entry in entries:
        volumes = entry.get("volumes_ml", {})
        table.writerow((show_in_table(entry["case"]), *(volumes.get(region, "") for region in REGIONS)))
    return text.getvalue()


def remarks_on_volumes(volumes: Mapping[str, float], dropped_ml: float) -> tuple[list[str], list[str]]:
    """(what a person should look at, what is only worth knowing) of a prediction's volumes in mL."""
    if not volumes["WT"]:
        return ["no tumour was found"], []
    if dropped_ml < NEWS_ML:
        return [], []
    text = f"{dropped_ml:.1f} mL away from the main tumour were found and left out"
    if dropped_ml >= min(LOOK_ML, LOOK_SHARE * volumes["WT"]):
        return [f"{text}: a second focus?"], []
    return [], [text]
