"""With which status a participant's process ends, for whoever supervises it (sysexits.h)."""

CANNOT_WRITE = 73  # the kit or the storage
TAKEN = 75  # the port, or the kit by another process; to be tried again
UNUSABLE = 78  # a file of the kit has to be mended first: a supervisor should not try again
