"""Commands about cases: check, split, phantom."""
