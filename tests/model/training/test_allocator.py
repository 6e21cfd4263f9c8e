"""Freed memory stays: a large block that is taken again costs no page faults."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
from fedbrats.model.training.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(3):
    np.ones(2**23)  # 64 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_large_blocks_are_kept():
    kept, returned = (
        int(subprocess.run([sys.executable, "-c", CODE, variant], capture_output=True, text=True, check=True).stdout)
        for variant in ("kept", "returned")
    )
    assert kept * 10 < returned
