"""Commands about startup kits."""
