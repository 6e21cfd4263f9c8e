"""How a participant of this machine is, in one line, and in numbers for Prometheus; asks nobody over the network."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.places import FINISHED, places_of
from fedbrats.errors import FedbratsError
from fedbrats.flare.process.start import LOCK_FILE, is_running
from fedbrats.flare.process.storage import storage_of
from fedbrats.flare.process.who_is_there import read_objections, read_sites, read_two_machines
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER, read_rows
from fedbrats.run_folder import COMPLETED
from fedbrats.standing import Standing

GOOD, WARNING, CRITICAL = 0, 1, 2
DAY_S, GB = 86400.0, 1e9
SOON_DAYS, LEAST_GB, LAST_GB = 30.0, 10.0, 1.0
OTHER = "other"


@dataclass(frozen=True)
class Metric:
    """One number. labels: beside the kit's own name and kind."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Health:
    """status: GOOD, WARNING or CRITICAL. said: what is not good, worst first."""

    status: int
    said: tuple[str, ...]
    metrics: tuple[Metric, ...]


# Of every metric: what it means.
MEANINGS = {
    "fedbrats_up": "1 where a process of this machine runs the kit.",
    "fedbrats_connections": "Connections in use: of a server those that came in, of a site those to the server.",
    "fedbrats_sites_expected": "Sites of the consortium, as the kit says.",
    "fedbrats_sites_connected": "Sites that the server is connected with.",
    "fedbrats_site_connected": "1 where the server is connected with a site of the consortium, by site.",
    "fedbrats_site_heartbeat_timestamp_seconds": "When a connected site last gave a sign of life, by site.",
    "fedbrats_two_machines": "1 where a site's kit runs on two machines; at the server by site.",
    "fedbrats_certificate_days": "Days until the participant's certificate ends.",
    "fedbrats_root_days": "Days until the consortium's root ends.",
    "fedbrats_disk_free_bytes": "Free bytes on the disk of a folder.",
    "fedbrats_jobs": "Jobs that the server keeps, by status.",
    "fedbrats_last_job_completed": "1 where the job that was submitted last, of those that ended, completed.",
    "fedbrats_round": "Finished rounds of a running job.",
    "fedbrats_round_seconds": "Duration of the last finished round of a running job.",
    "fedbrats_refusals": "Refused answers of a running job, by site of the consortium; `other` for the rest.",
    "fedbrats_job_refused": "1 where a site of the consortium does not run a running job, by site.",
    "fedbrats_revoked": "Hospitals and people that the server shuts out.",
    "fedbrats_privacy_epsilon_left": "What is left of a site's privacy budget.",
}


def look_at(kit: Kit) -> Health:
    """Judge a server or a site of this machine."""
    metrics = list(_metrics(kit))
    said = sorted(_judge(kit, metrics), reverse=True)
    return Health(max((level for level, _ in said), default=GOOD), tuple(text for _, text in said), tuple(metrics))


def prometheus_text(kit: Kit, metrics: tuple[Metric, ...]) -> str:
    """The metrics in Prometheus' text format, for the textfile collector of its node exporter."""
    lines: list[str] = []
    by_name: dict[str, list[Metric]] = {}
    for metric in metrics:
        by_name.setdefault(metric.name, []).append(metric)
    for name, found in by_name.items():
        lines += [f"# HELP {name} {MEANINGS[name]}", f"# TYPE {name} gauge"]
        for metric in found:
            labels = {"kit": kit.name, "kind": kit.kind, **dict(metric.labels)}
            shown = ",".join(f'{key}="{_escape(value)}"' for key, value in labels.items())
            lines.append(f"{name}{{{shown}}} {metric.value:.10g}")
    return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _metrics(kit: Kit) -> Iterator[Metric]:
    yield Metric("fedbrats_up", float(is_running(kit.folder)))
    yield Metric("fedbrats_connections", float(_connections(kit)))
    now = datetime.now(UTC)
    yield Metric("fedbrats_certificate_days", (kit.expires - now).total_seconds() / DAY_S)
    yield Metric("fedbrats_root_days", (kit.root.not_valid_after_utc - now).total_seconds() / DAY_S)
    for name, folder in {"kit": kit.folder, **places_of(kit)}.items():
        there = next((path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()), Path("/"))
        yield Metric("fedbrats_disk_free_bytes", float(shutil.disk_usage(there).free), (("folder", name),))
    yield from _server_metrics(kit) if kit.kind == "server" else _site_metrics(kit)


def _server_metrics(kit: Kit) -> Iterator[Metric]:
    expected = sorted(set(map(str, _list_in(kit.local_dir / "consortium.json", "sites"))))
    if expected:
        yield Metric("fedbrats_sites_expected", float(len(expected)))
    yield from _who_is_there(kit, expected)
    revoked = _list_in(kit.folder / "disabled_clients.json", "disabled_clients")
    yield Metric("fedbrats_revoked", float(len(revoked)))
    for running, objecting in sorted(read_objections(kit.folder).items()):
        for site in sorted(set(objecting) & set(expected)):
            yield Metric("fedbrats_job_refused", 1.0, (("job", running), ("site", site)))
    jobs = [_read(path) for path in storage_of(kit.local_dir)[0].glob("*/meta")]
    for status, count in sorted(Counter(str(job.get("status")) for job in jobs).items()):
        yield Metric("fedbrats_jobs", float(count), (("status", status),))
    ended = [job for job in jobs if str(job.get("status")).startswith(FINISHED)]
    if ended:
        last = max(ended, key=lambda job: at if isinstance(at := job.get("submit_time"), int | float) else 0.0)
        yield Metric("fedbrats_last_job_completed", float(last.get("status") == COMPLETED))
    for path in sorted(kit.folder.glob(f"*/{ROWS_FOLDER}/{ROWS_FILE}")):
        with contextlib.suppress(OSError, LookupError, TypeError, ValueError):  # they are not what a run writes
            yield from list(_job_metrics(path, expected))


def _who_is_there(kit: Kit, expected: Sequence[str]) -> Iterator[Metric]:
    """What the server's process has written of its sites; nothing where it does not run."""
    sites = read_sites(kit.folder)
    if sites is None:
        return
    connected = {name for name, each in sites.items() if each.get("seen") is not None}
    yield Metric("fedbrats_sites_connected", float(len(connected)))
    for name in expected:
        found, label = sites.get(name), (("site", name),)
        yield Metric("fedbrats_site_connected", float(name in connected), label)
        if found is not None:
            yield Metric("fedbrats_two_machines", float(found.get("two_machines") is not None), label)
            if isinstance(seen := found.get("seen"), int | float):
                yield Metric("fedbrats_site_heartbeat_timestamp_seconds", float(seen), label)


def _job_metrics(rows: Path, expected: Sequence[str]) -> Iterator[Metric]:
    standing = Standing()
    standing.take(read_rows(rows))
    found, job = standing.document(), (("job", rows.parents[1].name),)
    yield Metric("fedbrats_round", float(found["rounds_done"]), job)
    if found["round_s"] is not None:
        yield Metric("fedbrats_round_seconds", float(found["round_s"]), job)
    refusals: Counter[str] = Counter()
    for site, count in found["refusals"].items():
        refusals[site if site in expected else OTHER] += count  # a label for every name that is sent would be no bound
    for site, count in sorted(refusals.items()):
        yield Metric("fedbrats_refusals", float(count), (*job, ("site", site)))


def _site_metrics(kit: Kit) -> Iterator[Metric]:
    yield Metric("fedbrats_two_machines", float(read_two_machines(kit.folder) is not None))
    yield from _privacy_metrics(kit)


def _privacy_metrics(kit: Kit) -> Iterator[Metric]:
    from fedbrats.privacy.accounting import epsilon
    from fedbrats.privacy.ledger import Ledger
    from fedbrats.site.privacy_account import ledger_path
    from fedbrats.site.site_file import read_site_facts

    try:
        facts = read_site_facts(kit.local_dir, kit.name)
        if facts.budget is None:
            return
        entries = Ledger(ledger_path(facts, kit.name)).read()
        left = facts.budget.epsilon - epsilon([entry.cost for entry in entries], facts.budget.delta)
    except (FedbratsError, OSError):  # `fedbrats doctor` says what is wrong with either file
        return
    yield Metric("fedbrats_privacy_epsilon_left", left)


def _judge(kit: Kit, metrics: list[Metric]) -> Iterator[tuple[int, str]]:
    """What is not good: (level, sentence)."""
    value = {metric.name: metric.value for metric in metrics}
    if not value["fedbrats_up"]:
        yield CRITICAL, "it does not run"
    elif kit.kind == "client" and not value["fedbrats_connections"]:
        yield CRITICAL, f"it has no connection to {kit.server}"
    if machines := read_two_machines(kit.folder):
        yield CRITICAL, f"its kit runs on two machines ({machines})"
    for name, what in (("fedbrats_certificate_days", "certificate"), ("fedbrats_root_days", "root")):
        if value[name] < SOON_DAYS:
            level = CRITICAL if value[name] <= 0 else WARNING
            yield level, f"its {what} {'has ended' if value[name] <= 0 else f'ends in {value[name]:.0f} days'}"
    for metric in metrics:
        if metric.name == "fedbrats_disk_free_bytes" and metric.value < LEAST_GB * GB:
            level = CRITICAL if metric.value < LAST_GB * GB else WARNING
            yield level, f"{metric.value / GB:.1f} GB free for its {dict(metric.labels)['folder']}"
    if value.get("fedbrats_privacy_epsilon_left", 1.0) <= 0:
        yield WARNING, "its privacy budget is spent"


def _connections(kit: Kit) -> int:
    """Connections of the kit's own process on the server's port; 0 where it does not run or is another user's."""
    port = int(kit.server.rpartition(":")[2] or 0)
    try:
        process = psutil.Process(int((kit.folder / LOCK_FILE).read_text().strip() or 0))
        found = process.net_connections(kind="tcp")
    except (OSError, ValueError, psutil.Error):
        return 0
    ends = [each.laddr if kit.kind == "server" else each.raddr for each in found if each.status == "ESTABLISHED"]
    return sum(1 for end in ends if end and end.port == port)


def _list_in(path: Path, name: str) -> list[Any]:
    """An entry of a JSON file that is a list; empty where there is none."""
    found = _read(path).get(name)
    return found if isinstance(found, list) else []


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
