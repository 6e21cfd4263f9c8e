"""Put misbehaving executors into a built job, and allow them to kits that were made for an experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fedbrats.atomic import write_json_atomic

_ROOM = "fedbrats.misbehaviour.executors"
MISBEHAVING = {
    "fedbrats.flare.site.executor.SegmentationExecutor": f"{_ROOM}.MisbehavingExecutor",
    "fedbrats.flare.site.cross_site.CrossSiteExecutor": f"{_ROOM}.MisbehavingCrossSiteExecutor",
}
CLIENT_CONFIG = Path("app", "config", "config_fed_client.json")


def let_misbehave(job_dir: Path, kinds: Mapping[str, str]) -> None:
    """Exchange the executors of a built job for those in which the sites of `kinds` misbehave; none changes nothing."""
    if not kinds:
        return
    path = job_dir / CLIENT_CONFIG
    document = json.loads(path.read_text(encoding="utf-8"))
    for entry in document["executors"]:
        executor = entry["executor"]
        executor["path"] = MISBEHAVING.get(executor["path"], executor["path"])
        executor["args"]["misbehaviour"] = dict(kinds)
    write_json_atomic(path, document)


def allow_misbehaviour(resources: Path) -> None:
    """Add the misbehaving executors to the class list of a kit."""
    document = json.loads(resources.read_text(encoding="utf-8"))
    document["class_allow_list"] += MISBEHAVING.values()
    write_json_atomic(resources, document)
