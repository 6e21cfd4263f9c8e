"""FLARE components of a site's job process."""
