"""Where a running job stands, from its rows as they are written: told to people who may see jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fedbrats.outside import show
from fedbrats.rows import Row, learning_curve

MOST_SITES = 1000  # that are shown
LONGEST_TROUBLE = 300
LARGEST = 1e9  # of a number that is shown


class Standing:
    """Takes rows as they come, and keeps those of the last two rounds."""

    def __init__(self) -> None:
        self._rounds_done = 0
        self._recent: list[Row] = []
        self._refusals: dict[str, int] = {}
        self._last: Row = {}  # the last row of kind `round`
        self._trouble = ""

    def take(self, rows: Iterable[Row]) -> None:
        """Take what was just written."""
        for row in rows:
            if row["kind"] == "round" and row["round"] is not None:
                self._last, self._rounds_done = row, row["round"] + 1
                self._recent = [each for each in self._recent if each["round"] >= row["round"]]
            elif row["kind"] == "resume":
                self._rounds_done = row["round"] + 1
            elif row["kind"] == "refusal":
                self._refusals[str(row["site"])] = self._refusals.get(str(row["site"]), 0) + 1
            elif row["kind"] == "trouble":
                self._trouble = str(row["message"])
            elif row["kind"] in ("site", "metrics"):
                self._recent.append(row)

    def document(self) -> dict[str, Any]:
        """rounds_done; answered: sites in the running round; silent: of the last one; dice: the newest mean; round_s;
        refusals: by site; trouble: the last sentence; objections: why a site does not run the job, which the server's
        own process adds (fedbrats.flare.kit.job_failures)."""
        running = self._rounds_done
        curve = learning_curve(self._recent)
        answers = [row for row in self._recent if row["kind"] == "site" and row["round"] == running]
        return {
            "rounds_done": running,
            "answered": sorted({row["site"] for row in answers if row["accepted"]}),
            "silent": list(self._last.get("silent", ())),
            "dice": next(reversed(curve.values()), None) if curve else None,
            "round_s": self._last.get("seconds"),
            "refusals": dict(self._refusals),
            "trouble": self._trouble,
            "objections": {},
        }


def read_standing(said: Any) -> dict[str, Any] | None:
    """What a server says of where a job stands, as `Standing.document` has it; None where it is no such document.

    Texts are such as may be shown, and what is of another kind is left out.
    """
    if not isinstance(said, dict) or type(said.get("rounds_done")) is not int:
        return None
    refusals, objections = said.get("refusals"), said.get("objections")
    counts = list(refusals.items())[:MOST_SITES] if isinstance(refusals, dict) else []
    whys = list(objections.items())[:MOST_SITES] if isinstance(objections, dict) else []
    return {
        **{name: int(_number(said.get(name)) or 0) for name in ("rounds_done", "rounds", "sites")},
        **{name: _names(said.get(name)) for name in ("answered", "silent")},
        **{name: _number(said.get(name)) for name in ("dice", "round_s")},
        "refusals": {show(site): count for site, count in counts if _number(count) is not None},
        "trouble": show(trouble, LONGEST_TROUBLE) if isinstance(trouble := said.get("trouble"), str) else "",
        "objections": {show(site): show(why, LONGEST_TROUBLE) for site, why in whys},
    }


def _names(said: Any) -> list[str]:
    return [show(each) for each in said[:MOST_SITES] if isinstance(each, str)] if isinstance(said, list) else []


def _number(said: Any) -> float | None:
    return said if type(said) in (int, float) and abs(said) < LARGEST else None
