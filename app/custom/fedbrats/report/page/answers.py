"""What the page says first: did federating help, which model should a hospital use, and how sure is that."""

from __future__ import annotations

from collections.abc import Sequence

from fedbrats.report.numbers.answers import Advice, Benefit, advise, find_benefit, find_choices, rank, share_of_pooled
from fedbrats.report.numbers.comparison import compare
from fedbrats.report.numbers.results import Results
from fedbrats.report.numbers.roles import ALONE_ROLE, FEDERATED, PLAIN, POOLED, is_personal, role_of
from fedbrats.report.numbers.statistics import LEAST_PATIENTS, LEVEL
from fedbrats.report.page.blocks import Answer, Answers, Block, Code, Details, Paragraph, Section, Table
from fedbrats.report.page.cells import show_cell, show_p
from fedbrats.report.page.commands import predict_command, run_command, train_command

HELPED, WHICH, SURE = "Did federating help?", "Which model should my hospital use?", "How sure is that?"
_COMMANDS = 6  # that stand open
ONE_SEED = (
    "With one seed it is not known how far a result depends on chance in the training. Train each method again with "
    "--set seed=1 and --set seed=2, and give the report all results."
)
IGNORED = (
    "Intervals and p-values are over patients. They ignore that settings may have been chosen on the same patients, "
    "that other hospitals and scanners differ, and errors of the reference segmentations."
)


def answers_section(methods: Sequence[Results]) -> Section:
    """The three questions with their answers; nothing before a run has reached its final evaluation."""
    trained = [method for method in methods if method.is_training]
    scored = [method for method in trained if method.scored]
    if not scored:
        return Section("In short", ())
    benefit, advice = find_benefit(scored), advise(scored)
    answers = [_did_it_help(scored, benefit), _which_model(scored, advice), _how_sure(scored, benefit)]
    return Section("In short", [Answers(answers)])


def _did_it_help(methods: Sequence[Results], benefit: Benefit | None) -> Answer:
    if benefit is None:
        return _cannot_say(methods)
    ours, theirs = benefit.method.name, benefit.alone.name
    more: list[Block] = []
    found = benefit.difference
    if found is None:
        short, why = _without_test(benefit)
        more.append(Paragraph(why))
    else:
        size = f"{abs(found.mean):.3f} Dice"
        numbers = (
            f"{ours} less {theirs}: {found.mean:+.3f} Dice, {LEVEL:.0%} interval {found.low:+.3f} to "
            f"{found.high:+.3f}, {show_p(found.p)}, {found.patients} patients."
        )
        if not benefit.is_clear:
            short = f"It is unclear. With these patients, {ours} and {theirs} cannot be told apart."
        elif found.mean > 0:
            short = f"Yes. {ours} is better than {theirs}, by {size}."
        else:
            short = f"No. {ours} is worse than {theirs}, by {size}."
        more.append(Paragraph(numbers + _chosen(benefit) + _in_doubt(benefit)))
    if len(benefit.sites) > 1:
        better = [site for site, gain in benefit.sites.items() if gain > 0]
        each = ", ".join(f"{site} {gain:+.3f}" for site, gain in benefit.sites.items())
        more.append(Paragraph(f"Its mean is higher at {len(better)} of {len(benefit.sites)} hospitals ({each})."))
    return Answer(HELPED, short, [*more, *_of_pooled(methods, benefit.method)])


def _without_test(benefit: Benefit) -> tuple[str, str]:
    """The answer, and the numbers that there are, where no test can be made."""
    ours, theirs = benefit.method.name, benefit.alone.name
    if not benefit.values:
        return (
            f"It cannot be told. {ours} and {theirs} have means only.",
            "The hospitals keep the scores of single patients to themselves, so that there is no interval and no test.",
        )
    count = len(benefit.values)
    values = ", ".join(f"{value:+.2f}" for value in benefit.values)
    return (
        f"It cannot be told from {count} patient{'s' * (count != 1)}.",
        f"{ours} less {theirs}, Dice patient by patient: {values}. Below {LEAST_PATIENTS} patients there is "
        "no test and no interval.",
    )


def _chosen(benefit: Benefit) -> str:
    if benefit.methods == 1:
        return ""
    return f" It is the best of {benefit.methods} federated methods; p is corrected for so many (Holm)."


def _in_doubt(benefit: Benefit) -> str:
    """Why the answer is open although the interval leaves 0 out."""
    found = benefit.difference
    if found is None or benefit.is_clear or found.low <= 0 <= found.high:
        return ""
    return " The interval alone would say more than p, which counts here."


def _cannot_say(methods: Sequence[Results]) -> Answer:
    """Which run the page lacks, and the command that makes it."""
    honest = [each for each in methods if not each.misbehaviour]
    federated = [each for each in honest if role_of(each) == FEDERATED]
    alone = [each for each in honest if role_of(each) == ALONE_ROLE]
    if federated and alone:
        short = "This page cannot say it: no patient was scored both with a federated method and alone."
        return Answer(HELPED, short, [Paragraph("Train both on the same split (the same sites folder).")])
    like = (federated or alone or list(methods))[0]
    lacks, job = ("no federated run", "fedavg") if alone or not federated else ("no run of each hospital alone", "")
    wanted = [run_command(job or "local_only", like)]
    if not federated and not alone:
        lacks += f" and no run of {PLAIN[ALONE_ROLE]}"
        wanted.append(run_command("local_only", like))
    more: list[Block] = [Paragraph("Train it with the same settings, and give the report both results:")]
    more += [Code(command) for command in wanted]
    return Answer(HELPED, f"This page cannot say it: there is {lacks}.", [*more, *_of_pooled(methods, like)])


def _of_pooled(methods: Sequence[Results], method: Results) -> list[Block]:
    """How much of the Dice of all data in one place a federated method reaches."""
    if role_of(method) == POOLED:
        return []
    share = share_of_pooled(method, methods)
    if share is not None:
        return [Paragraph(f"{method.name} reaches {share:.0%} of the Dice of {PLAIN[POOLED]}.")]
    if any(role_of(each) == POOLED for each in methods):
        return []
    what = f"What {PLAIN[POOLED]} would give is not known here. This command trains it:"
    return [Details(f"Not compared with {PLAIN[POOLED]}", [Paragraph(what), Code(train_command(method))])]


def _which_model(methods: Sequence[Results], advice: Sequence[Advice]) -> Answer:
    by_name = {method.name: method for method in methods}
    chosen = [(each, by_name[each.method]) for each in advice if each.method]
    choices = find_choices(methods)
    if not chosen:
        short = "No run on this page has a model that a hospital can be advised to use."
        return Answer(WHICH, short, _table(methods, advice))
    names = list(dict.fromkeys(method.name for _, method in chosen))
    commands = {each.site: predict_command(method, each.site) for each, method in chosen}
    lines = list(commands.values()) if len(set(commands.values())) > 1 else [predict_command(chosen[0][1])]
    code = Code("\n".join(lines))
    told: list[Block] = [Paragraph("To predict with it (CASES is a folder of cases):"), code]
    if len(lines) > _COMMANDS:
        told = [Details("The command of each hospital", [code])]
    blocks = [*_table(methods, advice), *told, *_for_a_new_hospital(choices, chosen)]
    others = [
        (each.name, (Code(predict_command(each)),)) for each in methods if each.name not in names or is_personal(each)
    ]
    if others:
        table = Table("SITE is a hospital by its name here", ("model", "command"), others, "text")
        blocks.append(Details("Commands for the other models", [table]))
    return Answer(WHICH, _advice_in_short(choices, chosen, names), blocks)


def _advice_in_short(choices: Sequence[Results], chosen: Sequence[tuple[Advice, Results]], names: Sequence[str]) -> str:
    """What to use, and whether it can be told from the other choices."""
    if len(choices) == 1:
        return f"{_capital(names[0])}: it is the only choice on this page."
    if len(names) > 1:
        each = (f"{name} at {', '.join(a.site for a, m in chosen if m.name == name)}" for name in names)
        return f"It depends on the hospital: {'; '.join(each)}."
    cells = {name: found["mean"] for name, found in compare(choices, ("mean",)).items() if "mean" in found}
    short = f"{_capital(names[0])}: the highest mean Dice of {len(choices)} choices, {cells[names[0]].dice:.3f}"
    if cells[names[0]].is_clear:
        return f"{short}; these patients show that it is better than the others."
    level = [name for name, cell in cells.items() if cell.is_level and name != names[0]]
    return f"{short}; with these patients it cannot be told apart from {' or '.join(level) or 'the others'}."


def _for_a_new_hospital(choices: Sequence[Results], chosen: Sequence[tuple[Advice, Results]]) -> list[Block]:
    """What a hospital without weights of its own can take."""
    if not any(is_personal(method) for _, method in chosen):
        return []
    common = [each for each in choices if not is_personal(each)]
    order = rank(common)
    if not order:
        return []
    first = {each.name: each for each in common}[order[0]]
    what = f"A hospital that took no part has no weights of its own; it can use {first.name}:"
    return [Paragraph(what), Code(predict_command(first))]


def _table(methods: Sequence[Results], advice: Sequence[Advice]) -> list[Block]:
    """Every hospital: its patients, each method, and which of them to use."""
    if not advice:
        return []
    rows = []
    for each in advice:
        cells = [show_cell(each.cells.get(method.name), is_advised=method.name == each.method) for method in methods]
        rows.append((each.site, (each.patients, *cells)))
    caption = (
        f"Mean Dice at each hospital's own validation patients, with its {LEVEL:.0%} interval; below {LEAST_PATIENTS} "
        f"patients their values. “use” is the advice"
    )
    if any(role_of(method) == POOLED for method in methods) and any(role_of(m) != POOLED for m in methods):
        caption += f"; {PLAIN[POOLED]} is there to compare with"
    return [Table(caption, ("hospital", "patients", *(method.name for method in methods)), rows, "wide")]


def _how_sure(methods: Sequence[Results], benefit: Benefit | None) -> Answer:
    patients = max(method.scored for method in methods)
    scored = [{site: method.at_site(site).scored for site in method.cases} for method in methods]
    by_site = {site: max(own.get(site, 0) for own in scored) for own in scored for site in own}
    sites = {site for method in methods for site in method.final_dice("mean")} | by_site.keys()
    seeds = min(method.seeds for method in methods)
    said = f"{patients} {'patients' if any(by_site.values()) else 'cases'} at "
    said += f"{len(sites)} hospital{'s' * (len(sites) != 1)}, {'one seed' if seeds == 1 else f'{seeds} seeds'}"
    if patients < LEAST_PATIENTS:
        short = f"Not sure at all: {said}. Read the values one by one."
    elif benefit and benefit.difference:
        half = (benefit.difference.high - benefit.difference.low) / 2
        short = f"{said}: a difference below about {half:.2f} Dice cannot be seen with these."
    else:
        short = f"{said}; no two methods were compared."
    blocks: list[Block] = [Paragraph(IGNORED)]
    if seeds == 1:
        blocks.insert(0, Paragraph(ONE_SEED))
    few = [site for site, count in sorted(by_site.items()) if count < LEAST_PATIENTS <= patients]
    if few:
        what = (
            f"Fewer than {LEAST_PATIENTS} patients are at {', '.join(few)}: nothing is marked as best there, and the "
        )
        blocks.append(Paragraph(f"{what}advice is that of all hospitals together."))
    return Answer(SURE, short, blocks)


def _capital(name: str) -> str:
    """A name at the beginning of a sentence; that of a job stays as it is typed."""
    return name[:1].upper() + name[1:] if name.startswith(tuple(PLAIN.values())) else name
