import platform
import subprocess
import sys

import pytest

from shared.observability.allocator import LOOK_S, Tidying

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


HOLES = """
import psutil
from shared.observability.allocator import LARGE, Tidying, give_back, keep_little_memory
assert keep_little_memory(LARGE)
blocks = [bytearray(64 << 10) for _ in range(1_000)]
kept = blocks[::20]
del blocks
trims = []
tidying = Tidying(trim=lambda: (trims.append(1), give_back()))
if {tidy}:
    tidying.look()
    assert trims
print(psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_what_lies_free_between_other_things_goes_back_when_the_process_rests() -> None:
    kept, tidied = (
        int(subprocess.check_output([sys.executable, "-c", HOLES.format(tidy=tidy)]))
        for tidy in (False, True)
    )
    assert tidied < kept - (40 << 20)


def test_it_waits_for_a_rest_and_is_done_once_for_each_stretch_of_work() -> None:
    spent, trims = 0.0, 0

    def trim() -> None:
        nonlocal trims, spent
        trims += 1
        spent += 0.05  # its own work is no reason to do it again

    tidying = Tidying(lambda: spent, trim)

    def after(seconds: float, looks: int = 1) -> int:
        nonlocal spent
        for _ in range(looks):
            spent += seconds
            tidying.look()
        return trims

    assert after(LOOK_S, looks=10) == 0, "it works"
    assert after(0.0) == 1
    assert after(LOOK_S / 50, looks=10) == 1, "nothing much came of that"
    assert after(LOOK_S, looks=5) == 1
    assert after(0.0, looks=5) == 2
