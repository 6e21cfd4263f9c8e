"""A person's machine: provision kits, judge and operate them, run jobs. Imports nvflare's admin side."""
