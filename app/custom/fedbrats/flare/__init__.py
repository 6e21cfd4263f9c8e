"""Thin FLARE components around the pure functions: the only modules that import nvflare."""
