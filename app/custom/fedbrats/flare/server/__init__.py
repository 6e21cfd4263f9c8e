"""FLARE components of the server's job process."""
