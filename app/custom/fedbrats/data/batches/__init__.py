"""Patches: drawn, changed, batched."""
