"""What the modalities and the segmentation are called: in BraTS, BIDS and nnU-Net, and by a hospital of its own.

A name is compared without regard to capitals. `-` in a word of WORDS stands for a dash, an underscore or nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fedbrats.errors import ConfigurationError

MODALITIES = ("t1", "t1ce", "t2", "flair")  # the channel order everywhere
SEGMENTATION = "seg"
ROLES = (*MODALITIES, SEGMENTATION)

# BraTS 2017-2021 `_t1ce`, BraTS 2023-2024 `-t1c`, UPENN `_T1GD`, BIDS `_T1w`. `segm` is BraTS20_Training_355's.
WORDS = {
    "t1": ("t1", "t1n", "t1w", "t1-native", "t1-pre"),
    "t1ce": ("t1ce", "t1c", "t1-ce", "t1-gd", "t1w-ce", "t1w-gd", "t1-post", "t1-contrast", "ce-t1", "ce-t1w", "gd-t1"),
    "t2": ("t2", "t2w"),
    "flair": ("flair", "t2f", "t2-flair", "t2w-flair"),
    SEGMENTATION: (
        *("seg", "segm", "segmentation", "tumor-seg", "tumour-seg"),
        *("tumor-segmentation", "tumour-segmentation", "tumor-mask", "tumour-mask"),
    ),
}
_ROLE_OF = {word.replace("-", ""): role for role, words in WORDS.items() for word in words}
# The shortest case, so that of CASE_T2_FLAIR the role is all of T2_FLAIR.
_CASE_AND_ROLE = re.compile(
    rf"(?P<case>.+?)[_-](?P<role>{'|'.join(w.replace('-', '[_-]?') for words in WORDS.values() for w in words)})",
    re.IGNORECASE,
)
_OTHER_SIGNS = re.compile(r"[\W_]+")


def role_of(text: str) -> str | None:
    """The role that a whole name is: of a file, a folder, a column or a channel."""
    return _ROLE_OF.get(_OTHER_SIGNS.sub("", text.lower()))


def other_split(stem: str) -> tuple[str, str] | None:
    """The case and the role with the longest case, where that is another reading than `split_name`'s.

    CASE_T2_FLAIR is also the FLAIR of CASE_T2: other files tell.
    """
    found = split_name(stem)
    for start in range(len(stem) - 1, len(found[0]) + 1 if found else len(stem), -1):
        if stem[start - 1] in "_-" and (role := role_of(stem[start:])):
            return stem[: start - 1], role
    return None


def split_name(stem: str) -> tuple[str, str] | None:
    """The case and the role of a name such as CASE_t1ce or CASE-T2_FLAIR; None where it does not end with a role."""
    match = _CASE_AND_ROLE.fullmatch(stem)
    role = role_of(match["role"]) if match else None
    return (match["case"], role) if match and role else None


@dataclass(frozen=True)
class OwnNames:
    """A hospital's own words for the roles, as `--names t1ce=T1_KM,flair=dark-fluid` gives them.

    Attributes:
        words: role -> its words. A role without any has the words of WORDS.
    """

    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def _by_length(self) -> list[tuple[str, str]]:
        """(word, role), the longest word first: T1_KM is no T1."""
        pairs = [(word, role) for role, words in self.words.items() for word in words]
        return sorted(pairs, key=lambda pair: (-len(pair[0]), pair))

    def role_of(self, text: str) -> str | None:
        """The role that a whole name is: by its own words, and by WORDS for a role that has none."""
        own = {plain(word): role for word, role in self._by_length}
        usual = role_of(text)
        return own.get(plain(text)) or (usual if usual not in self.words else None)

    def split_name(self, stem: str) -> tuple[str, str] | None:
        """The case, which may be empty, and the role of a name that has one of the own words, wherever it stands."""
        for word, role in self._by_length:
            around = rf"[\s_.-]*(?<![^\W_]){re.escape(plain(word))}(?![^\W_])[\s_.-]*"
            match = re.search(around, plain(stem))
            if match:
                text = unicodedata.normalize("NFC", stem)
                before, behind = text[: match.start()], text[match.end() :]
                return (f"{before}_{behind}" if before and behind else before or behind), role
        return None

    @property
    def numbers(self) -> dict[int, str]:
        """The words that are numbers of channels, such as 0001, with their roles."""
        return {int(word): role for word, role in self._by_length if re.fullmatch(r"\d{4}", word)}

    def as_document(self) -> dict[str, list[str]]:
        """For JSON."""
        return {role: list(words) for role, words in self.words.items()}


def plain(text: str) -> str:
    """A name as it is compared: one form of each letter, no capitals. As long as its NFC."""
    composed = unicodedata.normalize("NFC", text)
    lowered = composed.lower()
    return lowered if len(lowered) == len(composed) else composed


def read_names(text: str) -> OwnNames:
    """The own names in `ROLE=WORD,ROLE=WORD,...`. Raises: ConfigurationError saying what is wrong."""
    words: dict[str, tuple[str, ...]] = {}
    for role, word in _pairs(text):
        if role not in ROLES:
            raise ConfigurationError(f"--names {role}={word}: {role!r} is none of {', '.join(ROLES)}")
        if earlier := next((r for r, known in words.items() if plain(word) in map(plain, known)), None):
            if earlier == role:
                continue
            raise ConfigurationError(
                f"--names gives {word!r} to {earlier} and to {role}; a name stands for one of them"
            )
        words[role] = (*words.get(role, ()), word)
    return OwnNames(words)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(","):
        role, _, word = (each.strip() for each in part.partition("="))
        if not role or not word:
            raise ConfigurationError(
                f"--names {text!r}: expected ROLE=NAME,ROLE=NAME, such as t1ce=T1_KM,flair=dark-fluid"
            )
        yield role.lower(), word


NO_OWN_NAMES = OwnNames()
