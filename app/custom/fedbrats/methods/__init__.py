"""The methods of fedbrats, each one short file: what the server does, and what a site does where it does anything.

They use the doors that a package of somebody else's uses (docs/guide/own-method.md), and no other.
"""
