"""What services must not load, since each of them would keep it in memory."""

import subprocess
import sys

LOAD = """
import sys
import services.archive.bootstrap, services.intake.bootstrap, services.notify.bootstrap
import services.rectify.bootstrap, services.scoring.bootstrap
unused = {"rich", "pygments", "typer", "numpy.f2py", "numpy.ma", "numpy.testing", "scipy.stats"}
print(*sorted(unused & sys.modules.keys()))
import rich.console, numpy
assert numpy.ma.masked_array and numpy.testing.assert_array_equal
"""


def test_services_load_nothing_that_only_people_and_tests_need_and_leave_it_to_be_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
