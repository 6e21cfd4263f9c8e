"""Takes out of a text what may not leave a machine with it: keys, passwords, tokens, cases and patients."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from fedbrats.data.cases.datalist import DATALIST_NAME

REMOVED, A_CASE, A_SCAN = "(removed)", "(a case)", "(a scan)"
SHORTEST_NAME = 3  # a name of one or two signs is in every number and tells nobody
_PEM = re.compile(r"-----BEGIN [^-\n]{1,60}-----.*?(?:-----END [^-\n]{1,60}-----|\Z)", re.DOTALL)
_END_OF_PEM = re.compile(r"^[ \t]*-----END [^-\n]{1,60}-----")
_LINE_OF_PEM = re.compile(r"[ \t]*[A-Za-z0-9+/=]+[ \t]*\r?")
_URL = re.compile(r"(?<=://)[^/\s@\"']+@")
_WORDS = r"(?:token|passw(?:or)?d|passphrase|secret|(?:api|private)[_-]?key|credential|authorization|bearer)\w{0,20}"
_BEFORE = rf"{_WORDS}\\?[\"']?\s*(?:[:=]|\bis\b)\s*(?:bearer\s+|basic\s+)?"
_VALUE = r"\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&}\]]+"
_SECRET = re.compile(rf"(?i)({_BEFORE})({_VALUE})")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w+/=.~-]{8,}")
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])")
_LONG = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
# From where a row of signs begins, or each of its signs would be tried as the first.
_SCAN = re.compile(r"(?<![^\s\"'<>|])[^\s\"'<>|]*\.nii(?:\.gz)?\b", re.IGNORECASE)
_FILE_ENDS = (".nii.gz", ".nii")


class Redactor:
    """Cleans texts.

    Args:
        names: of cases and patients, and of whatever else is theirs.
        secrets: texts that are taken out wherever they stand, such as the lines of a private key.
        job_ids: the ids that stay; every other text of their form may be the token of a session.
    """

    def __init__(self, names: Iterable[str] = (), secrets: Iterable[str] = (), job_ids: Iterable[str] = ()):
        self._job_ids = frozenset(job_ids)
        self._names = {form for name in names if len(name) >= SHORTEST_NAME for form in _forms(name)}
        self._secrets = _finds({secret for secret in secrets if len(secret) >= SHORTEST_NAME}, whole=False)

    def clean(self, text: str) -> str:
        """The text without them. What is taken out is replaced by a word in brackets."""
        text = _without_end_of_pem(_PEM.sub(REMOVED, text))
        text = self._secrets.sub(REMOVED, text)
        text = _BEARER.sub(rf"\1 {REMOVED}", _URL.sub(f"{REMOVED}@", text))
        text = _SECRET.sub(_without_value, text)
        text = self._names_in(text).sub(A_CASE, text)
        text = _SCAN.sub(A_SCAN, text)
        text = _UUID.sub(lambda found: found[0] if found[0] in self._job_ids else REMOVED, text)
        return _LONG.sub(self._judge_long, text)

    def _names_in(self, text: str) -> re.Pattern[str]:
        """What finds the names, of which only those are tried that can be in a text: thousands take minutes."""
        small = text.lower()
        maybe = (name for name in self._names if not (text.isascii() and name.isascii()) or name.lower() in small)
        return _finds(set(maybe), whole=True)

    def _judge_long(self, found: re.Match[str]) -> str:
        """A long row of letters and numbers is a key, a token or a hash; a path and a job's id are none."""
        text = found[0]
        if text in self._job_ids:
            return text
        kinds = [any(map(is_one, text)) for is_one in (str.isdigit, str.isupper, str.islower)]
        is_hash = re.fullmatch(r"[0-9a-fA-F]+", text)
        return REMOVED if all(kinds) or is_hash else text


def _without_end_of_pem(text: str) -> str:
    """A text without the last lines of a key whose first lines were cut off."""
    if "-----END" not in text:
        return text
    kept: list[str] = []
    for line in text.split("\n"):
        if _END_OF_PEM.match(line):
            while kept and _LINE_OF_PEM.fullmatch(kept[-1]):
                kept.pop()
            line = _END_OF_PEM.sub(REMOVED, line)
        kept.append(line)
    return "\n".join(kept)


def _without_value(found: re.Match[str]) -> str:
    """What is called a secret, without its value; quotes stay, for a JSON document has to stay one."""
    before, value = found.groups()
    quote = value[0] if value[0] in "\"'" else ""
    return f"{before}{quote}{REMOVED}{quote}"


def names_below(data_dir: Path) -> set[str]:
    """What a site's data folder calls its cases and patients, however broken its datalist is.

    The entries `case` and `patient`, every part of a path in the datalist, and the names of the folder's own entries.
    """
    found: set[str] = set()
    try:
        text = (data_dir / DATALIST_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    try:
        strings = list(_strings(json.loads(text)))
    except (ValueError, RecursionError):
        quoted = r'"((?:[^"\\\n]|\\.)*)"'
        strings = re.findall(rf'"(?:case|patient)"\s*:\s*{quoted}', text)
        strings += [each for each in re.findall(quoted, text) if "/" in each or ".nii" in each]
    for each in strings:
        found |= set(_parts(each))
    try:
        for path in data_dir.iterdir():
            found |= set(_parts(path.name))
    except OSError:
        pass
    return {name for name in found if name.lower() not in _COMMON}


# Folders and modalities name nobody, and a log without these words says nothing.
_COMMON = frozenset(
    [
        "datalist.json",
        "sites",
        "data",
        "images",
        "labels",
        "imagestr",
        "labelstr",
        "training",
        "validation",
        "test",
        "seg",
        "flair",
        "t1c",
        "t1n",
        "t2w",
        "t2f",
        "t1ce",
    ]
)


def _strings(value: object) -> Iterator[str]:
    """Every text in a JSON document but for those of keys and of the site's own name and convention."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in ("name", "label_convention", "names", "description", "licence", "reference", "modality"):
                yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _parts(text: str) -> Iterator[str]:
    """The parts of a path, each with and without the end of a scan's file."""
    yield text
    for part in re.split(r"[/\\]", text):
        yield part
        for end in _FILE_ENDS:
            if part.lower().endswith(end):
                yield part[: -len(end)]


def _forms(name: str) -> Iterator[str]:
    """How a name may stand in a log: composed or not, and escaped as JSON and Python write it."""
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, name)
        yield text
        yield json.dumps(text)[1:-1]
        yield text.encode("unicode_escape").decode("ascii")


def _finds(words: set[str], *, whole: bool) -> re.Pattern[str]:
    """What finds any of some words, the longest first; whole: not inside a longer word."""
    some = "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word))) or "(?!)"
    return re.compile(rf"(?<![0-9A-Za-z])(?:{some})(?![0-9A-Za-z])" if whole else some, re.IGNORECASE)
