"""From a folder of BraTS cases to batches: find, check, split, cache, load. Imports no FLARE."""
