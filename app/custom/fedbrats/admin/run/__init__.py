"""Run jobs on this machine (POC, simulator) and elsewhere, and bring results home."""
