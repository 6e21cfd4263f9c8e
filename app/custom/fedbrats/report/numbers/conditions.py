"""Under which conditions a result came about: its data, its seed, what it may have cost, and what was done to it.

Two results can be compared where their data are the same; where budgets or variables differ, the difference may come
from those and not from the method.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbrats.data.cases.datalist import DATALIST_NAME
from fedbrats.data.split.sites import RECORD_NAME
from fedbrats.rows import Row, counted_rows

CONDITIONS = "conditions"  # in summary.json, and a kind of row
NOT_OF_THE_METHOD = ("seed", "resume")  # variables that may differ between runs of one method


def describe_conditions(
    rows: Iterable[Row],
    variables: Mapping[str, Any],
    site_dirs: Sequence[Path] = (),
    misbehaviour: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The conditions of a run.

    Args:
        rows: of the run.
        variables: of its job.
        site_dirs: the folders of its sites, where they are on this machine.
        misbehaviour: what sites did wrong on purpose, by their names.

    Returns: `data` (SHA-256 over the sites' names and datalists, null where a site did not say its own), `split` (how
        the sites' folders were made: by, sites, fold, folds, seed; null where it is not known), `seed`, `budget`
        (rounds, steps over all sites, bytes both ways) and `misbehaviour`.
    """
    rows = counted_rows(rows)
    lists = {each.name: _hash_of(each / DATALIST_NAME) for each in site_dirs}
    lists = lists or {row["site"]: row.get("manifest") for row in rows if row["kind"] == "site"}
    return {
        "data": hash_datalists(lists),
        "split": _read_split(site_dirs[0].parent / RECORD_NAME) if site_dirs else None,
        "seed": variables.get("seed"),
        "budget": count_budget(rows),
        "misbehaviour": dict(misbehaviour or {}),
    }


def count_budget(rows: Sequence[Row]) -> dict[str, int | None]:
    """What a run has used: `rounds`, `steps` over all sites together, and `bytes` both ways, null without a network."""
    rounds = [row for row in rows if row["kind"] == "round"]
    answers = [row for row in rows if row["kind"] == "site"]
    pooled = [row["steps"] for row in rounds if "steps" in row]  # in one place: a round's steps are those of all sites
    traffic = [row["bytes"] for row in rows if row["kind"] in ("site", "padded") and row.get("bytes")]
    return {
        "rounds": len({row["round"] for row in rounds}),
        "steps": sum(pooled) if pooled else sum(row.get("steps") or 0 for row in answers),
        "bytes": sum((each.get("down") or 0) + (each.get("up") or 0) for each in traffic) if traffic else None,
    }


def hash_datalists(lists: Mapping[str, str | None]) -> str | None:
    """One SHA-256 of the sites' names and the SHA-256 of their datalists; None where one is missing."""
    if not lists or any(digest is None for digest in lists.values()):
        return None
    lines = "".join(f"{site} {digest}\n" for site, digest in sorted(lists.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def differing_variables(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The variables that are not the same in all runs which have them, with the value of each run (None: not one)."""
    names = {name for variables in runs for name in variables} - set(NOT_OF_THE_METHOD)
    values = {name: [variables.get(name) for variables in runs] for name in sorted(names)}
    return {
        name: own
        for name, own in values.items()
        if len({json.dumps(value) for value, variables in zip(own, runs, strict=True) if name in variables}) > 1
    }


def _hash_of(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _read_split(path: Path) -> dict[str, Any] | None:
    """How the sites were made; a table is named without its folder."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        settings = document["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = {name: settings.get(name) for name in ("by", "sites", "fold", "folds", "seed")}
    by = known["by"]
    return {"made_by": document.get("made_by"), **known, "by": Path(by).name if isinstance(by, str) else by}
