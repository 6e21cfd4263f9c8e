"""Make docs/results/performance.md from the results files.

python benchmarks/page.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fedbrats.report.markdown import markdown_table

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results", HERE.parent / "docs" / "results" / "performance.md"
NOTES = HERE / "notes.md"  # what no number says: profiles, floors, what was tried


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PAGE, help="(default: docs/results/performance.md)")
    args = parser.parse_args()
    parts = [INTRODUCTION]
    for name, (title, about, tables) in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            parts.append(f"## {title}\n\n{about} Not measured yet: `python benchmarks/{name}.py --help`.\n")
            continue
        found = json.loads(path.read_text())
        command = found.get("command", f"python benchmarks/{name}.py")
        parts += [f"## {title}\n", f"{about} `{command}`, {machine(found)}.\n", targets(found), *tables(found)]
    if NOTES.exists():
        parts.append(NOTES.read_text())
    args.out.write_text("\n".join(parts))


OTHER_WAYS = "ms_a_patch_other_ways"
INTRODUCTION = """# Performance

Made by `python benchmarks/page.py` from the files in `benchmarks/results`, each of which names its command, day,
machine and versions. The machine is a small virtual one (two cores of an AMD EPYC of family 25, 24 GiB, no GPU), so
trust ratios within one run more than seconds. The day is that on which the result was committed, for results before
30 November 2026; these speak of the code of that day. BRATS-MINI is a folder with the cases of `experiments/cases.csv`,
block-averaged to 2 mm. BRATS-FULL is any folder of full-size cases.
"""


TIME_TO_DICE = """`minute` and `budget` are ours: their learning rate falls within one minute and within ten minutes. If
another contender was not at 0.60 after its 300 s, the ratio is a lower bound. Ours were tuned on these cases and the
others were not. So this compares what a user gets, and not what the networks can do. `best` is the best of all
validations on the validation cases; `last` is the last one.
"""
NNUNET = """One thread and the same seconds of processor time for each, of training alone. `nnunet` is nnU-Net v2 by its
own plan and its own trainer; `none` and `phantoms` are ours from random weights and from the weights that ship. The
masks are predicted without mirror images and scored by the same code.

What this says: who has one core and a few minutes gets a model that segments from ours, and none from nnU-Net. What it
cannot say: which of the two is better. nnU-Net is planned for a GPU and for 1,000 epochs of 250 steps. At its seconds
a step here, one epoch takes two hours of this core and the whole plan eighty days. After so few steps it has hardly
begun to learn, and its Dice says nothing of where it ends. Ours were tuned on these cases, and nnU-Net was not.
"""
SCALE = """Projected convergence shows little difference between the rules, because the network of this repository is
near its best within a few per cent of the week. The hours to that point show the difference. Dropping late hospitals
makes a sixth more rounds at the cost of the dropped hospitals. So it is not the default (`deadline_factor` waits for
three times the slowest hospital's own time).
"""
VALIDATION = """Processor seconds of a round, medians, one thread. `received` is the model that came: the server chooses
its best model by it, and `rollback_drop` looks at it. `trained` is the site's own model: with `received` it gives the
curves of the report and the usefulness in the Contribution Factor, and nothing else. The last columns are validation's
share of a round, in the mean over rounds, where models are evaluated once in so many rounds (`validate_every`); the
final model is evaluated in any case. Nearly all of a validation is prediction, and the prepared volumes are mapped from
the cache. So fewer validations are what saves time. In so short a job every second round loses nothing, and every
fourth leaves two models to choose from. `round_validation_cases` in a site's file makes it less for that site alone.
"""
STEPS = """None of these is the default. Channels last is slower. The fused optimiser, bfloat16 and compilation change
the bits of every run, and compilation costs time before the first step: about a minute, where a site of the demo trains
for fifty seconds. A batch of two makes half the steps of as many patches. The foreach optimiser keeps the bits, but
gains little more than the spread of the turns. Fewer milliseconds are no reason for a default without the Dice at equal
seconds, which the next table has. Not tried: the layouts of oneDNN, and a kernel of our own for normalisation and
activation.
"""
STEPS_DICE = """Each way trains from the start that ships; its learning rate falls with the seconds that are used. Of
the training cases of fold 0, every third is held out for Dice, another third for another seed, so a column can only be
compared with itself. No way is ahead with both seeds: the batch of two wins with one and loses twice as much with the
other, and the others lie within 0.004 of today's step although they make up to 1.3 times the steps. So the defaults
stay.
"""
LAUNCH = """Launch is the time from `fedbrats poc submit` to the first task at the last site. End is the time from the
last answer of a site to the command's return. `forked`: the processes of jobs are forked from one that has imported
everything. `started anew`: as FLARE starts them. The other changes hold for both: what is imported, how a job is
checked, and how often the server looks whether a job is done. Memory is that of the job's processes and, where they are
forked, of the process that they are forked from.
"""
ONE_SERVER = """One server is enough while its transfers and its aggregation take less time than a round at the
hospitals: up to some hundreds of hospitals with the models here. For more, FLARE has relays and hierarchical clients
(tree provisioning in `nvflare.lighter`, not used here), streaming of large tensors, and offload to disk of arriving
tensors (`enable_tensor_disk_offload`, for PyTorch tensors). `memory_mb` limits the memory of updates that wait to be
combined.
"""


ELSEWHERE = ("launch_seconds", "shutdown_seconds")  # measured by launch.py, with the launcher of today


def rounds(found: dict[str, Any]) -> Iterable[str]:
    """Seconds of a round."""
    shown = [(name, value) for name, value in found["numbers"].items() if name not in ELSEWHERE]
    yield markdown_table(("what", "seconds or share"), shown)


def soak(found: dict[str, Any]) -> Iterable[str]:
    """All processes together as the rounds pass."""
    course = found["course_of_all_processes"]
    shown = [number for number in course if int(number) in (1, 50, 100, 150, 200, 250, 300)]
    keys = ("uss_mb", "rss_mb", "open_files", "threads", "log_kb")
    yield markdown_table(("round", *keys), [(number, *(course[number][key] for key in keys)) for number in shown])


def predict(found: dict[str, Any]) -> Iterable[str]:
    """Every case on its own grid and on the one that the model was trained at."""
    yield markdown_table(
        ("case", "s with start", "s of the case", "peak GiB", "Dice, own grid", "Dice, trained grid"),
        [
            (e["shape"], e["seconds"], e["seconds_of_the_case"], e["peak_memory_gib"], e["dice_own_grid"],
             e["dice_trained_grid"])
            for e in found["cases"]
        ],
    )  # fmt: skip


def time_to_dice(found: dict[str, Any]) -> Iterable[str]:
    """Who gets where in how many seconds."""
    yield markdown_table(
        ("contender", "fold", "parameters", "s a step", "s to 0.45", "to 0.60", "to 0.65", "best", "after s", "last"),
        [
            (e["contender"], e["fold"], f"{e['parameters'] / 1e6:.2f} M", e["step_seconds"], *e["seconds_to"].values(),
             e["best"]["dice"], e["best"]["seconds"], e["course"][-1]["dice"])
            for e in found["entries"]
        ],
    )  # fmt: skip
    yield TIME_TO_DICE


def nnunet(found: dict[str, Any]) -> Iterable[str]:
    """Ours and nnU-Net v2 after the same seconds."""
    yield f"Fold {found['fold']}, {found['minutes']:g} minutes each.\n"
    columns = ("contender", "parameters", "patch", "batch", "steps", "seconds", "Dice", "WT", "TC", "ET")
    yield markdown_table(
        columns,
        [
            (e["contender"], f"{e['parameters'] / 1e6:.2f} M", " x ".join(map(str, e["patch_size"])), e["batch_size"],
             e["steps"], e["seconds"], *(e["dice"][name] for name in ("mean", "WT", "TC", "ET")))
            for e in found["entries"]
        ],
    )  # fmt: skip
    yield NNUNET


def data(found: dict[str, Any]) -> Iterable[str]:
    """Preparation, patches, MONAI."""
    yield markdown_table(("preparation of full-size cases", ""), found["preparation"].items())
    yield markdown_table(("patches", ""), found["patches"].items())
    yield markdown_table(
        ("MONAI", "ms a patch", "seconds before the first", "patches timed"),
        [(name, *each.values()) for name, each in found["monai"].items()],
    )


def moved(found: dict[str, Any]) -> Iterable[str]:
    """Bytes and Dice."""
    yield f"{found['rounds']} rounds, {found['entries'][0]['patients']} patients, seed {found['seed']}.\n"
    yield markdown_table(
        ("what travels", "MB up", "MB down", "of float32", "Dice", "difference", "95 %"),
        [
            (e["way"], e["bytes_up"] / 1e6, e["bytes_down"] / 1e6, e["share_of_float32"], e["dice"],
             e["dice_difference"], "{:+.3f} to {:+.3f}".format(*e["dice_difference_interval"]))
            for e in found["entries"]
        ],
    )  # fmt: skip


def aggregation(found: dict[str, Any]) -> Iterable[str]:
    """Seconds, ratios and memory of every rule."""
    rules = list(dict.fromkeys(entry["rule"] for entry in found["entries"]))
    sizes = list(dict.fromkeys((e["sites"], e["parameters"], e["overlapping"]) for e in found["entries"]))
    by_size = {(e["sites"], e["parameters"], e["rule"]): e for e in found["entries"]}
    for title, show in (("seconds (times a plain sum)", _seconds), ("models of float32 held at the peak", _held)):
        yield markdown_table(
            (f"sites x parameters: {title}", *rules),
            [
                (f"{k} x {d / 1e6:g} M{' (overlapping)' if o else ''}", *(show(by_size[k, d, rule]) for rule in rules))
                for k, d, o in sizes
            ],
        )


def scale(found: dict[str, Any]) -> Iterable[str]:
    """The simulated week."""
    yield markdown_table(
        ("hospitals", "rules", "rounds a week", "minutes a round", "validating, of the slowest", "hours to best - 0.01",
         "projected", "dropped a round"),
        [
            (e["hospitals"], e["rules"], e["rounds"], e["round_minutes"], e["slowest_share_validating"],
             e["hours_to_near_best"], e["projected"], e["dropped"])
            for e in found["entries"]
        ],
    )  # fmt: skip
    yield SCALE
    yield markdown_table(
        ("one server, 1 Gbit/s", "line, s a round", "with int8", "updates, GB"),
        [
            (f"{e['sites']} x {e['parameters'] / 1e6:g} M", e["line_seconds"], e["line_seconds_int8"], e["updates_gb"])
            for e in found["one_server"]
        ],
    )
    yield ONE_SERVER


def profiles(found: dict[str, Any]) -> Iterable[str]:
    """Where the time goes."""
    for name in ("training", "preparation", "aggregation"):
        numbers = {key: value for key, value in found[name].items() if key not in ("shares", OTHER_WAYS)}
        shares = {f"share: {key}": value for key, value in found[name].get("shares", {}).items()}
        yield markdown_table((name, ""), {**numbers, **shares}.items())
    if ways := found["training"].get(OTHER_WAYS):
        yield markdown_table(("a training step done another way", "ms a patch"), ways.items())


def gpu(found: dict[str, Any]) -> Iterable[str]:
    """Training by batch size, and the rest."""
    yield f"{found['chip']}, {found['matrix_tflops']} TFLOP/s of a matrix product.\n"
    yield markdown_table(("batch", "volumes/s", "peak GiB"), [tuple(e.values()) for e in found["training"] or []])
    yield markdown_table(("done another way, batch of two", "volumes/s"), (found["ways"] or {}).items())
    for part in ("patches", "sites_on_one_device", "time_to_dice", "federation"):
        yield markdown_table((part, ""), (found[part] or {}).items())


def validation(found: dict[str, Any]) -> Iterable[str]:
    """Seconds by hospital, and the model that is chosen."""
    yield f"{found['rounds']} rounds of {found['steps']} steps a site.\n"
    shares = [key for key in found["sites"][0] if key.startswith("share_every_")]
    yield markdown_table(
        ("hospital", "training cases", "validation cases", "training, s", "received, s", "trained, s",
         "of it checking", "scoring", *(f"validating, every {key.rpartition('_')[2]}" for key in shares)),
        [
            (each["site"], each["training_cases"], each["validation_cases"], each["training_s"], each["received_s"],
             each["trained_s"], each["checking_share"], each["scoring_share"], *(each[key] for key in shares))
            for each in found["sites"]
        ],
    )  # fmt: skip
    yield markdown_table(
        ("`validate_every`", "models looked at", "chosen: begins round", "its Dice"),
        [(each["every"], each["models_looked_at"], each["chosen_of_round"], each["dice"]) for each in found["choices"]],
    )
    yield VALIDATION


def steps(found: dict[str, Any]) -> Iterable[str]:
    """Ways to do a training step."""
    yield f"{found['repeats']} turns of {found['steps']} steps of each way.\n"
    columns = ("way", "ms a patch", "ratio, median", "lowest", "highest", "same bits in three steps")
    yield markdown_table(
        columns,
        [
            (e["way"], e["ms_a_patch"], e["ratio"], e["lowest"], e["highest"], "yes" if e["same_bits"] else "no")
            for e in found["entries"]
        ],
    )
    yield STEPS


def steps_dice(found: dict[str, Any]) -> Iterable[str]:
    """Ways down, seeds across."""
    seeds = sorted({each["seed"] for each in found["entries"]})
    by = {(each["way"], each["seed"]): each for each in found["entries"]}
    rows = []
    for way in dict.fromkeys(each["way"] for each in found["entries"]):
        row: list[object] = [way]
        for seed in seeds:
            each = by.get((way, seed))
            row += [each["steps"], each["patches"], f"{each['dice']['mean']:.3f}"] if each else ["-", "-", "not run"]
        rows.append(row)
    columns = [column for seed in seeds for column in (f"steps, seed {seed}", "patches", "Dice")]
    yield f"{found['seconds']:.0f} s of processor time of training for each.\n"
    yield markdown_table(("way", *columns), rows)
    yield STEPS_DICE


def launch(found: dict[str, Any]) -> Iterable[str]:
    """A job that is forked, and one that is started anew."""
    ways = found["ways"]
    names = {"launch_s": "launch, s", "end_s": "end, s", "pss_mb": "memory (PSS), MB", "load": "load before"}
    yield markdown_table(
        ("job processes", *names.values()), [(way, *(each[key] for key in names)) for way, each in ways.items()]
    )
    yield LAUNCH


def simulation(found: dict[str, Any]) -> Iterable[str]:
    """Seconds and memory by the number of sites."""
    keys = ("sites", "round_seconds", "whole_seconds", "peak_gib", "threads")
    yield f"Load before: {found['load_before']}.\n"
    yield markdown_table(keys, [tuple(entry[key] for key in keys) for entry in found["entries"]])


def accountants(found: dict[str, Any]) -> Iterable[str]:
    """Epsilon of every setting by every accountant."""
    columns = ("noise", "rate", "steps", "delta", "prv", "pld", "rdp")
    rows = [(*(f"{row[name]:g}" for name in columns[:4]), *(f"{row[name]:.2f}" for name in columns[4:]))
            for row in found["rows"]]  # fmt: skip
    yield markdown_table(columns, rows)
    spent = found["ledger"]
    yield (
        f"\nThe ledger of a run of `fedavg_dp` on phantoms ({spent['lines']} rounds, {spent['steps']} steps) at delta "
        f"{spent['delta']:g}: PRV {spent['prv']:.3f}, PLD {spent['pld']:.3f}, RDP {spent['rdp']:.3f}, RDP of the "
        f"second library {spent['second_rdp']:.3f}.\n"
    )


def pads(found: dict[str, Any]) -> Iterable[str]:
    """Seconds and bytes by sites and numbers."""
    columns = ("sites", "numbers", "site_s", "server_s", "bytes_over_open")
    rows = [(*(row[name] for name in columns[:4]), f"{row['bytes_over_open']:.3f}") for row in found["rows"]]
    yield markdown_table(columns, rows)


Tables = Callable[[dict[str, Any]], Iterable[str]]
SECTIONS: dict[str, tuple[str, str, Tables]] = {
    "time_to_dice": ("Time to Dice", "Seconds of training on the real cases until a validation Dice is reached.",
                     time_to_dice),
    "nnunet": ("Ours and nnU-Net v2", "Dice on the real cases after the same seconds of one core.", nnunet),
    "rounds": ("A federated round", "Where the seconds of a round go.", rounds),
    "launch": ("Launch and end of a job", "An empty job with five sites in FLARE POC, in turns.", launch),
    "simulation": ("Simulation of many sites", "FedAvg of `tiny`, one step a site and round.", simulation),
    "validation": ("Validation", "What evaluating models costs in a round at five hospitals.", validation),
    "empty_round": ("An empty round", "Five sites, with the guard of every cell and mutual TLS inside; half of the "
                    "rounds lie between the quartiles.", rounds),
    "guard": ("The guard of FLARE's cells", "What judging every message costs, in processor time; TLS is not in it.",
              rounds),
    "data": ("Data", "Cases are prepared once and read as patches.", data),
    "bytes": ("Bytes", "What a round moves, and what moving less costs.", moved),
    "aggregation": ("Aggregation", "What combining a round costs on the server.", aggregation),
    "scale": ("A simulated week of FeTS' hospitals", "Our rules in the FeTS Challenge's clock.", scale),
    "profiles": ("Profiles", "Where the time goes, and what the floor is on this machine.", profiles),
    "steps": ("Ways to do a training step", "Processor time of one thread; the ways take turns in one run.", steps),
    "steps_dice": ("Dice of other training steps at equal seconds", "Processor time of one thread, batches included.",
                   steps_dice),
    "accountants": ("What differential privacy costs", "Epsilon by Opacus' PRV accountant, which fedbrats uses, by an "
                    "independent one (PLD), and by the quick bound (RDP).", accountants),
    "pads": ("Secure aggregation with pads", "A simulation of the protocol of `secure=pads`: seconds of one site and "
             "of the server in a round, and bytes of a site over those of open float32.", pads),
    "padded_rounds": ("A round under pads", "`fedavg` without and with `secure=pads` at five sites in FLARE POC, "
                      "one after the other, while other programs used the same cores.", rounds),
    "predict": ("Prediction of full-size cases", "Time, memory and Dice on the scan's own grid.", predict),
    "soak": ("Long runs", "300 rounds of five sites.", soak),
    "gpu": ("GPU", "No GPU was at hand: no number on this page is of one. One command measures volumes a second of "
            "training at 128^3, patches, prediction, five sites on one chip, and a federation.", gpu),
}  # fmt: skip


def targets(found: dict[str, Any]) -> str:
    """The table of targets, if there are any."""
    if not found["targets"]:
        return ""
    rows = [
        (each["name"], f"{'at least' if each.get('at_least') else 'at most'} {each['target']:g}", each["value"],
         "yes" if each["met"] else "**no**")
        for each in found["targets"]
    ]  # fmt: skip
    return markdown_table(("target", "", "measured", "met"), rows)


def machine(found: dict[str, Any]) -> str:
    """The machine in words, and the day."""
    about = found.get("machine", {})
    words = f"{about.get('machine', 'machine')}, {about.get('cores', '?')} cores, Python {about.get('python', '?')}"
    return f"{words}, {found.get('day', 'day unknown')}"


def _seconds(entry: dict[str, Any]) -> str:
    if entry["seconds"] is None:
        return f"left out ({entry['left_out']})"
    return f"{entry['seconds']:.3g} ({entry['ratio']:.1f})"


def _held(entry: dict[str, Any]) -> str:
    return "-" if entry["seconds"] is None else f"{entry['models_held']:.2f}"


if __name__ == "__main__":
    main()
