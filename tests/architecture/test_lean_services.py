"""What services must not load, since each of them would keep it in memory."""

import subprocess
import sys

LOAD = """
import sys
import services.archive.bootstrap, services.intake.bootstrap, services.notify.bootstrap
import services.rectify.bootstrap, services.scoring.bootstrap
print(*sorted({"rich", "pygments", "typer"} & sys.modules.keys()))
import rich.console
"""


def test_services_load_nothing_that_shows_things_to_people_and_leave_it_to_be_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
