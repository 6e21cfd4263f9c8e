"""What the live page of `fedbrats watch` says: of a server or a site by what lies on this machine, else by the server.

It is made of the parts of the report (fedbrats.report.page), whose templates escape every text.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fedbrats import __version__
from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.health import Health, look_at
from fedbrats.admin.operate.overview import Overview
from fedbrats.flare.process.who_is_there import read_objections
from fedbrats.report.page.blocks import Block, Paragraph, Section, Table, render
from fedbrats.report.page.page import NOTICE
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER, Row, learning_curve, read_rows

REFRESH_S = 5
MOST_ROUNDS = 20  # the newest, of each job
STATES = ("good", "somebody should look", "it does not work")


def page_of_machine(kit: Kit) -> str:
    """The page of a server or a site of this machine: its health, and of a server the jobs that run."""
    health = look_at(kit)
    jobs = _jobs(kit.folder) if kit.kind == "server" else ()
    return _page(f"{kit.kind} {kit.name}", STATES[health.status], [_health(health), *jobs])


def page_of_consortium(kit: Kit, found: Overview) -> str:
    """The page of a person: who is there and what runs, by the server's word."""
    here = sum(each["state"] == "connected" for each in found.participants)
    sections = [_sites(found), *map(_standing, (job for job in found.jobs if job.get("standing"))), _all_jobs(found)]
    return _page(f"consortium of {kit.server}", f"{here} of {len(found.participants)} sites are connected.", sections)


def _page(title: str, overview: str, sections: Iterable[Section]) -> str:
    return render(
        sections,
        title=f"fedbrats: {title}",
        overview=overview,
        notice=NOTICE,
        refresh_s=REFRESH_S,
        version=__version__,
        written=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    )


def _health(health: Health) -> Section:
    """What is not good, then every number: connections, certificates, disks, refusals."""
    blocks: list[Block] = [Paragraph(said) for said in health.said]
    rows = []
    for metric in health.metrics:
        about = ", ".join(value for _, value in metric.labels)
        rows.append((metric.name.removeprefix("fedbrats_"), (about or None, f"{metric.value:.10g}")))
    blocks.append(Table("Numbers of this machine", ("number", "of", "value"), rows, "text"))
    return Section("Health", blocks)


def _jobs(kit: Path) -> Iterator[Section]:
    """Of a server's kit, every job that has rows, and those that run and that a site does not run."""
    objections = read_objections(kit)
    paths = {path.parents[1].name: path for path in kit.glob(f"*/{ROWS_FOLDER}/{ROWS_FILE}")}
    for job in sorted({*paths, *objections}):
        blocks = _objections(objections.get(job, {}))
        if job in paths:
            with contextlib.suppress(OSError, LookupError, TypeError, ValueError):  # it is moved, or is no rows file
                blocks += _job(read_rows(paths[job]))
        yield Section(f"Job {job}", blocks)


def _objections(whys: Mapping[str, str]) -> list[Block]:
    """Which sites do not run a job, and why; nothing where all do."""
    rows = [(site, (why,)) for site, why in sorted(whys.items())]
    return [Table("Sites that do not run it", ("site", "why"), rows, "text")] if rows else []


def _job(rows: list[Row]) -> list[Block]:
    """Of a running job: its last rounds, and of every site answers, weight, seconds, bytes and refusals."""
    dice, weights = learning_curve(rows), {row["site"]: row["weight"] for row in rows if row["kind"] == "weight"}
    rounds = [row for row in rows if row["kind"] == "round"][-MOST_ROUNDS:][::-1]
    listed = [
        (str(row["round"] + 1), (dice.get(row["round"]), _seconds(row["seconds"]), ", ".join(row["silent"]) or None))
        for row in rounds
    ]
    refused = Counter(str(row["site"]) for row in rows if row["kind"] == "refusal")
    answers: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["kind"] == "site":
            answers[str(row["site"])].append(row)
    sites = [
        (
            site,
            (
                sum(1 for row in answers[site] if row["accepted"]),
                refused[site],
                weights.get(site),
                _seconds(answers[site][-1]["answered_s"]) if answers[site] else None,
                _megabytes(answers[site], "down"),
                _megabytes(answers[site], "up"),
            ),
        )
        for site in sorted({*answers, *refused})
    ]
    columns = ("site", "counted answers", "refusals", "weight", "last answer", "MB down", "MB up")
    return [
        Table("The newest rounds", ("round", "Dice", "took", "silent"), listed, "text"),
        Table("Sites", columns, sites, "text"),
    ]


def _seconds(value: Any) -> str | None:
    return f"{value:.1f} s" if isinstance(value, int | float) else None


def _megabytes(answers: list[Row], way: str) -> str:
    return f"{sum(row['bytes'][way] for row in answers) / 1e6:.1f}"


def _sites(found: Overview) -> Section:
    rows = [
        (
            each["name"],
            (_state_of(each), None if each["seen_s"] is None else f"{each['seen_s']:.0f} s ago", each["fedbrats"]),
        )
        for each in found.participants
    ]
    return Section("Sites", [Table("Who is there", ("site", "state", "last seen", "fedbrats"), rows, "text")])


def _state_of(site: Mapping[str, Any]) -> str:
    return f"{site['state']} ({', '.join(site['machines'])})" if site.get("machines") else str(site["state"])


def _standing(job: Mapping[str, Any]) -> Section:
    """Where a running job stands (fedbrats.standing)."""
    said = job["standing"]
    refusals = ", ".join(f"{site}: {count}" for site, count in sorted(said.get("refusals", {}).items()))
    rows = [
        ("rounds done", (job.get("round"),)),
        ("Dice", (said.get("dice"),)),
        ("last round", (_seconds(said.get("round_s")),)),
        ("answered in this round", (", ".join(said.get("answered", ())) or None,)),
        ("silent in the last round", (", ".join(said.get("silent", ())) or None,)),
        ("refused answers", (refusals or None,)),
        ("last trouble", (said.get("trouble") or None,)),
    ]
    name = job.get("job_name") or job.get("job_id")
    now = Table(str(job.get("job_id")), ("of the job", "now"), rows, "text")
    return Section(f"{name} runs", [now, *_objections(said.get("objections", {}))])


def _all_jobs(found: Overview) -> Section:
    names = ("job_id", "submitter", "submit_time", "status", "round")
    rows = [(str(job.get("job_name")), tuple(job.get(name) for name in names)) for job in found.jobs[::-1]]
    columns = ("job", "id", "by", "submitted", "status", "round")
    return Section("Jobs", [Table("Every job that the server knows", columns, rows, "text")])
