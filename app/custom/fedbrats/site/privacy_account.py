"""The hospital's account of differential privacy in one job: what was spent, what the job will cost, and the refusal.

PERSONAL_DIR/SITE/privacy_ledger.jsonl         of all jobs of the site
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedbrats.errors import ConfigurationError
from fedbrats.privacy.accounting import PrivateSteps, epsilon, epsilon_bound, require_accountant
from fedbrats.privacy.ledger import LEDGER_FILE, Entry, Ledger, now
from fedbrats.privacy.settings import PrivacySettings
from fedbrats.site.site_file import PrivacyBudget, SiteFacts


class PrivacyAccount:
    """One job's part of a site's ledger.

    Every line counts for every patient, also where the site's patients have changed meanwhile: an upper bound.

    Args:
        patients: names of the training patients.
    """

    def __init__(self, facts: SiteFacts, site: str, job_id: str, settings: PrivacySettings, patients: Iterable[str]):
        require_accountant()
        self._ledger = Ledger(ledger_path(facts, site))
        self._budget = facts.budget
        self._site, self._job, self._settings = site, job_id, settings
        self._patients = hashlib.sha256("\n".join(sorted(set(patients))).encode()).hexdigest()

    def refuse_over_budget(self, rounds: int, steps: int) -> None:
        """Find out before training whether the rounds to come can be paid for.

        Raises: ConfigurationError with the arithmetic; DataError for a damaged ledger.
        """
        entries = self._ledger.read()
        self._judge(entries, PrivateSteps(self._noise, self._settings.dp_rate, rounds * steps), f"{rounds} rounds")

    def charge(self, round_number: int, steps: int) -> None:
        """Write the cost of a round to the disk before its update leaves.

        Raises: ConfigurationError where the budget does not allow it, as another job may have spent it meanwhile;
            DataError, OSError as `Ledger.charge`.
        """
        settings = self._settings
        entry = Entry(
            time=now(),
            job=self._job,
            round=round_number,
            patients=self._patients,
            noise=self._noise,
            clip=settings.dp_clip,
            rate=settings.dp_rate,
            steps=steps,
            delta=settings.dp_delta,
        )
        self._ledger.charge(entry, lambda entries: self._judge(entries[:-1], entry.cost, f"round {round_number}"))

    @property
    def _noise(self) -> float:
        assert self._settings.dp_noise is not None
        return self._settings.dp_noise

    def _judge(self, entries: Sequence[Entry], cost: PrivateSteps, what: str) -> None:
        if self._budget is None:
            return
        spent, delta = [entry.cost for entry in entries], self._budget.delta
        after = [*spent, cost]
        # The quick bound first: most rounds are far from the budget.
        if (
            epsilon_bound(after, delta) <= self._budget.epsilon
            or (total := epsilon(after, delta)) <= self._budget.epsilon
        ):
            return
        raise ConfigurationError(
            f"site {self._site} takes no part: {what} with noise {cost.noise:g}, rate {cost.rate:g} and {cost.steps} "
            f"steps would bring its patients from epsilon {epsilon(spent, delta):.2f} to {total:.2f} at delta "
            f"{delta:g}, and privacy_budget in its site file allows {self._budget.epsilon:g}"
        )


def ledger_path(facts: SiteFacts, site: str) -> Path:
    """Where a site keeps its ledger."""
    return facts.personal_dir / site / LEDGER_FILE


def refuse_open_training(facts: SiteFacts, site: str) -> None:
    """Raise ConfigurationError where a site has a budget and a job trains without noise, which costs all of it."""
    if facts.budget is not None:
        raise ConfigurationError(
            f"site {site} takes no part: this job trains without differential privacy (dp_noise is null), which "
            f"privacy_budget in its site file, epsilon {facts.budget.epsilon:g}, does not allow"
        )


def spent_by_job(entries: Sequence[Entry], budget: PrivacyBudget | None) -> list[dict[str, object]]:
    """A row for each job of a ledger: its rounds, steps and epsilon at the budget's delta, or at its own."""
    rows: list[dict[str, object]] = []
    for job in dict.fromkeys(entry.job for entry in entries):
        own = [entry for entry in entries if entry.job == job]
        delta = budget.delta if budget else min(entry.delta for entry in own)
        rows.append(
            {
                "job": job,
                "last": own[-1].time,
                "rounds": len(own),
                "steps": sum(entry.steps for entry in own),
                "noise": min(entry.noise for entry in own),
                "rate": max(entry.rate for entry in own),
                "epsilon": epsilon([entry.cost for entry in own], delta),
                "delta": delta,
            }
        )
    return rows
