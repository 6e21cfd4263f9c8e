"""What the server makes of the updates of a round, apart from the rule of its aggregator."""

from __future__ import annotations

from pydantic import Field

from fedbrats.errors import ConfigurationError
from fedbrats.settings import Settings


class Averaging(Settings):
    """Of every aggregator."""

    clip_multiple: float = Field(2.0, ge=0, le=1000)
    """An update longer than this many times the round's median length is shortened to it; 0 shortens none."""
    weight_power: float = Field(1.0, ge=0, le=1)
    """Sites weigh by their cases to this power: 1 by cases, 0.5 by the square root of them, 0 all alike."""
    averaged_rounds: int = Field(1, ge=1, le=10**6)
    """The final model is the mean of the models after so many last shared rounds."""
    pull_back: float = Field(0.0, ge=0, le=1)
    """How far the final model is pulled back towards the first weights of the job: 0 not at all, 1 all the way."""

    def refuse_power(self, rule: str) -> None:
        """Raises: ConfigurationError where `weight_power` is set for a rule that does not weigh sites by cases."""
        if self.weight_power != 1:
            raise ConfigurationError(
                f"weight_power is {self.weight_power} and {rule} does not weigh sites by their cases; leave it at 1, "
                f"or use a job that does, such as fedavg"
            )
