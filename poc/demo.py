"""The demo: why hospitals federate, in one table and one picture, with synthetic hospitals in a FLARE POC federation.

Four hospitals train: each alone, all together by federated averaging, and on all data in one place. Every model is
scored at its own hospitals' patients and at those of a fifth hospital, which took no part. Then one of the four sends
updates a hundred times too large: once the server takes them as they are, and the other hospitals refuse the model that
comes of it; once it clips updates, as it does by default.
All begin with random weights (start=none), so that nothing is hidden in a start.

Everything is under `results/demo`: table.json, picture.png, and report.html with curves, sites, rounds and cases.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedbrats.atomic import write_json_atomic
from fedbrats.cli.call import call, started
from fedbrats.cli.output import print_line, print_table
from fedbrats.cli.progress import say

SITES, CASES_PER_SITE, SPACING_MM, SEED = 4, 8, 4, 3
ROUNDS, LOCAL_STEPS, LEARNING_RATE = 12, 16, 0.004
STOPPED = "stopped: the others refuse its model"
BAD_SITE, HARM = "site-2", "scaled"
ALONE, FEDERATED, POOLED = "each hospital alone", "federated (FedAvg)", "all data in one place"
UNPROTECTED, PROTECTED = "federated, one bad hospital, not clipped", "federated, one bad hospital, clipped (default)"
Row = dict[str, Any]


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/demo"), help="(default: results/demo)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"federated rounds (default: {ROUNDS})")
    args = parser.parse_args()
    seconds: dict[str, float] = {}
    with timed(seconds, "data"):
        sites, new = make_hospitals(args.out)
    common = ["--cache", args.out / "cache", "--json", "--set", "start=none", "--set", f"learning_rate={LEARNING_RATE}"]
    common += ["--set", f"local_steps={LOCAL_STEPS}"]
    rounds = ["--set", f"num_rounds={args.rounds}"]
    with (
        timed(seconds, "federation of honest hospitals, and all data in one place beside it"),
        started("train", *pooled_words(args.out, sites, args.rounds, common)) as finish_pooled,
    ):
        poc = ["--data", sites, "--workspace", args.out / "poc"]
        honest = documents(call("poc", "run", "local_only", "fedavg", "--results", args.out, *poc, *rounds, *common))
        pooled = json.loads(finish_pooled())
    alone, federated = honest
    with timed(seconds, "federation with a bad hospital"):
        harmed = with_a_bad_hospital(args.out, sites, [*rounds, *common])
    with timed(seconds, "scores at the new hospital"):
        rows = score(args.out, new, alone, federated, pooled, harmed)
    with timed(seconds, "report"):
        page = args.out / "report.html"
        call(
            "report", *(document["results"] for document in (alone, federated, pooled)), "--data", sites, "--out", page
        )
        write_json_atomic(args.out / "table.json", {"rows": rows, "seconds": seconds})
        draw(rows, args.out / "picture.png")
    print_table(
        ("trained", "Dice, own patients", "Dice, a new hospital's patients"),
        [(row["trained"], row["own"] if row["new"] is not None else STOPPED, row["new"]) for row in rows],
        title="Validation Dice of the final models, synthetic patients, 4 mm",
    )
    print_line("Own: of a bad hospital's federation, the patients of the others. Alone: the mean over the four models.")
    each = ", ".join(f"{name} {taken:.0f}" for name, taken in seconds.items())
    print_line(f"{sum(seconds.values()):.0f} s in all ({each}).")
    print_line(f"Look at {args.out / 'picture.png'} and {page}. Models and rows are in {args.out}.")
    return 0


def make_hospitals(out: Path) -> tuple[Path, Path]:
    """The folder of the hospitals that train, and that of the one which does not."""
    sites, new = out / "sites", out / "new" / f"site-{SITES + 1}"
    cohort = ["--sites", SITES + 1, "--cases", CASES_PER_SITE, "--spacing-mm", SPACING_MM, "--seed", SEED, "--force"]
    call("phantom", sites, *cohort)
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(exist_ok=True)
    (sites / new.name).rename(new)
    return sites, new


def pooled_words(out: Path, sites: Path, rounds: int, common: list[object]) -> list[object]:
    """The command that trains on all data in one place.

    It has one thread, because two make a step of this network no faster, and a cache of its own, because the hospitals
    prepare the same cases at the same time.
    """
    return [
        sites,
        "--rounds",
        rounds,
        "--out",
        out / "pooled",
        *common,
        "--threads",
        1,
        "--cache",
        out / "pooled-cache",
    ]


def with_a_bad_hospital(out: Path, sites: Path, words: list[object]) -> dict[str, Row]:
    """FedAvg with and without the clip, in one federation with a bad hospital: the documents by their rows' names."""
    workspace = ["--workspace", out / "poc"]
    call("poc", "up", "--data", sites, "--misbehave", f"{BAD_SITE}={HARM}", "--cache", out / "cache", *workspace)
    try:
        jobs = {UNPROTECTED: ["--set", "clip_multiple=0"], PROTECTED: []}
        submit = [word for word in words if word not in ("--cache", out / "cache")]
        found = {}
        for name, own in jobs.items():
            results = out / "bad-hospital" / ("clipped" if not own else "not-clipped")
            run = ("poc", "submit", "fedavg", "--results", results, *workspace, *submit, *own)
            command = [sys.executable, "-m", "fedbrats.cli.main", *map(str, run)]
            if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
                if not stopped_by_the_others(results):
                    raise SystemExit(f"the federation with a bad hospital failed for another reason; look at {results}")
                say("demo: that is what this run shows: without the clip one bad hospital ends the job of all")
            found[name] = json.loads(newest(results, "summary.json").read_text(encoding="utf-8"))
        return found
    finally:
        call("poc", "down", *workspace)


def stopped_by_the_others(results: Path) -> bool:
    """Whether the hospitals themselves refused the model that the bad one made."""
    return "MODEL_REFUSED" in newest(results, "rows.jsonl").read_text(encoding="utf-8")


def newest(results: Path, name: str) -> Path:
    """A file of the newest run in a folder of results."""
    return max(results.glob(f"*/{name}"))


def score(out: Path, new: Path, alone: Row, federated: Row, pooled: Row, harmed: Mapping[str, Row]) -> list[Row]:
    """One row a way of training: Dice at the own patients and at the new hospital's; every model in one process."""
    from fedbrats.data.cases.datalist import read_datalist
    from fedbrats.model.device import choose_device
    from fedbrats.model.prediction import Predictor
    from fedbrats.model.saved import load_model

    unseen = read_datalist(new)

    def at_new_hospital(document: Row, personal: Path | None = None) -> float:
        model = load_model(Path(document["results"]), personal)
        predictor = Predictor(model, choose_device("cpu"), None, False)
        scores = [predictor.score(case, unseen.convention).dice for case in unseen.cases]
        return sum(sum(dice.values()) / len(dice) for dice in scores) / len(scores)

    parts = sorted((out / "poc" / "personal" / alone["job_id"]).glob("*/personal.npz"))
    singles = [at_new_hospital(alone, part) for part in parts]
    rows = [
        {"trained": ALONE, "own": alone["dice"]["mean"], "new": sum(singles) / len(singles), "each": singles},
        {"trained": FEDERATED, "own": federated["dice"]["mean"], "new": at_new_hospital(federated)},
        {"trained": POOLED, "own": pooled["dice"]["mean"], "new": at_new_hospital(pooled)},
    ]
    for name, document in harmed.items():
        if document["dice"] is None:
            rows.append({"trained": name, "own": None, "new": None})
        else:
            rows.append({"trained": name, "own": of_the_others(document), "new": at_new_hospital(document)})
    return rows


def of_the_others(document: Row) -> float:
    """Mean Dice over the validation cases of all hospitals but the bad one."""
    others = [site for name, site in document["per_site"].items() if name != BAD_SITE and site["dice"]]
    return sum(site["dice"]["mean"] * site["cases"] for site in others) / sum(site["cases"] for site in others)


def draw(rows: list[Row], path: Path) -> None:
    """The table as a picture: a pair of bars a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    axes = figure.subplots()
    kinds = (("own", "own patients", "#7a8fb8"), ("new", "a new hospital's patients", "#d98036"))
    for number, (key, label, colour) in enumerate(kinds):
        places = [place + 0.38 * number for place in range(len(rows))]
        bars = axes.barh(places, [row[key] or 0.0 for row in rows], height=0.36, label=label, color=colour)
        labels = [f"{row[key]:.2f}" if row[key] is not None else STOPPED if key == "own" else "" for row in rows]
        axes.bar_label(bars, labels=labels, padding=3, fontsize=8)
    axes.set_yticks([place + 0.19 for place in range(len(rows))], [row["trained"] for row in rows])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="Dice (1 is perfect), synthetic patients")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add how long a part takes."""
    began = time.monotonic()
    yield
    seconds[part] = round(time.monotonic() - began, 1)


def documents(lines: str) -> list[Row]:
    """The JSON documents of `fedbrats poc run`, one a line."""
    return [json.loads(line) for line in lines.splitlines() if line.startswith("{")]


if __name__ == "__main__":
    sys.exit(main())
