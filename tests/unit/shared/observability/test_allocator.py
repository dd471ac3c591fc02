import platform
import subprocess
import sys

import pytest

PROGRAM = """
import psutil
from shared.observability.allocator import keep_little_memory
if {thrifty}:
    assert keep_little_memory()
large = bytearray(20 << 20)
del large  # from now on glibc keeps whatever is smaller
blocks = [bytearray(1 << 20) for _ in range(60)]
behind = [bytearray(1_000) for _ in range(1_000)]
del blocks
print(psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_what_a_large_batch_needed_goes_back_to_the_system() -> None:
    kept, thrifty = (
        int(subprocess.check_output([sys.executable, "-c", PROGRAM.format(thrifty=thrifty)]))
        for thrifty in (False, True)
    )
    assert thrifty < kept - (50 << 20)
