"""Ask a trained model who was in its training data: membership of patients, with controls that must come out.

MODEL is a results folder or a model file; SITES holds the sites that it was trained on, as `fedbrats split` made them.
Patients of training are members, those of validation are not. The score of a patient is how much surer the model is of
the mask than the references: models that did not train on that patient, such as the start. A reference's own sites
folder says on whom it trained; without one it is taken to know none of the patients. Every patient needs as many
references as the others. With folds these are models of all folds, the own one with another seed: each is asked about
the patients that it did not train on. Such references know the same hospitals, so they find more than the start does.
Without references the loss alone is the score, which finds less.

Two controls are always run. Members against members must tell nothing (0.5 within the interval). A network that knows a
few members by heart is trained on the way, and must be found (at least 0.9) by the same references, or beside the model
where there are none: otherwise the audit could find nothing. Where references trained on sites of their own, two such
networks are trained, and each is the reference of the other.

What it does not prove: that nothing leaks. It is one attack on these patients; another may find more. Only differential
privacy bounds all.

The result is written into RESULTS as audit.json, and `fedbrats report` and `fedbrats export` show it. --json prints the
same: model, sha256, members, others, membership (auc, low, high, hits), tells_nothing, by_site, smallest_site,
controls, references and seconds.

The audit says nothing where members are told from members, and where it finds nothing, not even the network that knows
its patients by heart. What it finds stands, even if that network is not found.

Exit status: 0 the audit says something, 1 it says nothing.

example:
  fedbrats audit results/fedavg --data sites --reference start.safetensors
  fedbrats audit fold-0 --data sites/0 --reference seed-1=sites/0 --reference fold-1=sites/1 --reference fold-2=sites/2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.arguments import run_path, whole_number
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import say
from fedbrats.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from fedbrats.data.prepare.cache import CachedCase, CacheSettings
    from fedbrats.data.prepare.site_cases import SiteCases
    from fedbrats.model.network import SegmentationNetwork
    from fedbrats.model.saved import SavedModel

MOST_BY_HEART = 6  # cases of the control
FOUND = 0.9
CONTROL_NETWORK = {"preset": "fast", "seed": 0}  # of the control, whatever the model is: it can learn by heart
Losses = dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", type=run_path, metavar="MODEL", help="a results folder, or a model file in one")
    parser.add_argument("--data", type=Path, required=True, metavar="SITES", help="the sites that it was trained on")
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="MODEL[=SITES]",
        help="a model that did not train on some of the patients, and the sites that it trained on; repeatable",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where audit.json goes (default: the results folder)")
    parser.add_argument("--cache", type=Path, default=Path("build/cache"), help="folder of prepared cases")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="CPU threads (default: the machine's cores)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the controls and the bootstrap (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


@dataclass(frozen=True)
class _Audit:
    """What the parts of the audit share: the model, its sites, and how networks are asked."""

    model: SavedModel
    sites: Sequence[SiteCases]
    args: argparse.Namespace

    @property
    def members(self) -> list[CachedCase]:
        return [case for site in self.sites for case in site.training]

    @property
    def cases(self) -> list[CachedCase]:
        return [case for site in self.sites for case in (*site.training, *site.validation)]

    def losses(self, network: SegmentationNetwork, what: str, cases: Sequence[CachedCase] | None = None) -> Losses:
        from fedbrats.model.device import choose_device
        from fedbrats.model.training.auditing import losses_by_patient

        say(f"audit: {what}")
        device = choose_device(self.args.device)
        return losses_by_patient(
            network.to(device), self.cases if cases is None else cases, device=device, window=self.model.window
        )


def run(args: argparse.Namespace) -> int:
    """Ask the model, then the controls; save, print."""
    import torch

    from fedbrats.atomic import write_json_atomic
    from fedbrats.data.parallel import count_cores
    from fedbrats.model.saved import load_model
    from fedbrats.privacy.membership import is_conclusive
    from fedbrats.run_folder import AUDIT_FILE

    began = time.perf_counter()
    threads = args.threads or count_cores()
    torch.set_num_threads(threads)
    model = load_model(args.model)
    sites = _read_sites(args.data, args.cache, model.preparation, threads)
    audit = _Audit(model, sites, args)
    own = audit.losses(model.network, "the model")
    references = [_reference(audit, text, threads) for text in args.reference]
    document: dict[str, Any] = {
        "model": str(model.path),
        "sha256": model.sha256,
        **_membership(audit, own, references),
        "controls": _controls(audit, own, references, threads),
        "references": len(references),
        "seconds": round(time.perf_counter() - began, 1),
    }
    out = args.out or (args.model if args.model.is_dir() else args.model.parent)
    write_json_atomic(out / AUDIT_FILE, document)
    if args.json:
        print_json(document)
    else:
        _show(document)
    return 0 if is_conclusive(document) else 1


def _membership(audit: _Audit, own: Losses, references: Sequence[Losses]) -> dict[str, Any]:
    from fedbrats.privacy.membership import measure, scores_of

    scores = scores_of(own, references)
    inside = {case.patient for case in audit.members}
    by_site = {}
    for site in audit.sites:
        trained = {case.patient for case in site.training}
        others = {case.patient for case in site.validation} - inside
        found = measure([scores[name] for name in trained], [scores[name] for name in others], audit.args.seed)
        by_site[site.name] = None if found is None else found.as_document()
    outside = scores.keys() - inside
    whole = measure([scores[name] for name in inside], [scores[name] for name in outside], audit.args.seed)
    if whole is None:
        raise DataError(
            f"an audit needs three patients of training and three of validation, and there are {len(inside)} and "
            f"{len(outside)}"
        )
    return {
        "members": whole.members,
        "others": whole.others,
        "membership": whole.as_document(),
        "tells_nothing": whole.tells_nothing,
        "by_site": by_site,
        "smallest_site": min(audit.sites, key=lambda site: len(site.training)).name,
    }


def _controls(audit: _Audit, own: Losses, references: Sequence[Losses], threads: int) -> dict[str, Any]:
    from fedbrats.privacy.membership import halves, measure, scores_of

    seed = audit.args.seed
    scores = scores_of(own, references)
    one, other = halves(sorted({case.patient for case in audit.members}), seed)
    same = measure([scores[name] for name in one], [scores[name] for name in other], seed)
    if any("=" in text for text in audit.args.reference):
        known, unknown = _two_by_heart(audit, one, other, threads)
    else:
        known, unknown = _one_by_heart(audit, one[:MOST_BY_HEART], references or [own], threads)
    found = measure(known, unknown, seed)
    return {
        "members_against_members": _control(same, same is not None and same.tells_nothing, "0.5 within the interval"),
        "by_heart": _control(found, found is not None and found.auc >= FOUND, f"at least {FOUND}"),
    }


def _one_by_heart(
    audit: _Audit, known: Sequence[str], references: Sequence[Losses], threads: int
) -> tuple[list[float], list[float]]:
    """Scores of the members that a network knows by heart, and of the others, by the audit's own references."""
    from fedbrats.privacy.membership import scores_of

    scores = scores_of(_losses_by_heart(audit, known, threads), references)
    return [scores[name] for name in known], [score for name, score in scores.items() if name not in known]


def _two_by_heart(
    audit: _Audit, one: Sequence[str], other: Sequence[str], threads: int
) -> tuple[list[float], list[float]]:
    """The same of two networks, each the reference of the other: of one kind, as the audited model and its references.

    Members whom neither has learned count twice, once for each network.
    """
    from fedbrats.privacy.membership import scores_of

    first, second = (half[: min(MOST_BY_HEART, len(half) // 2)] for half in (one, other))
    losses = [_losses_by_heart(audit, known, threads) for known in (first, second)]
    scores = scores_of(losses[0], [losses[1]])
    unknown = [score for name, score in scores.items() if name not in {*first, *second}]
    known = [*(scores[name] for name in first), *(-scores[name] for name in second)]
    return known, [*unknown, *(-score for score in unknown)]


def _losses_by_heart(audit: _Audit, known: Sequence[str], threads: int) -> Losses:
    """The losses of all members under a network that knows some of them by heart."""
    from fedbrats.model.training.auditing import learn_by_heart

    chosen = [case for case in audit.members if case.patient in known]
    say(f"audit: a network learns {len(chosen)} cases by heart")
    patch = audit.model.settings.get("patch_size")
    network = learn_by_heart(
        CONTROL_NETWORK,
        chosen,
        tuple(patch) if patch else None,
        seed=audit.args.seed,
        device=audit.args.device,
        threads=threads,
    )
    return audit.losses(network, "that network", audit.members)


def _control(found: Any, as_expected: bool, expected: str) -> dict[str, Any]:
    return {"expected": expected, "as_expected": as_expected, "found": None if found is None else found.as_document()}


def _reference(audit: _Audit, text: str, threads: int) -> Losses:
    """The losses of a reference, without the patients that it trained on."""
    from fedbrats.jobs.start import read_start
    from fedbrats.model.network import SegmentationNetwork

    name, _, data = text.partition("=")
    weights = read_start(name, audit.model.network_options)
    if weights is None:
        raise ConfigurationError("--reference takes a model or a start, not none")
    import torch

    network = SegmentationNetwork(**audit.model.network_options)
    network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    losses = audit.losses(network, f"the reference {name}")
    trained = _patients_of(Path(data)) if data else set()
    return {patient: loss for patient, loss in losses.items() if patient not in trained}


def _patients_of(folder: Path) -> set[str]:
    from fedbrats.data.cases.datalist import read_datalist

    return {case.patient for site in _site_dirs(folder) for case in read_datalist(site).training}


def _site_dirs(folder: Path) -> list[Path]:
    from fedbrats.data.cases.datalist import DATALIST_NAME, find_sites

    return [folder] if (folder / DATALIST_NAME).exists() else list(find_sites(folder))


def _read_sites(folder: Path, cache: Path, preparation: CacheSettings, workers: int) -> list[SiteCases]:
    from fedbrats.data.prepare.site_cases import read_site

    sites = [read_site(site, cache, preparation, workers=workers) for site in _site_dirs(folder)]
    for site in sites:
        for case in site.rejected:
            say(f"audit: {site.name}: {case.name} is left out: {case.reason}")
    return sites


def _show(document: dict[str, Any]) -> None:
    from fedbrats.privacy.membership import is_conclusive

    rows = [("all sites", document["membership"], document["tells_nothing"])]
    rows += [(site, found, None) for site, found in document["by_site"].items() if found]
    columns = ("patients", "members", "others", "AUC", "95 % interval", "found at 10 % false")
    print_table(columns, [_row(name, found) for name, found, _ in rows])
    for name, control in document["controls"].items():
        found = control["found"]
        auc = "not enough patients" if found is None else f"{found['auc']:.3f}"
        verdict = "as expected" if control["as_expected"] else "NOT AS EXPECTED"
        print_line(f"control {name.replace('_', ' ')}: {auc}, expected {control['expected']}: {verdict}")
    if not is_conclusive(document):
        print_line("The audit says nothing of this model, because of its controls.")
    print_line("An AUC near 0.5 is no proof that nothing leaks: another attack may find more.")


def _row(name: str, found: dict[str, Any]) -> tuple[Any, ...]:
    share, low, high = found["hits"]["0.1"]
    interval = f"{found['low']:.3f} to {found['high']:.3f}"
    return name, found["members"], found["others"], found["auc"], interval, f"{share:.2f} ({low:.2f} to {high:.2f})"
