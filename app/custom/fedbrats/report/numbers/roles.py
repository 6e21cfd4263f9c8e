"""What a run stands for in a comparison: hospitals together, each hospital alone, or all data in one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fedbrats.federation.sharing import EVERYTHING, SHARED_WHOLE
from fedbrats.report.numbers.records import ALONE
from fedbrats.report.numbers.results import Results

FEDERATED, ALONE_ROLE, POOLED = "federated", "alone", "pooled"
PLAIN = {ALONE_ROLE: "each hospital alone", POOLED: "all data in one place"}
_TRAIN = "train"  # the job that `fedbrats train` says in its summary


def role_of(run: Results) -> str:
    """FEDERATED, ALONE_ROLE or POOLED."""
    job = run.summary.get("job")
    if job == _TRAIN:
        return POOLED
    variables = run.summary.get("variables") or {}
    return ALONE_ROLE if job == ALONE or variables.get("personal") == EVERYTHING else FEDERATED


def is_personal(run: Results) -> bool:
    """Whether each hospital ended with weights of its own, which a prediction needs beside the shared model."""
    variables = run.summary.get("variables") or {}
    return variables.get("personal", SHARED_WHOLE) != SHARED_WHOLE or bool(variables.get("personal_rounds"))


def with_plain_names(methods: Sequence[Results]) -> list[Results]:
    """The methods, with plain words for hospitals alone and for all data in one place; names stay apart."""
    plain = [_plain(method) for method in methods]
    uses = Counter(plain)
    return [
        replace(method, name=name if uses[name] == 1 else f"{name} ({method.name})")
        for method, name in zip(methods, plain, strict=True)
    ]


def _plain(run: Results) -> str:
    known = PLAIN.get(role_of(run))
    if known is None:
        return run.name
    if run.misbehaviour:
        return f"{known}{run.name.removeprefix(str(run.summary.get('job')))}"
    return f"{known}{run.name.removeprefix(run.method)}"
