"""Methods of fedbrats, one short file each: what the server does and, where the method needs it, what a site does.

They use the doors that a package of somebody else's uses (docs/guide/own-method.md), and no other.
"""
