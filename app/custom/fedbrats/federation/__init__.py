"""What the federation computes on updates: plain numpy, no torch, no FLARE."""
