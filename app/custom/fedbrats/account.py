"""The account that runs this process, where it has no name."""

from __future__ import annotations

import os
import tempfile


def name_the_account() -> bool:
    """Give a user number without a name one, as OpenShift runs containers; returns whether it had none.

    PyTorch asks for the user's name while MONAI is imported, and ends in a traceback of 160 lines where there is none.
    """
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("LOGNAME", f"user-{os.getuid()}")
        os.environ.setdefault("USER", os.environ["LOGNAME"])
        os.environ.setdefault("HOME", tempfile.gettempdir())
        return True
    return False
