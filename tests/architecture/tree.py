"""What the architecture tests look at: the files that git knows, and the services."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("services", "shared", "deploy", "tests")


@cache
def committed_files() -> tuple[Path, ...]:
    """Return every file in git's index that exists, absolute, sorted."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return tuple(ROOT / name for name in sorted(listed.split("\0")) if name and (ROOT / name).is_file())


@cache
def python_modules() -> tuple[Path, ...]:
    """Return the committed Python modules of our packages, absolute."""
    return tuple(
        path
        for path in committed_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES
    )


def service_names() -> tuple[str, ...]:
    """Return the folders under services/ that are packages, sorted."""
    return tuple(sorted(path.parent.name for path in (ROOT / "services").glob("*/__init__.py")))
