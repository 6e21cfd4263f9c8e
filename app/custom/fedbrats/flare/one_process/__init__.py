"""A whole federation in one process: FLARE's runners of the server and of every site, without a network."""
