"""The words of the page, explained where they stand; as docs/reference/glossary.md has them."""

from __future__ import annotations

from collections.abc import Iterable

WORDS = {
    "Dice": "How much a mask agrees with the truth: twice the common volume over the sum of both. 1 is perfect, 0 is "
    "nothing.",
    "ET": "Enhancing tumour: what takes up contrast agent. A region inside TC.",
    "factor": "Of the Contribution Factor: how much a site's update counts, from how well it agrees with the others.",
    "fold": "A part of the patients that is held out for testing; each patient is in one fold.",
    "gate": "A check that an update must pass: at a site before it leaves, at the server before it counts.",
    "HD95": "The distance in mm between the surfaces of mask and truth that 95 % of their points keep to. Smaller is "
    "better.",
    "mean": "The mean over WT, TC and ET.",
    "round": "Sites train on the shared model, send their updates, and the server makes a new model.",
    "row": "One line of `rows.jsonl`: one thing that happened in a run.",
    "site": "A hospital in a federation, and its process.",
    "surface Dice": "The share of the surface that lies within a tolerance (0.5, 1 or 2 mm) of the truth's.",
    "TC": "Tumour core: enhancing tumour, necrosis and other tumour without oedema. A region inside WT.",
    "weight": "The share of a site's update in the model that the server makes of a round.",
    "WT": "Whole tumour: tumour core and oedema.",
}
REGIONS_IN_SHORT = "WT: whole tumour. TC: tumour core. ET: enhancing tumour. Mean: over the three."
SURFACES_IN_SHORT = "HD95: how far apart the surfaces are. Surface Dice: which share of them agrees."


def explain(*words: str) -> str:
    """A line that explains some words."""
    return " ".join(f"{word}: {_lower(WORDS[word])}" for word in words)


def meaning_of(text: object) -> str:
    """What the word in a heading of a table means; empty where it needs no words."""
    word = str(text)
    return WORDS.get(word) or next((WORDS[known] for known in _starts() if word.startswith(f"{known} ")), "")


def _starts() -> Iterable[str]:
    return ("HD95", "surface Dice")


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
