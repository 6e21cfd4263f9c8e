"""A participant's own process: what keeps it from starting, and how it begins and ends."""
